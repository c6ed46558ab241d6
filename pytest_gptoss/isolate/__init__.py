"""Which setting of a serve line makes a failure: the guide's troubleshooting procedure as a program."""
