"""Quality of served answers: what counts, what is said of silence, and coverage by simulation."""

from uuid import UUID

import numpy as np
import pytest

from controlplane.audit.served import Served, estimate
from controlplane.stats import wilson


def served(
    number: int,
    probability: float | None = None,
    value: float | None = None,
    predicted: float = 0.5,
) -> Served:
    return Served(UUID(int=number), probability, value, predicted)


def test_without_a_label_there_is_no_figure() -> None:
    nothing = estimate("run", [served(1), served(2, 0.1)], 0.95)
    assert (nothing.quality, nothing.labels, nothing.method) == (None, 0, "none")


def test_few_labels_are_weighed_by_their_chances() -> None:
    often = [served(n, 0.5, 1.0) for n in range(10)]
    rarely = [served(n, 0.1, 0.0) for n in range(10, 12)]
    quality = estimate("run", often + rarely, 0.95).quality
    assert quality is not None
    assert quality.estimate == pytest.approx(20 / 40)


def test_silence_widens_the_worst_case_to_both_sides() -> None:
    answers = [served(n, 0.1, 1.0) for n in range(80)] + [served(n, 0.1) for n in range(80, 100)]
    silent = estimate("run", answers, 0.95)
    assert silent.quality is not None
    assert silent.worst is not None
    assert silent.silent == pytest.approx(0.2)
    assert silent.worst.low == wilson(0.8, 100).low
    assert silent.worst.high == pytest.approx(1.0)


@pytest.mark.parametrize("queries", [1200, 3600])
def test_the_interval_covers_what_was_served_through_drift_silence_and_changing_rates(
    queries: int,
) -> None:
    covered = [_covers(np.random.default_rng(seed), queries) for seed in range(60)]
    assert np.mean(covered) >= 0.9


def _covers(rng: np.random.Generator, queries: int) -> bool:
    p = np.clip(np.linspace(0.95, 0.75, queries) + rng.normal(0, 0.15, queries), 0.02, 0.98)
    right = (rng.uniform(size=queries) < p).astype(float)
    chance = np.where(np.arange(queries) < queries / 3, 0.2, 0.1)
    drawn = rng.uniform(size=queries) < chance
    silent = rng.uniform(size=queries) < 0.1
    answers = [
        served(
            n,
            float(chance[n]) if drawn[n] else None,
            float(right[n]) if drawn[n] and not silent[n] else None,
            float(np.clip(p[n] + 0.05, 0, 1)),
        )
        for n in range(queries)
    ]
    quality = estimate("run", answers, 0.95).quality
    assert quality is not None
    return bool(quality.low <= right.mean() <= quality.high)


@pytest.mark.parametrize("quality", [0.95, 0.98, 0.995])
def test_the_interval_covers_where_hardly_anything_is_wrong(quality: float) -> None:
    """Normal intervals cover .94, .89, .71 of the time here: without errors they have no width."""
    rng, queries, chance = np.random.default_rng(4), 3000, 0.14
    p = np.clip(quality + rng.normal(0, 1 - quality, queries), 0, 1)
    right = (rng.uniform(size=queries) < p).astype(float)
    undrawn = [served(n, predicted=float(p[n])) for n in range(queries)]
    labelled = [served(n, chance, float(right[n]), float(p[n])) for n in range(queries)]
    inside = above = 0
    for _ in range(400):
        drawn = rng.uniform(size=queries) < chance
        answers = [
            one if d else other for one, other, d in zip(labelled, undrawn, drawn, strict=True)
        ]
        said = estimate("run", answers, 0.95).quality
        assert said is not None
        inside += said.low <= right.mean() <= said.high
        above += said.low > right.mean()
    assert inside / 400 >= 0.93
    assert above / 400 <= 0.045
