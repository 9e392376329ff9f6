"""Scoreboard: what the run could have been, and how it took the change half way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from controlplane.demo import parts
from controlplane.demo.lines import Line
from controlplane.demo.options import Options
from controlplane.demo.site import Site
from controlplane.launch import result
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import TierTerms

DEADLINE_S = 600.0


class Assignment(BaseModel):
    """One way to serve the whole traffic: its share of right answers and its cost."""

    quality: float
    cost_usd: float


class Scores(BaseModel):
    """The baselines, and the quality of policy versions on fixed queries of the second half."""

    always_local: Assignment
    always_cloud: Assignment
    random_mix: Assignment
    oracle: Assignment
    quality_by_version: dict[int, float]


@dataclass(frozen=True, slots=True)
class Change:
    """From which place on the world was another one, and the tiers' terms until then and since."""

    at: int
    terms_before: Sequence[TierTerms]
    terms_after: Sequence[TierTerms]


def score(
    site: Site, options: Options, change: Change, policies: Sequence[PolicyDocument]
) -> Scores:
    """Both tiers asked every query, outside the run, by a process of the sandbox.


    Its words stay beside the run's data as ``scores.json``. Raises ``PartFailedError``.
    """
    task = {
        "seed": options.seed,
        "cloud_seed": options.seed,
        "queries": options.queries,
        "fixed_queries": options.fixed_queries,
        "target_quality": options.target_quality,
        "policies": [json.loads(policy.to_json()) for policy in policies],
        "changes_at": change.at,
        "terms_before": [terms.model_dump(mode="json") for terms in change.terms_before],
        "terms_after": [terms.model_dump(mode="json") for terms in change.terms_after],
        "after": options.mix_after,
        "drift": options.drift if options.answers_drift else None,
    }
    said = result(parts.scoring(), site.logs, json.dumps(task).encode(), DEADLINE_S)
    (site.directory / "scores.json").write_bytes(said)
    return Scores.model_validate_json(said)


HOLDS = 500  # queries: an estimate on 2,000 fixed queries is itself uncertain by 0.7 points


def recovered_after(
    lines: Sequence[Line], quality: Mapping[int, float], changes_at: int, floor: float
) -> int | None:
    """Queries after the change until the live policy's quality is back at ``floor``.

    Back means that it holds for the next ``HOLDS`` queries, or to the end. 0: it never left;
    None: it never came back. ``lines`` are by place, ``quality`` by version.
    """
    holds = [
        quality[line.policy_version] >= floor
        for line in lines
        if line.place >= changes_at and line.policy_version is not None
    ]
    if all(holds):
        return 0
    left = holds.index(False)
    return next((at for at in range(left, len(holds)) if all(holds[at : at + HOLDS])), None)
