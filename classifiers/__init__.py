"""Is this text inside a forget scope? Detectors, their training and their calibration."""
