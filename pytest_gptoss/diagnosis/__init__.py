"""What logs and answers say of known failures."""
