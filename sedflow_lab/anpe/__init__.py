"""Amortized neural posterior estimation."""
