"""Measurements: what the product does, in figures, each with its seed, its number of rows and its hardware."""
