"""The demo without its processes: real local answers and scores, and the demo's own learner.

The shipped model answers a pool of held-out tasks once a session; a stream draws from that pool.
The cloud is SIMULATED as in the demo. Nothing here is timed: delays are counted in queries.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydantic import SecretStr

from controlplane.app import school
from controlplane.demo.lines import Line
from controlplane.demo.options import Options
from controlplane.demo.scoreboard import recovered_after
from controlplane.demo.site import prepare
from controlplane.demo.story import PROMPT_CHARS
from controlplane.evaluate.replay import EPOCH, Delay, Replay, Row, Served
from controlplane.learn.learner import Learner
from controlplane.observations import Labelled
from controlplane.observe import MemoryLog
from controlplane.settings import settings
from controlplane.start import start_policy
from dataplane.contract.configuration import Configuration
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.features import of_text
from dataplane.sandbox import MODEL_PATH, cloud
from dataplane.sandbox.model_card import Graded, Reader, grade
from dataplane.sandbox.recorded import CLOUD, LOCAL
from dataplane.sandbox.scoring import Both, quality
from dataplane.sandbox.tasks import DIFFICULTIES, MIXES, draw_query, is_correct

STREAMED, PROBES = 800, 200  # tasks of each difficulty: those that may be sent, and the others
LATE = Delay(50, 500, silent=0.1)
EVERY = 50  # queries between two turns of the cycle: about one second of the demo
TARGET = Options().target_quality


@cache
def pool() -> dict[int, list[Graded]]:
    """The model's answers by difficulty, STREAMED + PROBES each."""
    rng, reader = random.Random("pool"), Reader(Path(str(MODEL_PATH)))
    wanted = range(STREAMED + PROBES)
    return {
        level: grade(reader, [draw_query(rng, level, held_out=True) for _ in wanted])
        for level in DIFFICULTIES
    }


def stream(seed: int, count: int, *mixes: str) -> list[Row]:
    """``count`` queries, the mixes in equal parts one after the other."""
    rng = random.Random(f"stream:{seed}")
    return [
        _row(_drawn(rng, mixes[at * len(mixes) // count], 0, STREAMED), seed) for at in range(count)
    ]


def probes(seed: int, count: int, mix: str) -> list[Row]:
    """Queries of one mix, none of which is in any stream."""
    rng = random.Random(f"probes:{seed}")
    return [_row(_drawn(rng, mix, STREAMED, STREAMED + PROBES), seed) for _ in range(count)]


def _drawn(rng: random.Random, mix: str, first: int, end: int) -> Graded:
    (level,) = rng.choices(DIFFICULTIES, MIXES[mix])
    return pool()[level][rng.randrange(first, end)]


def _row(graded: Graded, seed: int) -> Row:
    text = graded.query.text
    said = cloud.answer(seed, text)
    return Row(
        features=of_text(text),
        worth=(float(graded.right), float(is_correct(text, said))),
        usd=(
            LOCAL.cost_usd(len(text) + 2, len(graded.query.answer) + 1),
            CLOUD.cost_usd(cloud.prompt_tokens(text), cloud.tokens(said)),
        ),
        score=graded.logprob,
    )


@cache
def configuration(target: float) -> Configuration:
    """What the demo runs with."""
    with TemporaryDirectory() as directory:
        return prepare(Path(directory), Options(target_quality=target)).configuration


def start(target: float, *, trusted: bool = False) -> PolicyDocument:
    """The demo's first policy; with ``trusted``, its judge need not earn its say."""
    untrained = start_policy(configuration(target), EPOCH)
    unit_usd = float(untrained.cloud.expected_cost_usd(PROMPT_CHARS))
    (segment,) = untrained.segments
    segment = segment.replaced(trust="open" if trusted else segment.trust)
    return untrained.replaced(cost_unit_usd=unit_usd, segments=(segment,)).rederived()


@dataclass
class Witnessed(MemoryLog):
    """A log that keeps which labels came, held out or not: ``told`` is by the query's place."""

    told: dict[int, Labelled] = field(default_factory=dict)

    def labelled(self) -> list[Labelled]:
        found = super().labelled()
        self.told |= {each.observation.decision_id.int: each for each in found}
        return found


def learner(target: float) -> Learner:
    """The demo's learner."""
    connected = {"database_url_controlplane": SecretStr("none")}
    found = school(settings(configuration(target).model_copy(update=connected), {})).fresh()
    assert isinstance(found, Learner)
    return found


@dataclass(frozen=True)
class Run:
    """One demo's worth of queries, served."""

    rows: list[Row]
    served: list[Served]
    policies: dict[int, PolicyDocument]
    told: dict[int, Labelled]

    @property
    def right(self) -> Array:
        """Worth of each served answer (N,)."""
        return np.array([each.quality for each in self.served])

    @property
    def cost_share(self) -> float:
        """Cost of serving and shadowing over that of sending everything to the cloud."""
        return self.part(0, len(self.rows))

    def part(self, first: int, end: int) -> float:
        """The same of a stretch of queries."""
        spent = sum(each.cost_usd + each.shadow_usd for each in self.served[first:end])
        return spent / sum(row.usd[1] for row in self.rows[first:end])

    @property
    def label_share(self) -> float:
        """Labels that came, per query."""
        return sum(len(each.right) for each in self.told.values()) / len(self.served)

    def live(self, at: int) -> PolicyDocument:
        """The policy that served a query."""
        return self.policies[self.served[at].policy_version]

    def recovery(self, seed: int, floor: float, count: int = 2000) -> int | None:
        """Queries after half way until the live policy is back at ``floor``, as the demo counts."""
        fixed = probes(seed, count, "hard")
        half = len(self.served) // 2
        after = {each.policy_version for each in self.served[half:]}
        scored = {version: worth(self.policies[version], fixed) for version in after}
        return recovered_after([_line(each) for each in self.served], scored, half, floor)


def worth(policy: PolicyDocument, rows: Sequence[Row]) -> float:
    """Share right if this policy served these rows."""
    return quality(policy, [_both(row) for row in rows])


def _line(served: Served) -> Line:
    return Line(
        place=served.at,
        at=0.0,
        decision_id=None,
        policy_version=served.policy_version,
        tier=None,
        cost_usd=served.cost_usd,
        right=int(served.quality),
        latency_ms=0.0,
        error=None,
    )


def _both(row: Row) -> Both:
    assert row.score is not None
    local, cloud = row.worth
    return Both(row.features, bool(local), bool(cloud), row.score, *row.usd)


@cache
def serve(
    seed: int, count: int, target: float = TARGET, *, frozen: bool = False, trusted: bool = False
) -> Run:
    """Serve a stream whose mix turns harder half way, from the start policy, labels late."""
    rows = stream(seed, count, "easy", "hard")
    log = Witnessed()
    replay = Replay(
        start(target, trusted=trusted),
        None if frozen else learner(target),
        seed=seed,
        delay=LATE,
        every=EVERY,
        log=log,
        gated=not trusted,
    )
    served = list(replay.run(rows))
    return Run(rows, served, {policy.version: policy for policy in replay.policies}, log.told)
