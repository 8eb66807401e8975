"""Measurements: what the product does, in figures, each with its seed, its number of rows and its hardware.

product/ is `make bench`, compare/ is `unrecall compare`, attacks/ holds the attack families that both use, and
results/ the figures that the tables of the README and of docs/results.md show.
"""

import gateway as gateway  # first: it limits torch's threads
