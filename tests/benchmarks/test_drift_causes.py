"""The benchmark of causes on few queries, and what its figures count."""

import os

import pytest

from tests.benchmarks import drift_causes
from tests.benchmarks.drift_causes import KINDS, Kind, Outcome, World, figures, outcomes
from tests.benchmarks.streams import data_folder, halves

DATA = os.environ.get("PENSTOCK_DATA")
recorded = pytest.mark.skipif(DATA is None, reason="PENSTOCK_DATA names no folder of recordings")


def outcome(kind: str, *named: str, alarms: tuple[int, int] = (0, 0)) -> Outcome:
    return Outcome(kind, named, 500 if named else None, alarms)


def test_a_run_is_right_only_if_its_cause_and_no_other_is_named() -> None:
    found = [
        outcome(name, kind.cause) if kind.cause else outcome(name) for name, kind in KINDS.items()
    ]
    assert all(each.rightly for each in found)
    again = [each for each in found if each.kind != "local"]
    again += [outcome("local", "judge", "local"), outcome("none", "mix", alarms=(1, 2))]
    told = figures([*found, *again])
    assert told["drift_named_rate_min"].value == told["drift_named_rate_local"].value == 0.5
    assert told["drift_named_rate_judge"].value == 1.0
    assert told["false_named_rate"].value == pytest.approx(1 / 3)
    assert told["false_alarms_per_10k"].value == pytest.approx(10_000 / 9_000)


@pytest.mark.slow
@recorded
def test_a_short_run_names_what_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_causes, "BEFORE", 1_500)
    plain = {"none": Kind("", World(), 300), "mix": Kind("mix", World(hard=0.95), 600)}
    monkeypatch.setattr(drift_causes, "KINDS", plain)
    assert [each.rightly for each in outcomes(halves(data_folder(None)), 2001)] == [True, True]
