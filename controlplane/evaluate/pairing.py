"""A recording as pairs: what the local and the dear models made of each query, and the judge."""

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
    ``where``: column to the values kept. ``between``: further tiers, in any order.
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
    between: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the tiers: the local one first, the cloud's last."""
        return (self.local, *self.between, self.cloud)

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
        others = dict.fromkeys(self.peers, self.judge_price) | dict.fromkeys(self.between)
        return others | prices


@dataclass(frozen=True, slots=True)
class Scores:
    """The judge of a recording: per pair the raw score (NaN: none) and its cost, both (N,)."""

    name: str
    raw: Array
    usd: Array


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries answered by all models; what was left out is counted.

    ``tiers`` are the models: local, those between by their mean recorded cost, cloud.
    """

    tiers: tuple[str, ...]
    ids: tuple[str, ...]
    rows: tuple[Row, ...]
    judge: Scores | None
    lacking: int  # queries without an outcome of some model
    contaminated: int  # queries dropped because the recording says so
    sources: tuple[str, ...] = ()  # where the outcomes come from, by the recording's own words
    categories: tuple[str, ...] = ()  # of each query, where the recording has them
    hints: Array | None = None  # what else is known of each query (N, K): see ``hints``


def pair(recording: Recording, wanted: Wanted) -> Pairs:
    """The pairs of a recording; ``RecordingError`` names what it lacks."""
    (name, times), *_ = Counter(wanted.models).most_common(1)
    if times > 1:
        raise RecordingError(f"{name} is named as {times} tiers: name a model for each")
    chosen = recording.where(wanted.where)
    columns = _Columns(chosen, wanted)
    answers = {model: columns.of_model(model) for model in wanted.models}
    known = set().union(*answers.values())
    all_of = [q for q in answers[wanted.local] if all(q in each for each in answers.values())]
    known_before = columns.contaminated
    kept = [q for q in all_of if not any(known_before[each[q]] for each in answers.values())]
    if not kept:
        names = ", ".join(wanted.models[:-1])
        raise RecordingError(
            f"{recording.path}: no query has an outcome of {names} and {wanted.cloud}"
        )
    places = {model: [each[query] for query in kept] for model, each in answers.items()}
    between = sorted(wanted.between, key=lambda model: columns.usd[places[model]].mean())
    tiers = (wanted.local, *between, wanted.cloud)
    at = [places[model] for model in tiers]
    judge = _judged(columns, wanted, kept, at[0])
    categories = _categories(columns.recording, at[0])
    named = categories if wanted.category else ()
    return Pairs(
        tiers,
        tuple(kept),
        _rows(columns, at, judge, named),
        judge,
        lacking=len(known) - len(all_of),
        contaminated=len(all_of) - len(kept),
        sources=_sources(columns.recording, [place for each in at for place in each]),
        categories=categories,
        hints=hints(chosen, columns.quality, wanted.prices, at),
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
    if set(wanted.models) & set(wanted.peers):
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
    at: Sequence[Sequence[int]],
    judge: Scores | None,
    categories: Sequence[str],
) -> tuple[Row, ...]:
    rows = []
    for place, answers in enumerate(zip(*at, strict=True)):
        score = float(judge.raw[place]) if judge else math.nan
        category = categories[place] if categories else None
        rows.append(
            Row(
                features=of_text(columns.prompts[answers[0]] or "", category),
                worth=tuple(columns.quality[list(answers)].tolist()),
                usd=tuple(columns.usd[list(answers)].tolist()),
                score=None if math.isnan(score) else score,
                judge_usd=float(judge.usd[place]) if judge else 0.0,
            )
        )
    return tuple(rows)
