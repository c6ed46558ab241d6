"""What measurements become in the report document."""
