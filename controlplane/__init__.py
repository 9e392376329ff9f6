"""Learns, audits, promotes."""
