"""When retunes are watched, and what they are told; their way back is in integration."""

import json
from datetime import timedelta
from typing import Any

import pytest

from controlplane.observations import Labelled
from controlplane.retunes import Watch, promise, watched
from dataplane.contract.terms import AuditTerms, CostCeiling, QualityTarget
from tests.policies import policy
from tests.traffic import query

NOW = query(0).at
AUDIT = AuditTerms(rate=0.2)
RETUNE = policy("cascade", version=4, parent=3, audit=AUDIT)


def begun() -> Watch:
    found = watched(None, RETUNE, 3, NOW, alarmed=False)
    assert found is not None
    return found


def labelled(right: dict[str, float], version: int = 4, **fields: Any) -> Labelled:
    seen = query(1, answered=("cloud",), policy_version=version, **fields)
    return Labelled(seen, right, 0.2, 0.0)


def test_it_begins_with_the_first_retune_and_stays() -> None:
    assert watched(None, RETUNE, 4, NOW, alarmed=False) is None
    first = begun()
    assert (first.kept, first.since) == (3, NOW)
    assert first.bar.promised == pytest.approx(0.88)
    told = first.heard(labelled({"cloud": 0.0}))
    again = RETUNE.model_copy(update={"version": 5, "parent": 4})
    assert watched(told, again, 3, NOW + timedelta(hours=1), alarmed=False) is told


@pytest.mark.parametrize(
    ("document", "kept", "alarmed"),
    [
        (RETUNE, 3, True),
        (RETUNE, 2, False),
        (policy("cascade", version=4, objective=QualityTarget(target_quality=0.8), audit=AUDIT),
         3, False),
    ],
)  # fmt: skip
def test_it_begins_anew_with_an_alarm_another_policy_or_another_promise(
    document: Any, kept: int, alarmed: bool
) -> None:
    told = begun().heard(labelled({"cloud": 0.0}))
    later = NOW + timedelta(hours=1)
    found = watched(told, document, kept, later, alarmed=alarmed)
    assert found is not None
    assert (found.contest.pairs, found.since) == (0, later)


@pytest.mark.parametrize(
    "objective",
    [
        CostCeiling(ceiling_usd_per_query=1.0),
        QualityTarget(target_quality=0.9, reference="always_cloud"),
        QualityTarget(target_quality=0.9, tolerance=0.0),
    ],
)
def test_where_nothing_of_its_own_is_promised_or_audited_it_is_not_watched(objective: Any) -> None:
    assert promise(objective) is None
    document = policy("cascade", version=4, objective=objective, audit=AUDIT)
    assert watched(None, document, 3, NOW, alarmed=False) is None
    unaudited = policy("cascade", version=4, audit=AuditTerms())
    assert watched(None, unaudited, 3, NOW, alarmed=False) is None


def test_labels_of_other_versions_other_answers_and_of_before_say_nothing() -> None:
    first = begun()
    wrong = {"cloud": 0.0}
    assert first.heard(labelled(wrong)).contest.pairs == 1
    assert first.heard(labelled({"local": 0.0})) is first
    assert first.heard(labelled(wrong, version=3)) is first
    late = Watch(first.kept, NOW + timedelta(hours=1), first.bar)
    assert late.heard(labelled(wrong)) is late


def test_enough_wrong_answers_end_it() -> None:
    found = begun()
    for _ in range(5):
        found = found.heard(labelled({"cloud": 1.0}))
    assert not found.lost
    for _ in range(20):
        found = found.heard(labelled({"cloud": 0.0}))
    assert found.lost
    assert "25 answers labelled" in found.why


def test_it_goes_on_exactly_where_it_was() -> None:
    found = begun().heard(labelled({"cloud": 0.0}))
    assert Watch.restored(json.loads(json.dumps(found.state()))) == found
