"""Malicious feedback keys: what they cost, and what they would cost a learner that believed them.

``python -m tests.benchmarks.poisoning``. Streams and their judge are SIMULATED. Every query has the
vote of one of 100 keys on the answer that was served, and the malicious ones (5 or 20 %) say the
contrary of the truth from a third of the stream on. Penstock settles labels from audits and votes
as it always does, and ``drop`` is what quality loses by the votes from then on, in points. Beside
it a learner that believes each vote: what that loses against honest keys and costs more, and the
queries until the audit's anytime band lies below the target less its tolerance, when a rollback is
due.
One that is never due within the stream counts with all that is left of it.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np

from controlplane.audit.promise import anytime
from controlplane.audit.served import Served as Audited
from controlplane.audit.votes import Vote, heard, settle
from controlplane.evaluate.replay import Replay, Served
from controlplane.learn.learner import Learner
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.observations import Labelled
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, LinearEstimator, QualityTarget, ShadowTerms
from dataplane.strategies.seeded import uniform
from tests.benchmarks.command import report
from tests.benchmarks.figure import Figure, table
from tests.unit.controlplane.learn.rows import EASY, rows
from tests.unit.dataplane.policies import policy

QUERIES, KEYS = 6000, 100
SHARES = (0.05, 0.2)
TIERS = ("local", "cloud")
TARGET, TOLERANCE = 0.9, 0.02
AUDIT = 0.1
CHECKED = 100  # queries between two looks at the audit
SETTINGS = LearnerSettings(cold=DrawRates(0.2, 0.2), steady=DrawRates(AUDIT, AUDIT))


class Settling(Learner):
    """Its labels are settled among the auditor's word and the vote of the query's key."""

    def __init__(self, malicious: float, turned: int) -> None:
        super().__init__(TIERS, SETTINGS)
        self._malicious = malicious
        self._turned = turned

    def learn(self, labelled: Sequence[Labelled]) -> None:
        """The same queries, with what their votes make of the labels."""
        super().learn([self._voted(each) for each in labelled])

    def _voted(self, each: Labelled) -> Labelled:
        number, served = each.observation.decision_id.int, each.observation.served
        lies = number >= self._turned and malevolent(number, self._malicious)
        said = {served: 1 - each.right[served] if lies else each.right[served]}
        return replace(each, right=self._settled(dict(each.right), said))

    def _settled(self, right: dict[str, float], said: dict[str, float]) -> dict[str, float]:
        votes = [Vote("auditor", "ground_truth", right), Vote("key", "feedback", said)]
        return {label.key: label.value for label in settle(heard(votes))}


class Believing(Settling):
    """Takes each vote on a served answer for its label. This is what the product does not do."""

    def _settled(self, right: dict[str, float], said: dict[str, float]) -> dict[str, float]:
        return right | said


@dataclass(frozen=True, slots=True)
class Poisoned:
    """What votes did to one stream from the turn on, in points of quality and shares of cost."""

    drop: float
    drop_believed: float
    dearer_believed: float
    rollback_believed: float


def malevolent(number: int, malicious: float) -> bool:
    """Whether the key of a query is one of the malicious ones."""
    return int(uniform(number, "key") * KEYS) < malicious * KEYS


def start() -> PolicyDocument:
    """Always-cloud, untrained."""
    return policy(
        segment={"mode": "always_cloud", "lambda_": 0.0, "trust": "open"},
        estimators=(LinearEstimator(), LinearEstimator()),
        objective=QualityTarget(target_quality=TARGET, tolerance=TOLERANCE),
        audit=AuditTerms(rate=0.2),
        shadow=ShadowTerms(rate=0.2),
    )


def measure(seed: int, shares: Sequence[float], queries: int = QUERIES) -> list[Poisoned]:
    """One stream with each of these shares of malicious keys."""
    traffic, turned = rows(seed, queries, EASY), queries // 3

    def after(learner: Learner) -> list[Served]:
        return list(Replay(start(), learner, seed=seed).run(traffic))[turned:]

    quiet, honest = after(Learner(TIERS, SETTINGS)), after(Believing(0.0, turned))
    found = []
    for share in shares:
        told, lied = after(Settling(share, turned)), after(Believing(share, turned))
        found.append(
            Poisoned(
                100 * (quality(quiet) - quality(told)),
                100 * (quality(honest) - quality(lied)),
                cost(lied) / cost(honest) - 1,
                rollback(lied, seed),
            )
        )
    return found


def _id(number: int) -> UUID:
    return UUID(int=1_772_000_000_000 << 80 | 0x7 << 76 | 0x2 << 62 | number)


def quality(served: Sequence[Served]) -> float:
    """Share right."""
    return float(np.mean([each.quality for each in served]))


def cost(served: Sequence[Served]) -> float:
    """USD a query, shadows included."""
    return float(np.mean([each.cost_usd + each.shadow_usd for each in served]))


def rollback(served: Sequence[Served], seed: int) -> float:
    """Queries until audits show that quality is below what is promised."""
    after = [
        Audited(_id(each.at), AUDIT, each.quality, TARGET)
        if uniform(each.at + (seed << 32), "audit") < AUDIT
        else Audited(_id(each.at), None, None, TARGET)
        for each in served
    ]
    for until in range(CHECKED, len(after) + 1, CHECKED):
        band = anytime(after[:until][::-1], 0.95)
        if band is not None and band.high < TARGET - TOLERANCE:
            return float(until)
    return float(len(after))


def figures(seeds: Sequence[int]) -> Mapping[str, Figure]:
    """Of all seeds, by the share of malicious keys."""
    runs = [measure(seed, SHARES) for seed in seeds]
    found: dict[str, Figure] = {}
    for share, each in zip(SHARES, zip(*runs, strict=True), strict=True):
        name = f"poisoned_{round(100 * share):02}"
        believed = f"{name}_if_believed"
        found |= {
            f"{name}_drop": Figure.mean([run.drop for run in each], "points"),
            f"{believed}_drop": Figure.mean([run.drop_believed for run in each], "points"),
            f"{believed}_dearer": Figure.mean([run.dearer_believed for run in each], "share"),
            f"{believed}_rollback": Figure.mean([r.rollback_believed for r in each], "queries"),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """0 once measured."""
    made = argparse.ArgumentParser("python -m tests.benchmarks.poisoning", description=__doc__)
    made.add_argument("--seeds", default="101-102", help="A-B; 101-102 take up to 20 minutes")
    made.add_argument("--data", type=Path, help="not read: the streams are SIMULATED")
    made.add_argument("--json", help="write the figures to FILE, - for standard output")
    given = made.parse_args(arguments)
    first, _, last = given.seeds.partition("-")
    named = figures(range(int(first), int(last or first) + 1))
    sys.stderr.write(table(named) + "\n")
    report(named, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
