"""Embedding-corrupted prompts (ECO, arXiv 2406.07933): operators, token selection, zeroth-order learning."""
