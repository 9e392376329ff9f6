"""Judges: an answer to a raw score; one file each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataplane.judges import logprob

JUDGES: dict[str, Callable[[Sequence[float]], float]] = {"logprob": logprob.score}
"""By the name that a policy's judge table carries: from the log-probabilities of an answer."""

READERS: dict[str, Callable[[Sequence[Mapping[str, Any]], str], float]] = {}
"""Judges that read words: a raw score of any answer to these messages. There is none yet."""
