"""The data plane: serves queries, and records what it did."""
