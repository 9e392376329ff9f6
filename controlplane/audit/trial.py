"""One judge on trial in one segment: its gate, and what the gate was told."""

import math
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from controlplane.audit.comparison import Comparison
from controlplane.stats.detector import detect
from controlplane.stats.gate import Gate, Terms, observe

LEAST_PACE = 10  # pairs before it is said how many more an opening might take


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate was told since it last stood otherwise.

    ``mean_difference``: utility of judging less that of routing, a query. ``log_evidence`` is that
    of an e-value while closed, of an e-detector since; the gate moves when it reaches ``wanted``.
    """

    queries: int
    pairs: int
    mean_difference: float
    log_evidence: float
    wanted: float

    @property
    def pairs_missing(self) -> int | None:
        """How many more pairs would move the gate at the pace so far; None: it does not near."""
        if self.pairs < LEAST_PACE or self.log_evidence <= 0:
            return None
        pace = self.log_evidence / self.pairs
        return math.ceil(max(self.wanted - self.log_evidence, 0.0) / pace)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is infinite is absent."""
        known = {name: value for name, value in asdict(self).items() if math.isfinite(value)}
        e_value = math.exp(self.log_evidence) if self.log_evidence < 700 else None
        return known | {"e_value": e_value, "e_value_wanted": math.exp(self.wanted)}

    @property
    def words(self) -> str:
        """In a sentence."""
        return (
            f"{self._worth} (e-value {math.exp(self.log_evidence):.3g}, "
            f"{math.exp(self.wanted):.3g} wanted)"
        )

    @property
    def words_of_closing(self) -> str:
        """In a sentence, once the gate is no longer closed: the evidence is of the reverse."""
        return (
            f"{self._worth} (that it does not pay: e-value {math.exp(self.log_evidence):.3g}; "
            f"{math.exp(self.wanted):,.0f} would close the gate)"
        )

    @property
    def _worth(self) -> str:
        return (
            f"worth {self.mean_difference:+.3f} a query against routing, by {self.pairs} pairs "
            f"among {self.queries} audited queries"
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """A gate, and what it was told ``since`` it last stood otherwise; ``proof`` is why it moved."""

    gate: Gate = field(default_factory=Gate)
    since: datetime | None = None
    queries: int = 0
    pairs: int = 0
    total: float = 0.0  # of the differences
    weight: float = 0.0
    proof: Evidence | None = None

    def evidence(self, terms: Terms) -> Evidence:
        """As it stands."""
        closed = self.gate.standing == "closed"
        part = self.gate.opening if closed else self.gate.closing
        wanted = -math.log(terms.level) if closed else math.log(terms.run_length)
        mean = self.total / self.weight if self.weight else 0.0
        return Evidence(self.queries, self.pairs, mean, part.log_evidence, wanted)

    def hear(self, told: Comparison, at: datetime, terms: Terms) -> "Trial":
        """The trial after one query, of that time."""
        gate = observe(self.gate, told.difference, terms, pair=told.pair)
        more = replace(
            self,
            gate=gate,
            since=self.since or at,
            queries=self.queries + 1,
            pairs=self.pairs + told.pair,
            total=self.total + told.difference,
            weight=self.weight + told.weight,
        )
        if gate.standing == self.gate.standing:
            return more
        last = self._until(gate, told, terms)
        return Trial(gate, at, proof=replace(more, gate=last).evidence(terms))

    def _until(self, moved: Gate, told: Comparison, terms: Terms) -> Gate:
        """The gate with what moved it, before it stood otherwise."""
        if self.gate.standing == "closed":
            return replace(self.gate, opening=moved.opening)
        last = detect(self.gate.closing, -told.difference, least=-terms.reach, fresh=told.pair)
        return replace(self.gate, closing=last)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        plain = {name: getattr(self, name) for name in ("queries", "pairs", "total", "weight")}
        since = self.since and self.since.isoformat()
        proof = self.proof and asdict(self.proof)
        return plain | {"gate": self.gate.state(), "since": since, "proof": proof}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Trial":
        """Inverse of ``state``."""
        since = state["since"] and datetime.fromisoformat(state["since"])
        proof = state["proof"] and Evidence(**state["proof"])
        return cls(**state | {"gate": Gate.restored(state["gate"]), "since": since, "proof": proof})
