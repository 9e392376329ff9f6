"""The learner with three tiers, of which one is right on one kind of query only."""

from dataclasses import replace

import numpy as np
import pytest

from controlplane.evaluate.rehearsal import price_list
from controlplane.evaluate.replay import EPOCH, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.learn.prior import fit
from controlplane.learn.settings import DrawRates, LearnerSettings
from controlplane.observations import Labelled
from controlplane.seats import seated
from controlplane.start import untrained
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, QualityTarget, ShadowTerms
from dataplane.strategies import call
from tests.traffic import query
from tests.unit.controlplane.learn.rows import KINDS, specialised
from tests.unit.dataplane.policies import judge

TIERS = ("local", "specialist", "cloud")
TARGET = 0.9
SETTINGS = LearnerSettings(mode="route", cold=DrawRates(0.4, 0.4), steady=DrawRates(0.2, 0.1))
LATE = 1500


def start(rows: list[Row], tiers: tuple[str, ...]) -> PolicyDocument:
    chars = np.array([float(row.features.chars) for row in rows])
    usd = np.array([row.usd for row in rows]).T
    return untrained(
        [price_list(name, chars, paid) for name, paid in zip(tiers, usd, strict=True)],
        judge(),
        QualityTarget(target_quality=TARGET),
        EPOCH,
        audit=AuditTerms(rate=SETTINGS.cold.audit),
        shadow=ShadowTerms(rate=SETTINGS.cold.shadow),
        gate="open",
    )


def run(places: tuple[int, ...], learner: Learner | None = None) -> tuple[Replay, list[Served]]:
    """Served with these tiers only."""
    rows = [
        replace(
            row,
            worth=tuple(row.worth[place] for place in places),
            usd=tuple(row.usd[place] for place in places),
        )
        for row in specialised(1, 3000)
    ]
    tiers = tuple(TIERS[place] for place in places)
    replay = Replay(start(rows, tiers), learner or Learner(tiers, SETTINGS), seed=1)
    return replay, list(replay.run(rows))


def late(served: list[Served]) -> tuple[float, float]:
    """Quality, and cost of serving."""
    quality, cost = np.array([(each.quality, each.cost_usd) for each in served[LATE:]]).T
    return float(quality.mean()), float(cost.mean())


@pytest.fixture(scope="module")
def learned() -> tuple[Replay, list[Served]]:
    return run((0, 1, 2))


def test_a_specialist_gets_what_it_is_good_at(learned: tuple[Replay, list[Served]]) -> None:
    share = {
        kind: np.mean([each.actions == (call("specialist"),) for each in learned[1][LATE:]
                       if each.at % len(KINDS) == place])
        for place, kind in enumerate(KINDS)
    }  # fmt: skip
    adding, translating, proving = share.values()
    assert translating > 0.6
    assert max(adding, proving) < 0.1


@pytest.mark.parametrize("places", [(0, 1), (0, 2), (1, 2)])
def test_the_target_is_reached_cheaper_than_by_any_two_tiers(
    learned: tuple[Replay, list[Served]], places: tuple[int, int]
) -> None:
    quality, cost = late(learned[1])
    assert quality > TARGET - 0.02
    other_quality, other_cost = late(run(places)[1])
    assert other_quality < TARGET - 0.02 or cost < 0.8 * other_cost


JOINS = 1200


@pytest.fixture(scope="module")
def joined() -> tuple[Replay, list[Served]]:
    """Served by the ends alone, until the specialist joins."""
    rows = specialised(3, 6000)
    two = [replace(row, worth=row.worth[::2], usd=row.usd[::2]) for row in rows]
    replay = Replay(start(two, TIERS[::2]), Learner(TIERS[::2], SETTINGS), seed=3)
    tiers, served = start(rows, TIERS).tiers, list[Served]()
    for each in replay.run([*two[:JOINS], *rows[JOINS:]]):
        served.append(each)
        if len(served) == JOINS:
            seats = seated(replay.live, tiers)
            assert seats is not None
            successor = seats | {"version": replay.live.version + 1, "author": "operator"}
            replay.policies.append(replay.live.model_copy(update=successor).rederived())
    return replay, served


def test_a_newcomer_is_called_after_a_few_dozen_shadows(
    joined: tuple[Replay, list[Served]],
) -> None:
    called = [each.at for each in joined[1] if call("specialist") in each.actions]
    shadowed = [each.at for each in joined[1] if each.shadow_usd > 0 and each.at >= JOINS]
    before = sum(at < called[0] for at in shadowed)
    assert SETTINGS.support <= before < 3 * SETTINGS.support
    late_ = [each for each in joined[1][-600:] if each.at % len(KINDS) == 1]
    assert np.mean([each.actions == (call("specialist"),) for each in late_]) > 0.6


def test_with_it_the_target_is_kept_and_costs_less(joined: tuple[Replay, list[Served]]) -> None:
    quality, cost = np.array([(each.quality, each.cost_usd) for each in joined[1]]).T
    assert quality[JOINS:].mean() > TARGET - 0.02
    assert cost[-600:].mean() < 0.9 * cost[JOINS - 600 : JOINS].mean()


def test_a_newcomer_is_learned_of_from_a_saved_state_too(
    joined: tuple[Replay, list[Served]],
) -> None:
    learner = joined[0].learner
    assert learner is not None
    assert learner.tiers == TIERS
    assert Learner.from_json(learner.to_json(), SETTINGS).to_json() == learner.to_json()


@pytest.mark.parametrize(
    ("away", "tells"), [("local", False), ("specialist", True), ("cloud", False)]
)
def test_a_tier_that_is_away_hides_what_the_others_do_only_at_the_ends(
    away: str, tells: bool
) -> None:
    learner = Learner(TIERS, SETTINGS)
    before = learner.to_json()
    learner.observe([query(1, excluded=[away])])
    assert (learner.to_json() != before) is tells


def test_a_learner_of_other_ends_says_that_it_cannot_go_on() -> None:
    rows = specialised(4, 10)
    other = start(rows, ("local", "specialist", "other"))
    with pytest.raises(ValueError, match="begin anew"):
        Learner(TIERS, SETTINGS).propose(other, EPOCH)


def test_its_state_goes_on_as_if_nothing_had_happened(
    learned: tuple[Replay, list[Served]],
) -> None:
    learner = learned[0].learner
    assert learner is not None
    assert Learner.from_json(learner.to_json(), SETTINGS).to_json() == learner.to_json()


def test_a_prior_is_of_as_many_tiers() -> None:
    rows = specialised(2, 600)
    taught = fit([row.features for row in rows], np.array([row.worth for row in rows]))
    assert len(taught.predictors) == 3
    assert len(taught.dear) == 2
    assert Learner(TIERS, SETTINGS, taught).prior == taught
    with pytest.raises(ValueError, match="a prior of 3 tiers, and there are 2"):
        Learner(TIERS[:2], SETTINGS, taught)


@pytest.mark.parametrize(("tiers", "labels"), [(TIERS[::2], 30.0), (TIERS, 15.0)])
def test_labels_are_shared_among_the_choices_that_they_tell_of(
    tiers: tuple[str, ...], labels: float
) -> None:
    learner = Learner(tiers)
    learner.learn([Labelled(query(at), {"local": 1.0}, 0.5, 0.0) for at in range(30)])
    assert learner._model_error(learner._labels()).labels == pytest.approx(labels)
