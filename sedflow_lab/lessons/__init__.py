"""What the lessons need beside the package: judges of the learner's answers."""
