from datetime import timedelta

import pytest

from dashboard.units import age, latency, plain, share, usd


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 USD"),
        (1.2e-5, "0.0000120 USD"),
        (0.9999, "1.000 USD"),
        (-0.5, "-0.500 USD"),
        (1234.5, "1,234.50 USD"),
    ],
)
def test_money_keeps_three_digits(amount: float, words: str) -> None:
    assert usd(amount) == words


@pytest.mark.parametrize(
    ("ms", "words"), [(None, "none yet"), (0.4, "0 ms"), (999.4, "999 ms"), (999.6, "1.00 s")]
)
def test_latency(ms: float | None, words: str) -> None:
    assert latency(ms) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7_300, "2 h"), (2e5, "2 d")]
)
def test_age(seconds: float, words: str) -> None:
    assert age(timedelta(seconds=seconds)) == words


def test_share() -> None:
    assert [share(None), share(0.5), share(0.12345, 1)] == ["none yet", "50 %", "12.3 %"]


def test_foreign_words_are_no_markdown() -> None:
    said = plain("![x](http://evil/) :red[a] `b`\n# $c$ <i>")
    assert said == (r"\!\[x\]\(http\://evil/\) \:red\[a\] \`b\` \# \$c\$ \<i\>")
