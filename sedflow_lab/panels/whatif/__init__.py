"""What if the photometry were another: drag it, and the posterior follows."""
