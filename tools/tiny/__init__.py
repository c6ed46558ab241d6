"""What ``tools/train_tiny.py`` is made of: the domain, the network, its training and its evaluation."""
