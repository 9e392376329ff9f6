"""What the data plane counts, under the names that Prometheus scrapes (text format 0.0.4)."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from dataplane.contract.exposition import Kind, Labels, family, sample
from dataplane.trail import Trail

Gauges = Callable[[], dict[str, float]]

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_HELP = {
    "penstock_requests_total": "Queries that ended, by how.",
    "penstock_errors_total": "Requests refused or failed, by HTTP status.",
    "penstock_decisions_total": "Actions taken, by action.",
    "penstock_escalations_total": "Queries answered by a dearer tier after a low score.",
    "penstock_fallbacks_total": "Tiers that gave no answer to a query, by tier.",
    "penstock_cost_usd_total": "Charged for serving, judges included.",
    "penstock_overhead_seconds": "A query's time less the wait for tiers and client.",
    "penstock_latency_seconds": "A query's time.",
    "penstock_budget_refused_total": "Queries whose key had no more to spend, or not at hand.",
    "penstock_spool_pending_records": "Records waiting for the database.",
    "penstock_spool_pending_bytes": "Bytes waiting for the database.",
    "penstock_spool_age_seconds": "Age of the oldest record waiting for the database.",
    "penstock_spool_dropped_total": "Records lost because the spool was full.",
    "penstock_spool_quarantined_total": "Records that the database refused, set aside on disk.",
    "penstock_policy_version": "Version in force.",
    "penstock_policy_age_seconds": "Since the policy in force was published.",
    "penstock_policy_unconfirmed_seconds": "Since the database last said which policy is newest.",
}


class Histogram:
    """Counts under fixed upper bounds, in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self._sum_s += seconds

    def lines(self, name: str) -> Iterator[str]:
        """Its samples; buckets are cumulative."""
        total = 0
        for bound, number in zip((*map(str, _SECONDS), "+Inf"), self._counts, strict=True):
            total += number
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum_s!r}"
        yield f"{name}_count {total}"


class Telemetry:
    """Counters since the start of the process; `gauges` is asked at each scrape."""

    def __init__(self, gauges: Gauges = dict) -> None:
        self._counters: dict[str, Counter[Labels]] = {}
        self._overhead = Histogram()
        self._latency = Histogram()
        self._gauges = gauges

    def completed(self, trail: Trail) -> None:
        """A query ended."""
        completion = trail.completion
        assert completion is not None
        self._count("requests", status=completion.status, tier=completion.final_tier or "none")
        for action in trail.actions:
            self._count("decisions", action=action)
        if completion.escalated:
            self._count("escalations")
        self._count("cost_usd", by=completion.cost_usd)
        self._overhead.observe(completion.overhead_ms / 1e3)
        self._latency.observe(completion.latency_ms / 1e3)

    def fallback(self, tier: str) -> None:
        """A tier gave no answer, and the policy chooses anew."""
        self._count("fallbacks", tier=tier)

    def refused(self, status: int) -> None:
        """A request ended in an error."""
        self._count("errors", status=str(status))

    def _count(self, what: str, *, by: float = 1, **labels: str) -> None:
        counter = self._counters.setdefault(f"penstock_{what}_total", Counter())
        counter[tuple(labels.items())] += by  # type: ignore[assignment]  # typeshed: Counter of int; dollars are counted too

    def exposition(self) -> str:
        """Everything, as Prometheus reads it."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for name, counter in sorted(self._counters.items()):
            samples = (sample(name, labels, value) for labels, value in counter.items())
            yield from _family(name, "counter", samples)
        for name, histogram in (("overhead", self._overhead), ("latency", self._latency)):
            called = f"penstock_{name}_seconds"
            yield from _family(called, "histogram", histogram.lines(called))
        for name, value in self._gauges().items():
            kind: Kind = "counter" if name.endswith("_total") else "gauge"
            yield from _family(name, kind, [sample(name, (), value)])


def _family(name: str, kind: Kind, samples: Iterable[str]) -> Iterator[str]:
    return family(name, kind, _HELP[name], samples)
