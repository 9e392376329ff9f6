"""What the run would have cost otherwise: ``python -m dataplane.sandbox.scoring < TASK > RESULT``.

Asks both tiers every query, outside the gateway and outside the run's cost: the real model in an
engine of its own, the SIMULATED cloud by its rule. From that come the baselines (always one tier,
a random mix, the oracle), and the quality of each policy on fixed queries of the second half.

TASK is JSON as `Task`; RESULT is JSON as `Result`.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
import uvloop
from pydantic import BaseModel, ConfigDict

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import TierTerms
from dataplane.features import Features, of_text
from dataplane.judges import logprob
from dataplane.sandbox import MODEL_PATH, cloud, drift, model_sha256
from dataplane.sandbox.drift import Drift
from dataplane.sandbox.tasks import Query, is_correct, solve
from dataplane.sandbox.traffic import HARD, fixed, traffic
from dataplane.sandbox.workload import MAX_TOKENS
from dataplane.strategies import Queries, courses
from dataplane.tiers.base import Answer, Tier
from dataplane.tiers.local import LocalTier
from dataplane.tiers.process import EngineOptions

SLOTS = 8
DEADLINE_S = 120.0


class Task(BaseModel):
    """What to score: the traffic of a run, its target, and policies by their documents.

    ``after``: the mix from half way on. From the place ``changes_at`` on the tiers have the terms
    ``terms_after``, and the local one has drifted, if ``drift`` says how.
    """

    model_config = ConfigDict(extra="forbid")

    seed: int
    cloud_seed: int
    queries: int
    fixed_queries: int
    target_quality: float
    policies: list[PolicyDocument]
    changes_at: int
    terms_before: tuple[TierTerms, TierTerms]
    terms_after: tuple[TierTerms, TierTerms]
    after: str = HARD
    drift: Drift | None = None


class Assignment(BaseModel):
    """One way to serve the whole traffic: its share of right answers and its cost."""

    quality: float
    cost_usd: float


class Result(BaseModel):
    """The baselines, and quality by policy version on the fixed queries."""

    always_local: Assignment
    always_cloud: Assignment
    random_mix: Assignment
    oracle: Assignment
    quality_by_version: dict[int, float]


@dataclass(frozen=True, slots=True)
class Local:
    """The local answer to a text: right or not, the judge's raw score, its tokens."""

    right: bool
    score: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Both:
    """One query with what either tier makes of it, and what each charges."""

    features: Features
    local_right: bool
    cloud_right: bool
    score: float
    local_usd: float
    cloud_usd: float


async def ask(tier: Tier, texts: Iterable[str]) -> dict[str, Local]:
    """The tier's answer to each text, asked once."""
    wanted = list(dict.fromkeys(texts))
    free = asyncio.Semaphore(2 * SLOTS)

    async def one(text: str) -> Local:
        async with free:
            request = {
                "messages": [{"role": "user", "content": text}],
                "temperature": 0,
                "max_tokens": MAX_TOKENS,
            }
            return _graded(text, await tier.complete(request, time.monotonic() + DEADLINE_S))

    return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))


def _graded(text: str, answer: Answer) -> Local:
    used = answer.usage
    return Local(
        is_correct(text, answer.text),
        logprob.score(answer.logprobs or ()),
        used.prompt_tokens,
        used.completion_tokens,
    )


def drifted(kind: Drift, seed: int, text: str, local: Local) -> Local:
    """The local answer to a text as it is once that has drifted."""
    right = solve(text) or ""
    said, confidence = drift.changed(kind, seed, text, right if local.right else "")
    score = local.score if confidence is None else confidence
    return replace(local, right=local.right and said == right, score=score)


def both(
    queries: Sequence[Query],
    known: dict[str, Local],
    cloud_seed: int,
    tiers: tuple[TierTerms, TierTerms],
) -> list[Both]:
    """What either tier makes of each query, at the prices of ``tiers`` (local, cloud)."""
    local_terms, cloud_terms = tiers
    found = []
    for query in queries:
        local, said = known[query.text], cloud.answer(cloud_seed, query.text)
        found.append(
            Both(
                of_text(query.text),
                local.right,
                is_correct(query.text, said),
                local.score,
                local_terms.cost_usd(local.prompt_tokens, local.completion_tokens),
                cloud_terms.cost_usd(cloud.prompt_tokens(query.text), cloud.tokens(said)),
            )
        )
    return found


def always_local(run: Sequence[Both]) -> Assignment:
    """The cheap tier answers everything."""
    return _assignment(run, lambda each: (each.local_right, each.local_usd))


def always_cloud(run: Sequence[Both]) -> Assignment:
    """The dear tier answers everything."""
    return _assignment(run, lambda each: (each.cloud_right, each.cloud_usd))


def random_mix(run: Sequence[Both], target: float) -> Assignment:
    """As few queries to the dear tier, blindly, as reach the target on average."""
    cheap, dear = always_local(run), always_cloud(run)
    gap = dear.quality - cheap.quality
    share = min(max((target - cheap.quality) / gap, 0.0), 1.0) if gap > 0 else 0.0
    return Assignment(
        quality=cheap.quality + share * gap,
        cost_usd=cheap.cost_usd + share * (dear.cost_usd - cheap.cost_usd),
    )


def oracle(run: Sequence[Both], target: float) -> Assignment:
    """The cheapest assignment that reaches the target, knowing every answer beforehand.

    Each query counts alike, so the cheapest of those that only the dear tier gets right are sent
    there, as many as are needed and there are.
    """
    cheap = always_local(run)
    right = sum(each.local_right for each in run)
    mended = sorted(
        each.cloud_usd - each.local_usd for each in run if each.cloud_right and not each.local_right
    )
    needed = min(max(ceil(target * len(run) - 1e-9) - right, 0), len(mended))
    return Assignment(
        quality=(right + needed) / len(run), cost_usd=cheap.cost_usd + sum(mended[:needed])
    )


def _assignment(run: Sequence[Both], serve: Callable[[Both], tuple[bool, float]]) -> Assignment:
    served = [serve(each) for each in run]
    return Assignment(
        quality=sum(right for right, _ in served) / len(run),
        cost_usd=sum(usd for _, usd in served),
    )


def quality(policy: PolicyDocument, queries: Sequence[Both]) -> float:
    """Share right if this policy served these queries, by the strategies' own code."""
    scores = np.array([each.score for each in queries])
    seen = Queries.of(policy, [each.features for each in queries], scores)
    found = courses(policy, policy.segments[0], seen)
    local, cloud = np.array([(each.local_right, each.cloud_right) for each in queries]).T
    return float(np.where(found.to_dear, cloud, local).mean())


async def score(task: Task, tier: Tier) -> Result:
    """Everything that `Result` holds."""
    run = traffic(task.seed, task.queries, task.after)
    probes = fixed(task.seed, task.fixed_queries, task.after)
    known = await ask(tier, (query.text for query in (*run, *probes)))
    later = known
    if task.drift:
        later = {
            text: drifted(task.drift, task.cloud_seed, text, each) for text, each in known.items()
        }
    served = both(run[: task.changes_at], known, task.cloud_seed, task.terms_before)
    served += both(run[task.changes_at :], later, task.cloud_seed, task.terms_after)
    probed = both(probes, later, task.cloud_seed, task.terms_after)
    return Result(
        always_local=always_local(served),
        always_cloud=always_cloud(served),
        random_mix=random_mix(served, task.target_quality),
        oracle=oracle(served, task.target_quality),
        quality_by_version={policy.version: quality(policy, probed) for policy in task.policies},
    )


async def _main() -> None:
    task = Task.model_validate_json(sys.stdin.buffer.read())
    options = EngineOptions(MODEL_PATH, model_sha256(), context=128, slots=SLOTS, queue=4 * SLOTS)
    with TemporaryDirectory(prefix="penstock-scoring-") as directory:
        tier = LocalTier("local", "scoring", options, log=Path(directory, "engine.log"))
        await tier.start()
        try:
            result = await score(task, tier)
        finally:
            await tier.close()
    sys.stdout.buffer.write(orjson.dumps(result.model_dump(), option=orjson.OPT_NON_STR_KEYS))


def main() -> int:
    """Read the task, write the result."""
    uvloop.run(_main())
    return 0


if __name__ == "__main__":
    sys.exit(main())
