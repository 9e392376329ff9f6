"""What pages on decisions and policies show, on a seeded store, by the code that serves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg

from controlplane import proposals, registry
from controlplane.connection import connect
from controlplane.database import Database
from controlplane.operators import in_mode
from controlplane.promote import Stage, looked
from controlplane.stats.contest import Contest, compared, seen
from dataplane.contract.records import Decision, Outcome, Record, outcome_id
from tests.decided import decided, keep
from tests.policies import DOUBTFUL, SURE

HOSTILE = (
    "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"
    " [click](javascript:document.title='stolen') $$\\frac{1}{2}$$ **bold** of Thule"
)
REFUSAL = "unknown tiers here: <b>elsewhere</b>"
CAREFUL = 3  # a version that escalates what is doubtful


def explained(database: Database, at: datetime) -> str:
    """A query of somebody hostile that escalated, later labelled; its decision's id."""
    with connect(database.url_for("penstock_controlplane")) as connection:
        careful = registry.load(connection, CAREFUL)
    says = {"local": "Ultima", "cloud": f"It is {HOSTILE}"}
    records = decided(
        careful, HOSTILE, DOUBTFUL, at, says=says, request_id=f"order-77 {HOSTILE}"[:90]
    )
    keep(database.url, [*records, *_labels(records)])
    return _id(records)


def kept_locally(database: Database, at: datetime, prompt: str) -> str:
    """A query whose local answer was good enough; its decision's id."""
    with connect(database.url_for("penstock_controlplane")) as connection:
        records = decided(registry.live(connection), prompt, SURE, at, request_id="order-78")
    keep(database.url, records)
    return _id(records)


def _id(records: Sequence[Record]) -> str:
    return str(next(each.id for each in records if isinstance(each, Decision)))


def _labels(records: Sequence[Record]) -> list[Outcome]:
    decision = next(each for each in records if isinstance(each, Decision))
    return [
        Outcome(
            id=outcome_id(decision.id, tier, "ground_truth", "anna"), decision_id=decision.id,
            at=decision.at, key=tier, source="ground_truth", value=value, labeller="anna",
            observed_at=decision.at + timedelta(hours=3),
        )
        for tier, value in (("local", 0.0), ("cloud", 1.0))
    ]  # fmt: skip


def answered(database: Database) -> None:
    """Two data planes took the newest publication, one refused it, one has not answered it yet."""
    with psycopg.connect(database.url) as owner:
        (seq,) = owner.execute("SELECT max(seq) FROM publications").fetchone() or (0,)
        for plane, number, status, reason in (
            ("paris-1", seq, "ack", None),
            ("paris-2", seq, "ack", None),
            ("oslo-1", seq, "nack", REFUSAL),
            ("oslo-2", seq - 2, "ack", None),
        ):
            owner.execute(
                "INSERT INTO policy_acks (plane, seq, version, status, reason)"
                " VALUES (%s, %s, %s, %s, %s)",
                (plane, number, number, status, reason),
            )


def proposed(database: Database, stage: Stage = "shadow", pairs: int = 48) -> int:
    """A proposal in this stage, with so many pairs of labels; its version."""
    now = datetime.now(UTC)
    with psycopg.connect(database.url) as owner:
        owner.execute(
            'INSERT INTO estimates (policy_version, "window", n, quality, lo, hi, detail)'
            " VALUES (1, 'structural_policy', 900, .95, .93, .97, '{}')"
        )
    store = partial(connect, database.url_for("penstock_controlplane"))
    with store() as connection:
        candidate = in_mode(registry.live(connection), "cascade_route")
        made = proposals.propose(connection, candidate, (), "ada", now - timedelta(hours=2))
    with store() as connection:
        rollout = proposals.load(connection)
        began = now - timedelta(hours=1)
        rollout.proposal = replace(made, stage=stage, why="validated by 2 data planes", since=began)
        rollout.proposal = replace(
            rollout.proposal, contest=seen(Contest(), queries=1500, parted=420)
        )
        for number in range(pairs):
            current = rollout.proposal
            better = (1.0, 0.0, 0.0, 1.0, -1.0, 0.0)[number % 6]
            contest = compared(current.contest, better, current.claim)
            at = began + timedelta(minutes=number)
            saved = current.saved.told(2e-5 + 1e-6 * (number % 3))
            rollout.proposal = looked(replace(current, contest=contest, saved=saved), at)
        proposals.save(connection, rollout)
    return made.version
