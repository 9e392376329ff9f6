"""Prometheus's text format, line by line."""

import doctest

from dataplane.contract import exposition
from dataplane.contract.exposition import family, sample


def test_examples() -> None:
    ran = doctest.testmod(exposition)
    assert (ran.attempted, ran.failed) == (1, 0)


def test_a_label_may_hold_anything() -> None:
    said = sample("x", (("a", 'say "\\n"'), ("b", "two\nlines")), 0.5)
    assert said == r'x{a="say \"\\n\"",b="two\nlines"} 0.5'


def test_a_metric_is_described_before_its_samples() -> None:
    lines = list(family("x_total", "counter", "So many.", [sample("x_total", (), 3)]))
    assert lines == ["# HELP x_total So many.", "# TYPE x_total counter", "x_total 3"]
