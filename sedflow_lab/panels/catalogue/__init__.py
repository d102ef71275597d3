"""A catalogue of posteriors: run it, look at all of it, and at one galaxy."""
