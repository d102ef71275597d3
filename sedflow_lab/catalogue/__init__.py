"""Whole catalogues of galaxies."""
