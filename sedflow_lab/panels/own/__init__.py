"""Galaxies of a file of your own: how it was understood, the picker on it, and results."""
