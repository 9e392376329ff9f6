"""Judges policies by records: replay now, off-policy and shadow evaluation to come."""
