"""A picture of a run, for tests of what shows it."""

from datetime import UTC, datetime
from typing import Any

from controlplane.audit.trial import Trial
from controlplane.audit.trust import Key, terms
from controlplane.demo.ledger import Counts, Estimate, Event
from controlplane.demo.monitor import Picture
from controlplane.gates import GateReport
from controlplane.stats.gate import Gate
from tests.policies import policy

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVENT = Event(3, NOW, "retune", {"version": 4, "reason": "cheaper, and good enough"})


def gate(trial: Trial) -> GateReport:
    """A trial as it is told of."""
    evidence = trial.evidence(terms(policy()))
    key = Key("logprob", "default")
    return GateReport(key, trial.gate.standing, NOW, evidence, trial.proof, waits=False)


def picture(**fields: Any) -> Picture:
    """Two thirds through; ``fields`` replace those of the picture."""
    live = policy("cascade", version=4)
    usual: dict[str, Any] = {
        "served": 4000,
        "failed": 0,
        "cost_usd": (5e-5, 2e-5),
        "local_share": (0.0, 0.7),
        "cloud_call_usd": 5e-5,
        "estimate": Estimate(3000, 0.905, 0.88, 0.93, 240),
        "live": live,
        "course": (live.segments[0], live.segments[0]),
        "counts": Counts(4000, 4000, 3990, 400, 30, 35, 5, 380),
        "news": (EVENT,),
        "gate": gate(Trial(Gate("open"), pairs=30)),
    }
    return Picture(**usual | fields)
