"""What the panels share: lifecycle, background jobs, the corner plot."""
