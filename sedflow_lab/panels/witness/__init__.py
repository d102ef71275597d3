"""emcee beside the posterior."""
