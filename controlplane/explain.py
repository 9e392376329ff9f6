"""Why this answer: logged decisions computed again, by the code that made them.

A decision is a pure function of policy, features, eligibility and seed, so its replay must give
the logged numbers to the last bit; a mismatch means that the record or the code is not what it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from controlplane.connection import Connection
from controlplane.observe import DecisionKey
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import millisecond
from dataplane.features import Features
from dataplane.strategies import Choice, Context, State, choose, consider
from dataplane.strategies.eligibility import remaining

POLICIES_KEPT = 256
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Decided:
    """A logged decision: what its steps were computed from, and the steps as logged (JSON)."""

    id: UUID
    policy_version: int
    features: Features
    segment: str
    eligible: Sequence[str]
    seed: int
    steps: Sequence[Mapping[str, Any]]
    excluded: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """One step as logged beside its replay; ``choice`` is None where it cannot be computed."""

    logged: Mapping[str, Any]
    choice: Choice | None

    @property
    def matches(self) -> bool:
        """Whether pmf, action, propensity, threshold and values are the same to the last bit."""
        choice, logged = self.choice, self.logged
        return choice is not None and (
            choice.pmf == logged["pmf"]
            and choice.action == logged["action"]
            and choice.propensity == logged["propensity"]
            and choice.threshold == logged["threshold"]
            and choice.values == logged["values"]
        )

    def words(self) -> dict[str, Any]:
        """Both sides as JSON values."""
        replayed = self.choice and asdict(self.choice) | {"propensity": self.choice.propensity}
        return {"logged": self.logged, "replayed": replayed, "matches": self.matches}


class Tally(NamedTuple):
    """How many decisions were computed again, and how many of them came out otherwise."""

    replayed: int
    mismatched: int


def replay(decided: Decided, policy: PolicyDocument) -> list[Replayed]:
    """Every step of a decision, computed again under the policy that served it."""
    context = consider(policy, decided.features, decided.segment, decided.eligible)
    actions = [step["action"] for step in decided.steps]
    return [
        Replayed(step, _choice(context, step["state"], actions[:place], decided))
        for place, step in enumerate(decided.steps)
    ]


def _choice(
    context: Context, logged: Mapping[str, Any], actions: Sequence[str], decided: Decided
) -> Choice | None:
    """What is chosen in a logged state after these actions; None where nothing can be."""
    state = State(tuple(logged["answered"]), logged["score"])
    left = remaining(decided.eligible, actions, state)
    try:
        return choose(context.within(left), state, decided.seed)
    except ValueError:
        return None


def replay_all(connection: Connection) -> Tally:
    """Every logged decision that has steps, read in bounded memory."""
    document = shelf(connection)
    replayed = mismatched = 0
    for decided in _all(connection):
        policy = document(decided.policy_version)
        steps = [] if policy is None else replay(decided, policy)
        replayed += 1
        mismatched += not steps or not all(step.matches for step in steps)
    return Tally(replayed, mismatched)


def shelf(connection: Connection) -> Callable[[int], PolicyDocument | None]:
    """Documents by version, each parsed once; None for one that was never kept."""

    @lru_cache(POLICIES_KEPT)
    def document(version: int) -> PolicyDocument | None:
        row = connection.execute(SQL["policy_document"], {"version": version}).fetchone()
        return None if row is None else PolicyDocument.from_json(row["document"])

    return document


def find(connection: Connection, id: UUID) -> Decided | None:  # noqa: A002 - the API's own word
    """One logged decision with its steps."""
    key = DecisionKey(millisecond(id), id)
    row = connection.execute(SQL["decided"], key._asdict()).fetchone()
    return None if row is None else _decided(row)


def _all(connection: Connection) -> Iterator[Decided]:
    with connection.cursor("replay") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(SQL["all_decided"])
        for row in cursor:
            yield _decided(row)


def _decided(row: Mapping[str, Any]) -> Decided:
    return Decided(
        id=row["id"],
        policy_version=row["policy_version"],
        features=Features.from_compact(row["features"]),
        segment=row["segment"],
        eligible=row["eligible"],
        seed=row["seed"],
        steps=row["steps"],
        excluded=list(row["excluded"]),
    )
