"""Learns from observations which (routing threshold, judge cutoff) pair to serve."""
