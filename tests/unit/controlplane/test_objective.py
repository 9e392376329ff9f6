import pytest

from controlplane.objective import revised, words
from dataplane.contract.terms import CostCeiling, QualityTarget, WrongAcceptances

TARGET = QualityTarget(target_quality=0.9, tolerance=0.01, confidence=0.9, latency_usd_per_s=1e-4)
CEILING = CostCeiling(ceiling_usd_per_query=0.002, confidence=0.9, latency_usd_per_s=1e-4)


def test_what_is_not_said_stays() -> None:
    assert revised(TARGET, {"target_quality": 0.8}) == TARGET.replaced(target_quality=0.8)
    assert revised(TARGET, {"reference": "always_cloud"}).confidence == 0.9
    assert revised(CEILING, {"latency_usd_per_s": 0.0}) == CEILING.replaced(latency_usd_per_s=0.0)


def test_a_certificate_is_asked_for_and_withdrawn() -> None:
    asked = revised(TARGET, {"wrong_acceptances": WrongAcceptances(limit=0.02)})
    assert asked.wrong_acceptances == WrongAcceptances(limit=0.02, confidence=0.9)
    assert revised(asked, {"target_quality": 0.8}).wrong_acceptances is not None
    assert revised(asked, {"wrong_acceptances": None}) == TARGET


def test_a_ceiling_and_a_target_replace_each_other() -> None:
    assert revised(TARGET, {"ceiling_usd_per_query": 0.002}) == CEILING
    assert revised(CEILING, {"target_quality": 0.9, "tolerance": 0.01}) == TARGET


@pytest.mark.parametrize(
    ("live", "asked", "says"),
    [
        (CEILING, {"tolerance": 0.1}, "tolerance does not go with a cost ceiling"),
        (TARGET, {"target_quality": 0.9, "ceiling_usd_per_query": 1.0}, "target_quality does not"),
    ],
)
def test_what_does_not_go_together_is_refused(
    live: QualityTarget | CostCeiling, asked: dict[str, float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        revised(live, asked)


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        (TARGET, "target quality 0.900, waiting 0.0001 USD a second"),
        (QualityTarget(target_quality=0.97, reference="always_cloud"), "target 97.0% of always-cl"),
        (CEILING.replaced(latency_usd_per_s=0.0), "ceiling 0.002 USD a query"),
    ],
)
def test_an_objective_in_words(objective: QualityTarget | CostCeiling, says: str) -> None:
    assert words(objective).startswith(says)
