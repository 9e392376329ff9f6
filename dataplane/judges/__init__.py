"""Judges: an answer to a raw score; one file each."""

from collections.abc import Callable, Sequence

from dataplane.judges import logprob

JUDGES: dict[str, Callable[[Sequence[float]], float]] = {"logprob": logprob.score}
"""By the name that a policy's judge table carries."""
