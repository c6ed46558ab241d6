"""What is rendered from the report document."""
