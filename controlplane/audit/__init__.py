"""Ground truth, drawn with known probability: who labels, and what it says of the service."""
