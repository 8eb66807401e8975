"""Questions about forgotten things, asked in ways that slip past a gate: one attack family a file.

All texts are this project's own. Which attacks break gates on inputs: arXiv 2403.03329, 2406.07933, 2406.10890 and
2407.00106. Two kinds are missing: a translation needs a model, and a reversed question needs to know what the question
is about.
"""
