"""A recording as pairs: what the local and the cloud model made of each query, and the judge."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controlplane.evaluate.hints import TOKENS, hints
from controlplane.evaluate.recorded import TEXTS, Recording, RecordingError, did_you_mean, listed
from controlplane.evaluate.replay import Row
from dataplane.contract.rule import Array
from dataplane.features import of_text

AGREEMENT = "agreement:"
COST = "cost_usd"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to take from a recording.

    ``judge``: a numeric column of the local model's rows, or ``agreement:MODEL[,MODEL...]``. A
    price in USD per call replaces what the recording says of that tier, or of every judging model.
    ``where``: column to the values kept.
    """

    local: str
    cloud: str
    judge: str | None = None
    cost: str = COST
    local_price: float | None = None
    cloud_price: float | None = None
    judge_price: float | None = None
    category: bool = False
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """Every column that may be looked at."""
        judge = set() if self.judge is None else {self.judge}
        return {
            *TEXTS,
            "correct",
            "quality",
            "contaminated",
            "source",
            self.cost,
            TOKENS,
            *self.where,
        } | judge

    @property
    def peers(self) -> tuple[str, ...]:
        """The models whose agreement is the judge, in the order in which they are asked."""
        if self.judge is None or not self.judge.startswith(AGREEMENT):
            return ()
        return tuple(self.judge.removeprefix(AGREEMENT).split(","))

    @property
    def prices(self) -> dict[str, float | None]:
        """Model to its price per call, None where the recording tells it."""
        prices = {self.local: self.local_price, self.cloud: self.cloud_price}
        return dict.fromkeys(self.peers, self.judge_price) | prices


@dataclass(frozen=True, slots=True)
class Scores:
    """The judge of a recording: per pair the raw score (NaN: none) and its cost, both (N,)."""

    name: str
    raw: Array
    usd: Array


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries answered by both models; what was left out is counted."""

    ids: tuple[str, ...]
    rows: tuple[Row, ...]
    judge: Scores | None
    lacking: int  # queries without an outcome of either model
    contaminated: int  # queries dropped because the recording says so
    sources: tuple[str, ...] = ()  # where the outcomes come from, by the recording's own words
    categories: tuple[str, ...] = ()  # of each query, where the recording has them
    hints: Array | None = None  # what else is known of each query (N, K): see ``hints``


def pair(recording: Recording, wanted: Wanted) -> Pairs:
    """The pairs of a recording; ``RecordingError`` names what it lacks."""
    if wanted.local == wanted.cloud:
        raise RecordingError(f"--local and --cloud are both {wanted.local}: name two models")
    chosen = recording.where(wanted.where)
    columns = _Columns(chosen, wanted)
    local, cloud = (columns.of_model(model) for model in (wanted.local, wanted.cloud))
    known = local.keys() | cloud.keys()
    both = [query for query in local if query in cloud]
    known_before = columns.contaminated
    kept = [q for q in both if not (known_before[local[q]] or known_before[cloud[q]])]
    if not kept:
        raise RecordingError(
            f"{recording.path}: no query has an outcome of both {wanted.local} and {wanted.cloud}"
        )
    at_local, at_cloud = ([index[query] for query in kept] for index in (local, cloud))
    judge = _judged(columns, wanted, kept, at_local)
    categories = _categories(columns.recording, at_local)
    named = categories if wanted.category else ()
    rows = _rows(columns, at_local, at_cloud, judge, named)
    return Pairs(
        tuple(kept),
        rows,
        judge,
        lacking=len(known) - len(both),
        contaminated=len(both) - len(kept),
        sources=_sources(columns.recording, [*at_local, *at_cloud]),
        categories=categories,
        hints=hints(chosen, columns.quality, wanted.prices, (at_local, at_cloud)),
    )


def _sources(recording: Recording, at: Sequence[int]) -> tuple[str, ...]:
    if not recording.has("source"):
        return ()
    said = recording.texts("source")
    return tuple(sorted({source for i in at if (source := said[i])}))


def _categories(recording: Recording, at: Sequence[int]) -> tuple[str, ...]:
    if not recording.has("category"):
        return ()
    said = recording.texts("category")
    return tuple(said[i] or "" for i in at)


class _Columns:
    """The columns that pairing reads, each checked once."""

    def __init__(self, recording: Recording, wanted: Wanted) -> None:
        self.recording = recording
        self.queries = recording.texts("query_id")
        self.prompts = recording.texts("prompt")
        self.models = recording.texts("model")
        self.quality = recording.numbers(recording.need("correct", "quality"))
        self._check_range()
        self.usd = self._costs(wanted)
        self.contaminated = self._flags("contaminated")

    def _check_range(self) -> None:
        outside = np.flatnonzero((self.quality < 0) | (self.quality > 1))
        if len(outside):
            raise RecordingError(
                f"{self.recording.path}: row {outside[0] + 1} has a quality of "
                f"{self.quality[outside[0]]:g}; outcomes lie between 0 and 1"
            )

    def _costs(self, wanted: Wanted) -> Array:
        prices = wanted.prices
        if self.recording.has(wanted.cost) or None in prices.values():
            remedy = "; name one with --cost, or give --local-price and --cloud-price"
            usd = self.recording.numbers(self.recording.need(wanted.cost, remedy=remedy))
        else:
            usd = np.full(len(self.recording), np.nan)
        models = np.array(self.models, dtype=object)
        for model, price in prices.items():
            if price is not None:
                usd[models == model] = price
        return usd

    def _flags(self, name: str) -> Array:
        if not self.recording.has(name):
            return np.zeros(len(self.recording))
        return np.nan_to_num(self.recording.numbers(name))

    def of_model(self, model: str) -> dict[str, int]:
        """Query to the row that holds the model's outcome."""
        at = [i for i, each in enumerate(self.models) if each == model]
        if not at:
            names = {name for name in self.models if name}
            raise RecordingError(
                f'{self.recording.path}: no model "{model}"; its models are {listed(names)}'
                f"{did_you_mean(model, names)}"
            )
        rated = [i for i in at if not math.isnan(self.quality[i]) and self.queries[i]]
        self._check_once(model, rated)
        self._check_costs(model, rated)
        return {str(self.queries[i]): i for i in rated}

    def _check_once(self, model: str, at: Sequence[int]) -> None:
        query, times = Counter(self.queries[i] for i in at).most_common(1)[0] if at else ("", 1)
        if times > 1:
            raise RecordingError(
                f"{self.recording.path}: {model} has {times} rows of query {query}; "
                "choose one with --where COLUMN=VALUE"
            )

    def _check_costs(self, model: str, at: Sequence[int]) -> None:
        bad = [i for i in at if not (math.isfinite(self.usd[i]) and self.usd[i] >= 0)]
        if bad:
            raise RecordingError(
                f"{self.recording.path}: {len(bad)} rows of {model} have no cost (row {bad[0] + 1} "
                "is the first); give --local-price, --cloud-price or --judge-price in USD per call"
            )


def _judged(
    columns: _Columns, wanted: Wanted, kept: Sequence[str], at_local: Sequence[int]
) -> Scores | None:
    if wanted.judge is None:
        return None
    if wanted.peers:
        return _agreement(columns, wanted, kept, at_local)
    raw = columns.recording.numbers(wanted.judge)[at_local]
    if np.isnan(raw).all():
        raise RecordingError(
            f'{columns.recording.path}: column "{wanted.judge}" is empty for {wanted.local}'
        )
    return Scores(wanted.judge, raw, np.full(len(raw), wanted.judge_price or 0.0))


def _agreement(
    columns: _Columns, wanted: Wanted, kept: Sequence[str], at_local: Sequence[int]
) -> Scores:
    """How soon a peer gave the local answer: 1 for the first, 0 if none did; NaN if one is missing.

    They are asked in turn until one agrees, and every call is charged.
    """
    if {wanted.local, wanted.cloud} & set(wanted.peers):
        raise RecordingError(f"--judge {wanted.judge}: a judge that is also a tier is refused")
    answers = columns.recording.texts("answer")
    peers = [columns.of_model(peer) for peer in wanted.peers]
    raw, usd = np.full(len(kept), np.nan), np.zeros(len(kept))
    for place, (query, local) in enumerate(zip(kept, at_local, strict=True)):
        asked = [peer.get(query) for peer in peers]
        agreed = [at is not None and _same(answers[local], answers[at]) for at in asked]
        calls = agreed.index(True) + 1 if True in agreed else len(peers)
        known = [at for at in asked[:calls] if at is not None]
        if len(known) == calls:
            raw[place] = 1 - (calls - 1) / len(peers) if True in agreed else 0.0
            usd[place] = columns.usd[known].sum()
    return Scores(",".join(wanted.peers), raw, usd)


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and _bare(one) == _bare(other)


def _bare(answer: str) -> str:
    return answer.strip().casefold()


def _rows(
    columns: _Columns,
    at_local: Sequence[int],
    at_cloud: Sequence[int],
    judge: Scores | None,
    categories: Sequence[str],
) -> tuple[Row, ...]:
    rows = []
    for place, (local, cloud) in enumerate(zip(at_local, at_cloud, strict=True)):
        score = float(judge.raw[place]) if judge else math.nan
        category = categories[place] if categories else None
        rows.append(
            Row(
                features=of_text(columns.prompts[local] or "", category),
                local=float(columns.quality[local]),
                cloud=float(columns.quality[cloud]),
                score=None if math.isnan(score) else score,
                local_usd=float(columns.usd[local]),
                cloud_usd=float(columns.usd[cloud]),
                judge_usd=float(judge.usd[place]) if judge else 0.0,
            )
        )
    return tuple(rows)
