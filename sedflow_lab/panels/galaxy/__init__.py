"""A galaxy and its posterior."""
