"""Rejection ABC: a tolerance that is turned down, beside the exact posterior."""
