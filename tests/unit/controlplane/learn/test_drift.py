import json

import numpy as np
import pytest

from controlplane.learn.drift import DriftDetector, Reference, Watch
from controlplane.learn.settings import LearnerSettings
from controlplane.learn.traffic import Traffic
from dataplane.contract.rule import Array, expit
from dataplane.contract.terms import LinearEstimator, Platt, Trust
from dataplane.features import of_text
from tests.policies import policy
from tests.traffic import query
from tests.unit.dataplane.policies import judge

EDGES = tuple(np.linspace(-1.5, 2.5, 19).tolist())


def reference(power: float = 1.2) -> Reference:
    """What is expected of a binormal judge, in 20 bins."""
    rng = np.random.default_rng(0)
    shares = [
        np.bincount(np.searchsorted(EDGES, rng.normal(mean, 1, 10**6)), minlength=20) / 10**6
        for mean in (power, 0.0)
    ]
    raw = np.linspace(-1.6, 2.6, 20)
    table = judge().replaced(
        lowest=-9.0,
        highest=9.0,
        edges=EDGES,
        raw=tuple(raw.tolist()),
        z=tuple(raw.tolist()),
        f1=tuple((shares[0] / shares[0].sum()).tolist()),
        f0=tuple((shares[1] / shares[1].sum()).tolist()),
    )
    return Reference(estimator=LinearEstimator(), calibration=Platt(slope=1.0), judge=table)


def traffic(seed: int, count: int, power: float = 1.2, kept: float = 1.0) -> tuple[Array, Array]:
    """p_hat and scores; the local tier keeps this share of its right answers."""
    rng = np.random.default_rng(seed)
    p_hat = expit(rng.normal(0.8, 1.0, count))
    right = rng.random(count) < p_hat * kept
    return p_hat, rng.normal(power * right, 1.0)


def test_a_standing_is_uniform_whatever_is_selected_by_p_hat() -> None:
    p_hat, score = traffic(1, 40_000)
    standing = reference().standing(p_hat, score)
    for chosen in (p_hat > 0, p_hat > 0.8, p_hat < 0.5):
        assert standing[chosen].mean() == pytest.approx(0.5, abs=0.01)
        assert standing[chosen].std() == pytest.approx(12**-0.5, abs=0.02)


def test_a_weaker_judge_and_a_weaker_local_tier_lower_it() -> None:
    found = reference()
    assert found.standing(*traffic(2, 40_000, power=0.36)).mean() < 0.42
    assert found.standing(*traffic(3, 40_000, kept=0.75)).mean() < 0.47


def test_one_query_stands_where_it_stands_among_many() -> None:
    found, (p_hat, score) = reference(), traffic(4, 20)
    together = found.standing(p_hat, score)
    alone = [
        float(found.standing(*each)) for each in zip(p_hat.tolist(), score.tolist(), strict=True)
    ]
    assert together.tolist() == alone
    assert found.p_hat([of_text("anything"), of_text("all")]).tolist() == [0.5, 0.5]


def alarm_after(values: Array, detector: DriftDetector) -> int | None:
    return next((at for at, value in enumerate(values.tolist()) if detector.update(value)), None)


def test_it_alarms_soon_after_a_change_and_hardly_ever_without_one() -> None:
    found = reference()
    before = [found.standing(*traffic(seed, 5_000)) for seed in range(10, 20)]
    false = sum(alarm_after(values, DriftDetector()) is not None for values in before)
    assert false <= 1  # of 50,000 judged queries
    for power, kept, within in ((0.36, 1.0, 400), (1.2, 0.75, 2_500)):
        detector = DriftDetector(found.standing(*traffic(5, 2_000)).tolist())
        after = alarm_after(found.standing(*traffic(6, 5_000, power, kept)), detector)
        assert after is not None
        assert after <= within


def watching() -> Watch:
    """A watch with a reference by which every p_hat is .5."""
    watch = Watch(LearnerSettings())
    watch.follow("closed", 0)
    known = {"reference": reference().state(), "referred": 1000}
    watch.restore(json.loads(json.dumps(watch.state() | known)))
    return watch


@pytest.mark.parametrize(("becomes", "alarms"), [("closed", True), ("open", False)])
def test_scores_of_other_answers_are_no_drift_where_the_judge_begins_to_decide(
    becomes: Trust, alarms: bool
) -> None:
    watch, recent = watching(), Traffic(2000, 10_000)
    rng = np.random.default_rng(7)
    raised = []
    for at in range(1200):
        if at == 600:
            watch.follow(becomes, at)
        right = rng.random() < (0.5 if at < 600 else 0.8)
        seen = query(at, score=float(rng.normal(1.2 * right, 1.0)))
        recent.append(seen.features, seen.score)
        (p_hat,) = watch.p_hats([seen.features])
        raised.append(watch.see(seen, p_hat, at, recent))
    assert any(raised) == alarms


@pytest.mark.parametrize(("becomes", "alarms"), [("closed", True), ("open", False)])
def test_a_new_reference_is_of_scores_since_the_judge_began_to_decide(
    becomes: Trust, alarms: bool
) -> None:
    watch, recent = watching(), Traffic(2000, 10_000)
    draft = policy("cascade", judge=reference().judge)
    rng = np.random.default_rng(7)
    raised = []
    for at in range(1, 1201):
        right = rng.random() < (0.3 if at <= 600 else 0.9)
        seen = query(at, score=float(rng.normal(1.2 * right, 1.0)))
        recent.append(seen.features, seen.score)
        if at == 600:
            watch.follow(becomes, at)
        if at == 640:  # few of the new scores are known yet
            watch.refer(draft, 1000, recent.columns(draft.estimators), at)
        (p_hat,) = watch.p_hats([seen.features])
        raised.append(watch.see(seen, p_hat, at, recent) if at > 640 else None)
    assert any(raised) == alarms


def test_it_survives_a_restart() -> None:
    values = np.random.default_rng(7).random(300)
    one = DriftDetector(values.tolist())
    other = DriftDetector(json.loads(json.dumps(one.state()))["values"])
    changed = (np.random.default_rng(8).random(500) / 2).tolist()
    assert [one.update(each) for each in changed] == [other.update(each) for each in changed]
