"""What a labeller is handed and hands back, and why it may be refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from dataplane.contract.records import Source

ANSWER = "answer:"
PROMPT = "prompt"
PROGRAMS: dict[str, Source] = {"verifier": "verifier", "reference": "reference"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Resolution = Literal["labelled", "unsure"]


class LabelError(Exception):
    """A verdict that is not taken, with the reason; nothing of it was written."""


class UnknownTaskError(LabelError):
    """No label was asked for."""


class TaskExpiredError(LabelError):
    """The task, or the lease on it, came to its end."""


class ForeignLeaseError(LabelError):
    """Another labeller holds the task, or nobody does."""


class AlreadyResolvedError(LabelError):
    """The task has its label."""


class InvalidVerdictError(LabelError):
    """A value or an answer that cannot be."""


@dataclass(frozen=True, slots=True)
class Labeller:
    """Who labels: the name on the outcome, and the API key behind it."""

    name: str
    key_id: str

    @property
    def holder(self) -> str:
        """Who holds a lease: a name is good for the key that used it only."""
        return f"{self.key_id}/{self.name}"

    @property
    def source(self) -> Source:
        """``verifier`` for programs that check, ``reference`` for a stronger model that guesses:
        they are named so, or ``verifier:..``; others are people.
        """
        return PROGRAMS.get(self.name.partition(":")[0], "ground_truth")

    @property
    def person(self) -> bool:
        """Whether it is nobody's program."""
        return self.source == "ground_truth"


@dataclass(frozen=True, slots=True)
class BlindAnswer:
    """An answer without its tier, score and cost."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """One leased query: its prompt (OpenAI messages) and the answers to grade."""

    decision_id: UUID
    at: datetime
    prompt: list[dict[str, Any]]
    answers: tuple[BlindAnswer, ...]
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grade in [0, 1] of the answer behind a blind key; None: unsure."""

    key: str
    value: float | None


def blind_order(decision_id: UUID, tiers: Sequence[str]) -> list[str]:
    """The tiers in the order of their blind keys: fixed by the decision, telling of neither.

    >>> blind_order(UUID(int=1), ["cloud", "local"]) == blind_order(UUID(int=1), ["local", "cloud"])
    True
    """
    return sorted(tiers, key=lambda tier: blake2b(f"{decision_id}/{tier}".encode()).digest())


def unblind(tiers: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Tier to value, those unsure left out; raises ``InvalidVerdictError``.

    ``tiers`` are in the order of their blind keys.

    >>> unblind(["cloud", "local"], [Verdict("b", 1.0), Verdict("a", None)])
    {'local': 1.0}
    """
    shown = dict(zip(LETTERS, tiers, strict=False))
    keys = [verdict.key for verdict in verdicts]
    for key in keys:
        if key not in shown:
            raise InvalidVerdictError(f"no answer '{key}' was shown, only {', '.join(shown)}")
    if len(set(keys)) != len(keys):
        raise InvalidVerdictError("an answer is graded twice")
    told = {verdict.key: verdict.value for verdict in verdicts if verdict.value is not None}
    for key, value in told.items():
        if not 0 <= value <= 1:
            raise InvalidVerdictError(
                f"the value of '{key}' is {value}: it must lie between 0 and 1"
            )
    return {shown[key]: float(value) for key, value in sorted(told.items())}
