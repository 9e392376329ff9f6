"""What every ``Log`` must do: one battery, run over memory and over Postgres."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from controlplane.observations import Observation
from controlplane.observe import MEMORY, Log, Source
from dataplane.strategies import Drawn
from tests.traffic import AUDIT, query

SHADOW = Drawn("shadow", 0.05, "cloud")


class Traffic(Protocol):
    """Fills a log."""

    def complete(
        self, observation: Observation, drawn: Iterable[Drawn] = (), source: Source = MEMORY
    ) -> None:
        """One more answered query."""

    def resolve(
        self, observation: Observation, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """Its labels came."""


Opened = Callable[[], AbstractContextManager[Log]]


class LogBattery:
    """Subclasses provide the fixtures ``traffic`` and ``opened``."""

    def test_an_empty_log_has_nothing_new(self, opened: Opened) -> None:
        with opened() as log:
            assert log.new({}) == ([], {})
            assert log.labelled() == []

    def test_queries_come_once_in_the_order_of_their_ids(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        seen = [query(n, answered=("local", "cloud"), score=-0.5) for n in (3, 1, 2)]
        for observation in seen:
            traffic.complete(observation)
        with opened() as log:
            found, watermark = log.new({})
        assert found == sorted(seen, key=lambda o: o.decision_id)
        with opened() as log:
            assert log.new(watermark) == ([], watermark)

    def test_a_query_that_pinned_its_tier_says_so(self, traffic: Traffic, opened: Opened) -> None:
        seen = [query(1), query(2, excluded=["cloud"])]
        for observation in seen:
            traffic.complete(observation)
        with opened() as log:
            found, _ = log.new({})
        assert [each.excluded for each in found] == [frozenset(), {"cloud"}]

    def test_a_late_spool_counts_once_when_it_comes(self, traffic: Traffic, opened: Opened) -> None:
        traffic.complete(query(10), source=Source("a", 1))
        with opened() as log:
            _, watermark = log.new({})
        late = query(2)
        traffic.complete(late, source=Source("b", 1))
        with opened() as log:
            found, watermark = log.new(watermark)
            assert found == [late]
            assert log.new(watermark)[0] == []

    def test_a_watermark_that_was_not_kept_gives_the_same_again(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        traffic.complete(query(1), [AUDIT])
        for _ in range(3):
            with opened() as log:
                found, _ = log.new({})
                assert found == [query(1)]

    def test_a_label_comes_once_with_the_chance_of_its_draw(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        seen = query(1, score=-0.2)
        traffic.complete(seen, [AUDIT])
        with opened() as log:
            log.new({})
        traffic.resolve(seen, {"local": 1.0})
        with opened() as log:
            (labelled,) = log.labelled()
        assert (labelled.observation, labelled.right) == (seen, {"local": 1.0})
        assert (labelled.audit_probability, labelled.shadow_probability) == (0.1, 0.0)
        with opened() as log:
            assert log.labelled() == []

    def test_a_shadow_adds_its_chance_its_label_and_the_judges_score(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        seen = query(1, answered=("cloud",))
        traffic.complete(seen, [AUDIT, Drawn("shadow", 0.05, "local")])
        with opened() as log:
            assert log.new({})[0] == [seen]
        traffic.resolve(seen, {"cloud": 1.0, "local": 0.0}, score=-1.5)
        with opened() as log:
            (labelled,) = log.labelled()
        assert labelled.right == {"cloud": 1.0, "local": 0.0}
        assert labelled.observation.score == -1.5
        assert labelled.probability("cloud") == 0.1
        assert labelled.probability("local") == 0.05

    def test_it_is_known_for_whose_sake_a_query_was_drawn(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        seen, usual = query(1), query(2)
        shadow = Drawn("shadow", 0.3, "cloud", rival=7)
        traffic.complete(seen, [Drawn("audit", 0.3, rival=7), shadow])
        traffic.complete(usual, [AUDIT])
        with opened() as log:
            log.new({})
        for each in (seen, usual):
            traffic.resolve(each, {"local": 1.0})
        with opened() as log:
            assert [labelled.rival for labelled in log.labelled()] == [7, None]

    def test_several_silent_tiers_are_shadowed_at_once(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        seen = query(1, answered=("cloud",))
        shadows = [Drawn("shadow", 0.05, tier) for tier in ("local", "middle")]
        traffic.complete(seen, [AUDIT, *shadows])
        with opened() as log:
            log.new({})
        traffic.resolve(seen, {"cloud": 1.0, "local": 0.0, "middle": 1.0})
        with opened() as log:
            (labelled,) = log.labelled()
        assert labelled.right == {"cloud": 1.0, "local": 0.0, "middle": 1.0}
        assert [labelled.probability(tier) for tier in ("cloud", "local", "middle")] == [
            0.1, 0.05, 0.05,
        ]  # fmt: skip

    def test_an_unsure_label_is_no_label(self, traffic: Traffic, opened: Opened) -> None:
        traffic.complete(query(1), [AUDIT])
        with opened() as log:
            log.new({})
        traffic.resolve(query(1), {})
        with opened() as log:
            assert log.labelled() == []

    def test_what_was_not_drawn_or_is_resolved_cannot_be_labelled(
        self, traffic: Traffic, opened: Opened
    ) -> None:
        traffic.complete(query(1))
        traffic.complete(query(2), [AUDIT])
        with opened() as log:
            log.new({})
        traffic.resolve(query(2), {"local": 1.0})
        for observation in (query(1), query(2)):
            with pytest.raises(KeyError):
                traffic.resolve(observation, {"local": 1.0})
