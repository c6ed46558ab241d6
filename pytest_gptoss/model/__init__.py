"""Plain data, the error tree and facts of GPT-OSS."""
