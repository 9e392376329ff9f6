"""A picture of a run, for tests of what shows it."""

from typing import Any

from controlplane.demo.ledger import Counts, Estimate, Event
from controlplane.demo.monitor import Picture
from tests.policies import policy

EVENT = Event(3, "retune", {"version": 4, "reason": "cheaper, and good enough"})


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
    }
    return Picture(**usual | fields)
