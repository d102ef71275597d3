"""Whether a posterior is calibrated, and which test notices when it is not."""
