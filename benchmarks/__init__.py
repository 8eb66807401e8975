"""Measurements: what the product does, in figures, each with its seed, its number of rows and its hardware.

product/ is `make bench`, compare/ is `unrecall compare`, attacking/ is `unrecall attack`, attacks/
holds the attack families that all three use, and results/ the figures that the tables of the README and docs/ show.
"""

import gateway as gateway  # first: it limits torch's threads
