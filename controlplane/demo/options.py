"""What a run of the demo is asked to do."""

from dataclasses import dataclass
from pathlib import Path

CLOUD = "SIMULATED-cloud"


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
    """See `penstock demo --help`; ``keep`` is where the data stays, None a temporary place."""

    queries: int = 6000
    target_quality: float = 0.93
    tolerance: float = 0.02
    seed: int = 0
    freeze: bool = False
    keep: Path | None = None
    cloud: RealCloud | None = None
    rate_per_s: float = 60.0
    concurrency: int = 16
    fixed_queries: int = 2000
    label_price_usd: float = 0.002
    baselines: bool = True

    @property
    def changes_at(self) -> int:
        """The place of the first query of the harder mix."""
        return self.queries // 2
