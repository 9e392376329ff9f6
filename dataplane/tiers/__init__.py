"""Tiers: the places that answer, each behind the seam in `base`."""
