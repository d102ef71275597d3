"""Train a network, watch it learn, and see what it is worth beside the one that ships."""
