"""Measurements: what the product does, in figures, each with its seed, its number of rows and its hardware."""

import gateway as gateway  # first: it quiets torch's threads
