from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Rival
from dataplane.contract.terms import Arm, AuditTerms, Mode, ShadowTerms
from dataplane.features import of_text
from dataplane.strategies import State, choose, consider, draw, may_serve
from dataplane.strategies.base import CALL, JUDGE
from tests.unit.dataplane.policies import judge, policy, pool

TEXT = of_text("What is 3 + 4?")
SEEDS = range(20_000)
QUIET = {"audit": AuditTerms(rate=0.1), "shadow": ShadowTerms(rate=0.03)}
MODES: list[Mode] = ["route", "cascade", "cascade_route", "always_cloud", "always_local"]


def lives(document: PolicyDocument, score: float) -> str:
    """The tier that the gateway would serve, step by step, if its judge said that score."""
    context = consider(document, TEXT, "default", [*(t.name for t in document.tiers), JUDGE])
    state = State((), None)
    while True:
        action = choose(context, state, 1).action
        if action == JUDGE:
            state = State(state.answered, score)
        elif action.startswith(CALL):
            state = State((*state.answered, action.removeprefix(CALL)), state.score)
        else:
            return state.answered[-1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lambda_", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("build", [policy, partial(pool, 4)])
def test_what_it_may_serve_is_what_it_serves_at_some_score(
    mode: Mode, lambda_: float, build: Callable[..., PolicyDocument]
) -> None:
    document = build(segment={"mode": mode, "lambda_": lambda_})
    scores = [-3.9, -2.0, -1.0, -0.5, -0.1, -0.001]
    served = [lives(document, score) for score in scores]
    for score, tier in zip(scores, served, strict=True):
        assert may_serve(document, "default", TEXT, score) == {tier}
    unknown = may_serve(document, "default", TEXT, None)
    assert unknown >= set(served)
    if any(a != b for a, b in pairwise(served)):
        assert len(unknown) > 1


def test_where_arms_are_drawn_it_may_serve_anything() -> None:
    arms = (
        Arm(mode="always_local", lambda_=0.0, weight=0.5),
        Arm(mode="always_cloud", lambda_=0.0, weight=0.5),
    )
    document = policy(segment={"mode": "always_local", "lambda_": 0.0, "arms": arms})
    assert may_serve(document, "default", TEXT, -0.1) == {"local", "cloud"}


def shares(
    rivals: list[Rival], answered: str = "local"
) -> tuple[float, float, set[tuple[float, int | None]]]:
    """Shares of queries that were audited and shadowed, and what was logged: probability, rival."""
    document, state = policy(segment={"mode": "route"}, **QUIET), State((answered,), None)
    found = [draw(document, "default", TEXT, state, seed, rivals) for seed in SEEDS]
    kinds = [{one.kind for one in each} for each in found]
    logged = {(one.probability, one.rival) for each in found for one in each}
    assert {"shadow"} not in kinds
    audits, shadows = (sum(kind in each for each in kinds) for kind in ("audit", "shadow"))
    return audits / len(SEEDS), shadows / len(SEEDS), logged


def test_what_it_might_serve_otherwise_is_drawn_with_the_probability_that_is_logged() -> None:
    other = Rival(policy(segment={"mode": "always_cloud"}, version=2), 0.4)
    audits, shadows, logged = shares([other])
    assert [audits, shadows] == pytest.approx([0.4, 0.4], abs=0.01)
    assert logged == {(0.4, 2)}


def test_what_it_would_serve_alike_is_drawn_as_ever() -> None:
    same = Rival(policy(segment={"mode": "always_local"}, version=2), 0.4)
    assert shares([same]) == shares([])


def test_a_rival_takes_no_draw_away() -> None:
    seldom = Rival(policy(segment={"mode": "always_cloud"}, version=2), 0.06)
    audits, shadows, logged = shares([seldom])
    assert [audits, shadows] == pytest.approx([0.1, 0.06], abs=0.01)
    assert logged == {(0.1, 2), (0.1, None), (0.06, 2)}


def test_a_score_of_another_judge_tells_nothing_of_what_it_would_serve() -> None:
    own = policy(segment={"mode": "cascade", "lambda_": 0.2}, version=2)
    other = own.model_copy(update={"judge": judge().replaced(judge="another")})
    state, live = State(("local",), -0.001), policy(segment={"mode": "cascade"}, **QUIET)
    drawn = [draw(live, "default", TEXT, state, 5, [Rival(each, 1.0)]) for each in (own, other)]
    assert [bool(each) for each in drawn] == [False, True]
