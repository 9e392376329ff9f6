"""Votes to labels: who is asked, whether they agree, and the one value that an answer gets.

A vote is what one labeller said of the answers to one query. A label is the value of one answer
that enters estimates and learning; it is settled once, and the votes stay.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import fsum
from typing import Literal
from uuid import UUID

from dataplane.contract.records import Source
from dataplane.contract.terms import TRUSTED

STANDINGS: tuple[Source, ...] = ("ground_truth", "verifier", "reference")  # the best first
SLACK = 1e-9  # of a tolerance: .3 and .05 are not more than .25 apart

Basis = Literal["single", "double", "adjudicated"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One labeller's grades by tier; an answer of which they are unsure is absent."""

    labeller: str
    source: Source
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Label:
    """The settled value of one answer, whose word it is, and on how many votes it rests."""

    key: str
    value: float
    source: Source
    basis: Basis


def doubled(decision_id: UUID, share: float) -> bool:
    """Whether a query wants two independent people: fixed by its id, so nobody chooses.

    >>> sum(doubled(UUID(int=number), 0.15) for number in range(2_000))
    312
    """
    digest = blake2b(f"double/{decision_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def heard(votes: Sequence[Vote], accepts: Collection[Source] = TRUSTED) -> list[Vote]:
    """The votes whose source the objective accepts as the truth."""
    return [vote for vote in votes if vote.source in accepts]


def disputed(votes: Sequence[Vote], tolerance: float) -> list[str]:
    """The answers on which people, or applications, are further apart than the tolerance.

    >>> disputed([Vote("anna", "ground_truth", {"local": 1}), Vote("bob", "verifier", {})], 0.25)
    []
    """
    people = [vote for vote in votes if vote.source == "ground_truth"]
    return [
        tier
        for tier in _tiers(people)
        if max(said := _said(people, tier)) - min(said) > tolerance + SLACK
    ]


def settle(
    votes: Sequence[Vote], torn: Collection[str] = (), adjudicator: str | None = None
) -> list[Label]:
    """One label an answer, where anybody was sure.

    Of a disputed answer it is the adjudicator's word alone, otherwise the mean of the votes before
    theirs. A lesser source counts where no better one spoke: sources are never mixed.
    """
    found = (_label(votes, tier, tier in torn, adjudicator) for tier in _tiers(votes))
    return [label for label in found if label is not None]


def _label(votes: Sequence[Vote], tier: str, torn: bool, adjudicator: str | None) -> Label | None:
    for source in STANDINGS:
        standing = [vote for vote in votes if vote.source == source and tier in vote.values]
        last = [vote for vote in standing if vote.labeller == adjudicator]
        first = [vote for vote in standing if vote.labeller != adjudicator]
        if torn and not last:
            return None
        count = last if torn else first or last
        if count:
            value = fsum(_said(count, tier)) / len(count)
            basis: Basis = "adjudicated" if torn else "double" if len(count) > 1 else "single"
            return Label(tier, value, source, basis)
    return None


def _tiers(votes: Sequence[Vote]) -> list[str]:
    return sorted({tier for vote in votes for tier in vote.values})


def _said(votes: Sequence[Vote], tier: str) -> list[float]:
    return [vote.values[tier] for vote in votes if tier in vote.values]
