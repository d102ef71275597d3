"""Train a network, watch it learn, and see what it is worth beside another."""
