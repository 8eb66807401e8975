"""Soft prompts and unlearning adapters.

Their methods arrive with the next capability; nothing is served from here yet.
"""
