"""Texts in other languages than English: which language it is, and whether the text is inside a scope."""
