import json

import numpy as np
import pytest

from controlplane.learn.usage import ENOUGH, Usage
from controlplane.observations import Used
from dataplane.contract.terms import TierTerms
from dataplane.features import of_text

TERMS = TierTerms(
    name="cloud", input_usd_per_mtok=2.0, output_usd_per_mtok=8.0, completion_tokens=100.0
)
CODE, SUMS, PROSE = (of_text("x" * 400, kind) for kind in ("code", "sums", "prose"))
PROMPT = 100  # tokens of 400 characters


def used(completion: int, prompt: int = PROMPT) -> dict[str, Used]:
    return {"cloud": Used(prompt, completion)}


def seen(count: int) -> Usage:
    """Code takes three times the tokens that were thought, sums a tenth."""
    usage = Usage()
    for _ in range(count):
        usage.saw(CODE, used(300))
        usage.saw(SUMS, used(10))
    return usage


def test_before_any_call_the_terms_stand() -> None:
    assert Usage().told([TERMS]) == (TERMS,)
    few = Usage()
    for _ in range(int(ENOUGH) - 1):
        few.saw(CODE, used(900))
    assert few.told([TERMS]) == (TERMS,)


def test_a_category_is_expected_to_cost_what_its_calls_did() -> None:
    (told,) = seen(2_000).told([TERMS])
    for features, completion in ((CODE, 300), (SUMS, 10)):
        expected = told.expected_cost_usd(features.chars, features.category)
        assert expected == pytest.approx((PROMPT * 2 + completion * 8) / 1e6, rel=0.05)
    both = (PROMPT * 2 + 155 * 8) / 1e6
    assert told.expected_cost_usd(400) == pytest.approx(both, rel=1e-3)
    assert told.expected_cost_usd(400, PROSE.category) == told.expected_cost_usd(400)


def test_a_category_of_few_calls_leans_on_all() -> None:
    usage = seen(500)
    for _ in range(5):
        usage.saw(PROSE, used(1_000))
    (told,) = usage.told([TERMS])
    overall, prose = (float(told.expected_cost_usd(400, at)) for at in (0, PROSE.category))
    assert overall < prose < overall + (8_200e-6 - overall) / 3


def test_calls_as_expected_change_nothing() -> None:
    usage = Usage()
    for _ in range(100):
        usage.saw(CODE, used(100))
        usage.saw(SUMS, used(100))
    assert usage.told([TERMS]) == (TERMS,)


def test_a_new_price_needs_no_learning() -> None:
    usage = seen(2_000)
    dearer = TERMS.replaced(output_usd_per_mtok=80.0)
    (told,) = usage.told(usage.told([dearer]))
    expected = told.expected_cost_usd(CODE.chars, CODE.category)
    assert expected == pytest.approx((PROMPT * 2 + 300 * 80) / 1e6, rel=0.02)


def test_a_tier_without_a_price_has_no_factor() -> None:
    free = TERMS.replaced(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)
    assert seen(100).told([free]) == (free,)


def test_what_was_used_fades() -> None:
    usage = seen(2_000)
    usage.fade(50_000)
    for _ in range(200):
        usage.saw(CODE, used(100))
    (told,) = usage.told([TERMS])
    expected = told.expected_cost_usd(CODE.chars, CODE.category)
    assert expected == pytest.approx(1_000e-6, rel=0.05)


def test_it_survives_a_restart() -> None:
    rng = np.random.default_rng(1)
    usage, other = Usage(), Usage()
    for _ in range(50):
        usage.saw(CODE, used(int(rng.integers(500))))
    usage.fade(100)
    other.restore(json.loads(json.dumps(usage.state())))
    assert other.told([TERMS]) == usage.told([TERMS])
    assert other.state() == usage.state()


def test_whichever_tier_was_called_first_the_state_is_the_same() -> None:
    one, other = Usage(), Usage()
    calls = {"cloud": Used(1, 2), "local": Used(3, 4)}
    one.saw(CODE, calls)
    other.saw(CODE, dict(reversed(calls.items())))
    assert json.dumps(one.state()) == json.dumps(other.state())
