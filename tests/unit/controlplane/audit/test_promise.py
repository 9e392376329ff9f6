"""The windows of served quality: what each holds, what is still wanted, and the band."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from controlplane.audit.promise import LATEST, RUN, STRUCTURAL, Promise, Terms, anytime, promises
from controlplane.audit.served import Served
from dataplane.contract.records import millisecond
from tests.traffic import decision_id

TERMS = Terms(confidence=0.95, half_width=0.02, structural=2, span=5000)


def answers(
    count: int, quality: float = 0.8, segment: str = "default", version: int = 2, seed: int = 0
) -> list[Served]:
    """Newest first, a fifth of them labelled."""
    rng = np.random.default_rng(seed)
    found = [
        Served(
            decision_id(number),
            0.2 if rng.uniform() < 0.2 else None,
            float(rng.uniform() < quality),
            0.8,
            segment,
            version,
        )
        for number in reversed(range(count))
    ]
    return [each if each.probability else _unlabelled(each) for each in found]


def _unlabelled(each: Served) -> Served:
    return Served(each.decision_id, None, None, each.predicted, each.segment, each.policy_version)


def by_window(found: list[Promise]) -> dict[str, Promise]:
    return {each.window: each for each in found}


def test_three_windows_of_all_traffic() -> None:
    early = answers(1000, quality=0.2, version=1)
    late = [Served(decision_id(5000 + n), 0.5, 1.0, 0.8, "default", 2) for n in range(1500)]
    found = by_window(promises([*reversed(late), *early], TERMS))
    assert set(found) == {RUN, LATEST, STRUCTURAL}
    assert found[RUN].estimate.queries == 2500
    assert found[LATEST].estimate.labels == 1000
    assert found[STRUCTURAL].estimate.queries == 1500
    qualities = [found[name].estimate.quality for name in (RUN, STRUCTURAL)]
    assert qualities[0] is not None
    assert qualities[1] is not None
    assert qualities[0].estimate < 0.9
    assert qualities[1].estimate == 1.0


def test_each_segment_where_there_are_several() -> None:
    mixed = answers(600, segment="easy") + answers(600, segment="hard", quality=0.4, seed=2)
    found = by_window(promises(mixed, TERMS))
    assert len(found) == 9
    easy, hard = (found[f"{RUN}:{name}"].estimate for name in ("easy", "hard"))
    assert (easy.queries, hard.queries) == (600, 600)
    assert easy.quality is not None
    assert hard.quality is not None
    assert easy.quality.low > hard.quality.high


def test_labels_that_are_missing_fall_to_none() -> None:
    found = [promises(answers(count), TERMS)[0] for count in (0, 600, 2400)]
    assert [each.missing for each in found] == sorted(
        (each.missing for each in found), reverse=True
    )
    loose = Terms(0.95, 0.2, 1, 5000)
    assert promises(answers(2400), loose)[0].missing == 0
    needed = found[1]
    again = promises(answers(5 * (needed.estimate.labels + needed.missing)), TERMS)[0]
    quality = again.estimate.quality
    assert quality is not None
    assert (quality.high - quality.low) / 2 == pytest.approx(0.02, rel=0.25)


def test_the_band_is_wider_and_only_where_the_beginning_is_fixed() -> None:
    found = by_window(promises(answers(2000), TERMS))
    band, quality = found[RUN].band, found[RUN].estimate.quality
    assert band is not None
    assert quality is not None
    assert band.low < quality.low < quality.high < band.high
    assert found[LATEST].band is None
    sliding = by_window(promises(answers(2000), Terms(0.95, 0.02, 1, span=2000)))
    assert sliding[RUN].band is None
    assert sliding[STRUCTURAL].band is None
    assert anytime(answers(20), 0.95) is None


def test_the_band_holds_at_all_times_under_drift() -> None:
    missed = sum(_ever_missed(np.random.default_rng(seed)) for seed in range(60))
    assert missed / 60 <= 0.08


def _ever_missed(rng: np.random.Generator) -> bool:
    p = np.linspace(0.95, 0.7, 2000)
    right = (rng.uniform(size=2000) < p).astype(float)
    drawn = rng.uniform(size=2000) < 0.3
    served = [
        Served(decision_id(n), 0.3 if d else None, float(y) if d else None, float(m))
        for n, (d, y, m) in enumerate(zip(drawn, right, p, strict=True))
    ]
    for until in range(200, 2001, 200):
        band = anytime(served[:until][::-1], 0.95)
        if band and not band.low <= right[:until].mean() <= band.high:
            return True
    return False


def test_it_says_since_when_there_was_no_alarm() -> None:
    served = answers(100)
    first = millisecond(decision_id(0))
    quiet = promises(served, TERMS)[0].detail()
    assert (quiet["alarms"], quiet["no_alarm_since"]) == (0, first.isoformat())
    at = first + timedelta(seconds=5)
    before = datetime(2020, 1, 1, tzinfo=UTC)
    loud = promises(served, Terms(0.95, 0.02, 1, 5000, [at, before]))[0].detail()
    assert (loud["alarms"], loud["no_alarm_since"]) == (1, at.isoformat())
