"""The streams of the learning benchmark: recorded outcomes, a SIMULATED judge, named drifts.

RouteLLM's MMLU and GSM8K (Mixtral local, GPT-4 cloud), contaminated prompts dropped, halved by a
hash of the prompt. The first half teaches: most of it the prior, the rest warm labels. The second
half is drawn with replacement to make a stream. Costs are in units of one cloud call.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from controlplane.evaluate.pairing import Wanted, pair
from controlplane.evaluate.recorded import read
from controlplane.evaluate.replay import Row
from controlplane.learn.offline import train
from controlplane.learn.prior import Prior, fit
from controlplane.learn.quality import QualityPredictor
from dataplane.contract.rule import Array
from dataplane.features import Features

FILES = ("routellm_mmlu", "routellm_gsm8k")
WANTED = Wanted("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview")
LOCAL_COST, JUDGE_COST, CLOUD_COST = 0.02, 0.03, 1.0
AUROC, AUROC_AFTER = 0.80, 0.60
LOST = 0.25  # of the local tier's right answers
CHEAPER = 0.3  # cost of a cloud call after its price fell
HARD, HARD_AFTER = 1 / 3, 2 / 3  # share of the queries of lowest p_hat, before and after
WARM_IN = 8  # one prompt in so many of the teaching half is kept for warm labels
TARGET_SHARE = 0.8  # of the gap between the tiers

Drift: TypeAlias = Literal["none", "local", "judge", "mix", "price"]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Queries with what either tier's answer is worth, (N,)."""

    features: tuple[Features, ...]
    categories: tuple[str, ...]
    local: Array
    cloud: Array

    def __len__(self) -> int:
        return len(self.features)

    def at(self, places: NDArray[np.intp]) -> "Pool":
        """Some of them, in this order."""
        features = tuple(self.features[place] for place in places)
        categories = tuple(self.categories[place] for place in places)
        return Pool(features, categories, self.local[places], self.cloud[places])


@dataclass(frozen=True, eq=False)
class Halves:
    """What teaches, what warms, and what is served; no prompt is in two of them."""

    taught: Pool
    warm: Pool
    served: Pool

    @cached_property
    def prior(self) -> Prior:
        """What the teaching half says before the first query."""
        return fit(self.taught.features, np.column_stack([self.taught.local, self.taught.cloud]))

    @cached_property
    def taught_p_hat(self) -> Array:
        """(N, 2) of the teaching half by either tier's estimator, out of fold."""
        worth = (self.taught.local, self.taught.cloud)
        return np.stack([train(self.taught.features, each).p_hat for each in worth], axis=-1)

    @cached_property
    def predictor(self) -> QualityPredictor:
        """The local tier's p_hat as the prior has it."""
        return QualityPredictor.restore(self.prior.predictors[0])

    @cached_property
    def p_hat(self) -> Array:
        """Of the served half, as the prior has it (N,)."""
        return np.array([self.predictor.predict(each) for each in self.served.features])

    @cached_property
    def _harder(self) -> Array:
        """Chances of a draw after the mix turned harder (N,)."""
        hard = self.p_hat <= np.quantile(self.p_hat, HARD)
        return np.asarray(np.where(hard, HARD_AFTER / hard.sum(), (1 - HARD_AFTER) / (~hard).sum()))

    @property
    def target(self) -> float:
        """Quality that recovers ``TARGET_SHARE`` of the gap on the served half."""
        return self.target_under("none")

    def target_under(self, drift: Drift) -> float:
        """The target of a run: where the mix turns harder, one that is in reach afterwards too."""
        chances = self._harder if drift == "mix" else None
        low, high = (
            float(np.average(values, weights=chances))
            for values in (self.served.local, self.served.cloud)
        )
        return low + TARGET_SHARE * (high - low)

    def drawn(self, count: int, drift: Drift, rng: np.random.Generator) -> NDArray[np.intp]:
        """Places in the served half, with replacement."""
        if drift == "mix":
            return rng.choice(len(self.served), count, p=self._harder)
        return rng.integers(len(self.served), size=count)


def halves(data: Path, *, tuning: int | None = None) -> Halves:
    """The two halves of the recordings in ``data``.

    ``tuning`` names a split of the teaching half alone, in two: settings are chosen on such
    splits, and never see a prompt of the served half.
    """
    prompts, pool = _load(data)
    taught = _in(prompts, "half", 2)
    first, second = np.flatnonzero(taught == 0), np.flatnonzero(taught == 1)
    if tuning is not None:
        side = _in([prompts[place] for place in first], f"tune{tuning}", 2)
        first, second = first[side == 0], first[side == 1]
    warm = _in([prompts[place] for place in first], "warm", WARM_IN) == 0
    return Halves(pool.at(first[~warm]), pool.at(first[warm]), pool.at(second))


def _load(data: Path) -> tuple[list[str], Pool]:
    prompts: list[str] = []
    pools: list[Pool] = []
    for name in FILES:
        recording = read(data / f"{name}.parquet", WANTED.columns)
        pairs = pair(recording, WANTED)
        columns = (recording.texts(name) for name in ("query_id", "prompt", "category"))
        texts = {each: (text or "", kind or "") for each, text, kind in zip(*columns, strict=True)}
        prompts += [texts[each][0] for each in pairs.ids]
        kinds = tuple(texts[each][1] for each in pairs.ids)
        local, cloud = np.array([row.worth for row in pairs.rows]).T
        pools.append(Pool(tuple(row.features for row in pairs.rows), kinds, local, cloud))
    return prompts, Pool(
        tuple(each for pool in pools for each in pool.features),
        tuple(each for pool in pools for each in pool.categories),
        np.concatenate([pool.local for pool in pools]),
        np.concatenate([pool.cloud for pool in pools]),
    )


def _in(prompts: Sequence[str], salt: str, parts: int) -> NDArray[np.intp]:
    return np.array([crc32(f"{salt}:{prompt}".encode()) % parts for prompt in prompts], np.intp)


def drifted(pool: Pool, drift: Drift, seed: int) -> Pool:
    """The pool after a drift: the same queries of it are lost throughout a run."""
    if drift != "local":
        return pool
    gone = np.random.default_rng([seed, 3]).random(len(pool)) < LOST
    return replace(pool, local=np.where(gone, 0.0, pool.local))


def scores(right: Array, drift: Drift, rng: np.random.Generator) -> Array:
    """A SIMULATED judge's scores (N,): binormal, of AUROC ``AUROC`` until it drifts."""
    auroc = AUROC_AFTER if drift == "judge" else AUROC
    return np.asarray(rng.normal(size=len(right)) + np.sqrt(2) * norm.ppf(auroc) * right)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A stream: the place of each query in the served pool, and the rows to serve."""

    places: NDArray[np.intp]
    rows: tuple[Row, ...]


def stream(halves: Halves, seed: int, count: int, drift: Drift) -> Stream:
    """``count`` queries drawn with replacement; from half way the drift is in force."""
    rng = np.random.default_rng([seed, 7])
    places = halves.drawn(count, "none", rng)
    if drift == "mix":
        middle = (count + 1) // 2
        later = halves.drawn(count - middle, drift, np.random.default_rng([seed, 9]))
        places = np.concatenate([places[:middle], later])
    parts = [
        _rows(drifted(halves.served, now, seed).at(part), now, rng)
        for part, now in zip(np.array_split(places, 2), ("none", drift), strict=True)
    ]
    return Stream(places, (*parts[0], *parts[1]))


def warm(halves: Halves, seed: int, count: int) -> tuple[Row, ...]:
    """Queries whose answers are both labelled before the first one is served."""
    rng = np.random.default_rng([seed, 8])
    places = rng.choice(len(halves.warm), count, replace=False)
    return tuple(_rows(halves.warm.at(places), "none", rng))


def _rows(pool: Pool, drift: Drift, rng: np.random.Generator) -> list[Row]:
    raw = scores(pool.local, drift, rng).tolist()
    worth = zip(pool.local.tolist(), pool.cloud.tolist(), strict=True)
    usd = (LOCAL_COST, CHEAPER if drift == "price" else CLOUD_COST)
    return [
        Row(features, right, usd, score, JUDGE_COST)
        for features, right, score in zip(pool.features, worth, raw, strict=True)
    ]


def data_folder(named: Path | None) -> Path:
    """Where the recordings are; raises ``FileNotFoundError`` with the remedy."""
    given = named or (Path(os.environ["PENSTOCK_DATA"]) if "PENSTOCK_DATA" in os.environ else None)
    if given is None or not (given / f"{FILES[0]}.parquet").is_file():
        raise FileNotFoundError(f"no recordings in {given}: name their folder with --data DIR")
    return given
