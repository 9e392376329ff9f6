"""What a run of the demo is asked to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Drift: TypeAlias = Literal["judge", "local", "mix", "price"]
CLOUD = "SIMULATED-cloud"
EASY, HARD = "easy", "hard"  # mixes of the sandbox
LEFT = 12  # queries: a sitting to try, and too few to be missed
CHEAPER = 0.3  # of the cloud's price, once it has drifted


@dataclass(frozen=True, slots=True)
class RealCloud:
    """A provider that costs real money: only on request, after an estimate and a yes."""

    model: str
    api_key: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    base_url: str = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Options:
    """See `penstock demo --help`; ``keep`` is where the data stays, None a temporary place.

    ``looked_at``: whether somebody may look at the data once the run is over.

    ``drift``: what drifts half way; None: the mix does, and nothing is said of noticing it.
    """

    queries: int = 6000
    target_quality: float = 0.93
    tolerance: float = 0.02
    seed: int = 0
    freeze: bool = False
    keep: Path | None = None
    cloud: RealCloud | None = None
    drift: Drift | None = None
    rate_per_s: float = 60.0
    concurrency: int = 16
    fixed_queries: int = 2000
    label_price_usd: float = 0.002
    baselines: bool = True
    looked_at: bool = False

    @property
    def changes_at(self) -> int:
        """The place from which on the world is another one."""
        return self.queries // 2

    @property
    def audit_rate(self) -> float:
        """The share of queries that is labelled in quiet times: what drifts is told by labels."""
        return 0.1 if self.drift else 0.06

    @property
    def left(self) -> int:
        """Drawn answers that the SIMULATED labeller leaves to people: the newest."""
        return min(LEFT, self.queries // 100)

    @property
    def floor(self) -> float:
        """The least quality that is within tolerance."""
        return self.target_quality - self.tolerance

    @property
    def mix_after(self) -> str:
        """The mix from there on."""
        return HARD if self.drift in (None, "mix") else EASY

    @property
    def answers_drift(self) -> bool:
        """Whether it is the local tier's answers, or what the judge reads of them."""
        return self.drift in ("judge", "local")
