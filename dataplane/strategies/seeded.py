"""Uniform numbers from a decision's seed, one stream a purpose: no hidden state, so they replay."""

from hashlib import blake2b


def uniform(seed: int, purpose: str) -> float:
    """A number in [0, 1), the same for the same seed and purpose everywhere."""
    digest = blake2b(f"{purpose}:{seed}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
