"""Figures, a file a page: what is asked of the store at one moment, and what follows from it."""
