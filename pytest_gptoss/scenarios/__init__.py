"""What is measured: inputs, requests and stored forms."""
