"""What policies fitted on the other folds make of each query, at every lambda.

Queries are parted by a hash of their prompt. p_hat, the judge's table, g, b and the price list are
fitted on the folds without a query, by the product's own code; its course is what the product's
rule decides, and its cost is what was recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from controlplane.evaluate.baselines import Outcomes
from controlplane.evaluate.pairing import Pairs, Scores
from controlplane.evaluate.rehearsal import judge_table, price_list
from controlplane.evaluate.replay import EPOCH, Row
from controlplane.learn.evidence import Labels
from controlplane.learn.offline import Trained, train
from controlplane.start import untrained
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import AuditTerms, Mode, QualityTarget, ShadowTerms
from dataplane.strategies import Queries, courses
from tests.benchmarks.fitting import fit

FOLDS = 5
MODES: tuple[Mode, ...] = ("route", "cascade", "cascade_route")
LAMBDAS = np.geomspace(0.003, 3.0, 80)
TIERS = ("local", "cloud")

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Sweeps:
    """Per mode, USD and worth of N queries at each of ``LAMBDAS``: (N, L); and of either tier."""

    usd: Mapping[Mode, Array]
    quality: Mapping[Mode, Array]
    outcomes: Outcomes


def sweeps(
    judged: Mapping[str, Pairs], prompts: Sequence[str], seed: int, lambdas: Array = LAMBDAS
) -> dict[str, Sweeps]:
    """Out of fold, under each of several judges of the same answers to the same prompts."""
    fold = np.array([crc32(f"fold{seed}:{prompt}".encode()) % FOLDS for prompt in prompts])
    made = {name: _blank(pairs.rows, len(lambdas)) for name, pairs in judged.items()}
    for held in (np.flatnonzero(fold == part) for part in np.unique(fold)):
        taught = np.setdiff1d(np.arange(len(prompts)), held)
        any_rows = _at(next(iter(judged.values())).rows, taught)
        features = [row.features for row in any_rows]
        trained = [train(features, right) for right in np.array([row.worth for row in any_rows]).T]
        for name, pairs in judged.items():
            document = fitted(_at(pairs.rows, taught), _scores(pairs, taught), trained)
            _sweep(document, _at(pairs.rows, held), lambdas, made[name], held)
    return made


def _at(rows: Sequence[Row], places: Places) -> list[Row]:
    return [rows[place] for place in places]


def _scores(pairs: Pairs, places: Places) -> Scores:
    assert pairs.judge is not None
    return Scores(pairs.judge.name, pairs.judge.raw[places], pairs.judge.usd[places])


def _blank(rows: Sequence[Row], lambdas: int) -> Sweeps:
    usd, quality = ({mode: np.zeros((len(rows), lambdas)) for mode in MODES} for _ in range(2))
    return Sweeps(usd, quality, Outcomes.of(rows))


def fitted(rows: Sequence[Row], scores: Scores, trained: Sequence[Trained]) -> PolicyDocument:
    """The document of labelled rows, whose p_hat is out of fold among them."""
    chars = np.array([row.features.chars for row in rows], dtype=np.float64)
    right, usd = (np.array([getattr(row, name) for row in rows]) for name in ("worth", "usd"))
    plain = untrained(
        [price_list(name, chars, paid) for name, paid in zip(TIERS, usd.T, strict=True)],
        judge_table(scores, rows),
        QualityTarget(target_quality=float(right[:, 1].mean())),
        EPOCH,
        audit=AuditTerms(),
        shadow=ShadowTerms(),
        prompt_chars=float(chars.mean()),
    )
    p_hat, ones = np.stack([each.p_hat for each in trained], axis=-1), np.ones(len(rows))
    none = np.zeros(len(rows), dtype=np.intp)
    labels = Labels(p_hat, chars, scores.raw, none, right, np.ones_like(right), ones, ones)
    return fit(plain, labels, (each.state() for each in trained))


def _sweep(
    document: PolicyDocument, rows: Sequence[Row], lambdas: Array, into: Sweeps, places: Places
) -> None:
    score = np.array([np.nan if row.score is None else row.score for row in rows])
    queries = Queries.of(document, [row.features for row in rows], score)
    outcomes, judge_usd = Outcomes.of(rows), np.array([row.judge_usd for row in rows])
    local_usd = outcomes.always(0).cost_usd
    for mode in MODES:
        for at, lambda_ in enumerate(lambdas.tolist()):
            segment = document.segments[0].replaced(mode=mode, lambda_=lambda_)
            way = courses(document, segment, queries)
            served = outcomes.served(way.served)
            before = way.escalated * local_usd + way.judged * judge_usd
            into.usd[mode][places, at] = served.cost_usd + before
            into.quality[mode][places, at] = served.quality
