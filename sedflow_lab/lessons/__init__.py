"""What the lessons need beside the package: judges of answers, and a look at what is installed."""
