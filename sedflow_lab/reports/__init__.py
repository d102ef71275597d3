"""What is written about a posterior: calibration card, study, the paper's figures, demo."""
