"""The strategy adviser: which of routing, cascading and cascade routing fits this traffic, and why.

Each mode is asked for the arm that the learner would pull in it, at one quality: that of the best
free arm under the policy's objective. Along a mode's curve quality is bought at lambda a unit of
cost, so an error e of quality is one of e / lambda of cost at that quality; errors of several
modes come from the same labels and queries, and are subtracted record by record.

What knowing a query beforehand is worth (routing) and what its answer's score adds (cascading) is
measured against a coin that spends as much on the cloud as the mode does on all dear tiers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.learn.estimate import Basis, Robust, estimate, robust, root_sum
from controlplane.learn.goals import Estimate, Goal, Reach, goal
from controlplane.learn.policy_family import ALWAYS_CLOUD, ALWAYS_LOCAL, Arm, Arms, coarse
from controlplane.learn.search import Search
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array
from dataplane.contract.terms import Mode

CLOSE = 0.01  # of cost: within that, the simpler mode
EVERY = 2  # fewer arms than where one is chosen to be served
AROUND = 15
SLACK = 1e-4  # of quality: arms differ by less where hardly a query is decided otherwise
PLAIN_FIRST: tuple[Mode, ...] = ("always_cloud", "route", "cascade", "cascade_route")
ENDS = (ALWAYS_LOCAL, ALWAYS_CLOUD)


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate and its standard error."""

    value: float
    se: float


@dataclass(frozen=True, slots=True)
class Option:
    """A mode at the quality compared: its arm's ``lambda_``, and what comes of it.

    ``cost`` is a share of always-cloud's, ``dearer`` how much dearer it is than the advised mode.
    ``dear_share`` and ``judged_share`` are of all queries; ``latency_s`` a query's expected wait.
    """

    mode: Mode
    lambda_: float
    quality: float
    reaches: bool
    cost: Figure
    dearer: Figure
    dear_share: float
    judged_share: float
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class Advice:
    """``mode`` is None where too few labels identify anything; ``labels`` is how many count.

    ``judged``: whether recent answers were, without which no cascade is compared.
    ``prompt`` and ``answer``: quality of routing and of cascading over a coin's that spends as much
    on the cloud; None where that mode is not identified.
    """

    mode: Mode | None
    quality: float
    labels: float
    judged: bool = True
    options: tuple[Option, ...] = ()
    prompt: Figure | None = None
    answer: Figure | None = None

    def option(self, mode: Mode | None) -> Option | None:
        """What is known of a mode."""
        return next((each for each in self.options if each.mode == mode), None)


@dataclass(frozen=True, slots=True)
class Adviser:
    """What advice is drawn from; an arm counts from ``support`` effective labels on."""

    basis: Basis
    support: float

    def advice(self) -> Advice:
        """The mode that fits, with its figures."""
        draft, judged = self.basis.draft, bool((~np.isnan(self.basis.traffic.score)).any())
        modes: tuple[Mode, ...] = ("route", "cascade", "cascade_route") if judged else ("route",)
        best = self._pulled(modes[-1], goal(draft.objective, 0.0), with_cloud=True)
        if best is None:
            return Advice(None, 0.0, self._known(), judged)
        aim = Reach(best[1].quality - SLACK)
        others = modes if best[0] == ALWAYS_CLOUD else modes[:-1]
        pulled = [each for mode in others if (each := self._pulled(mode, aim))]
        pulled += [best] if best[0] != ALWAYS_CLOUD else []
        arms = [*ENDS, *(arm for arm, _ in pulled)]
        found = robust(self.basis, Arms(arms))
        reaches = [False, bool(found.quality[1] >= aim.target), *(aim.met(e) for _, e in pulled)]
        table = _Table(draft, arms, found, reaches)
        return Advice(
            table.advised,
            aim.target,
            self._known(),
            judged,
            table.options(),
            table.gain("route"),
            table.gain("cascade"),
        )

    def _known(self) -> float:
        (local,) = estimate(self.basis, Arms((ALWAYS_LOCAL,)))
        return local.support

    def _pulled(
        self, mode: Mode, wanted: Goal, *, with_cloud: bool = False
    ) -> tuple[Arm, Estimate] | None:
        """The arm of a mode that serves a goal, found as the learner does; None: unidentified."""
        arms = Arms.of(mode, coarse(len(self.basis.draft.tiers))[::EVERY])
        first = self._pull(arms, wanted, with_cloud)
        return first and self._pull(arms.around(first[0], AROUND), wanted, with_cloud)

    def _pull(self, arms: Arms, wanted: Goal, with_cloud: bool) -> tuple[Arm, Estimate] | None:
        family = Search(self.basis, wanted, self.support).informed(arms)
        arm = arms.named(family.pull(arms.names if with_cloud else arms.names[1:]))
        estimated = family.identified(arm.name)
        if estimated is None or (arm == ALWAYS_CLOUD and not with_cloud):
            return None
        return arm, estimated


@dataclass(frozen=True, slots=True)
class _Table:
    """The pulled arms side by side: always-local, always-cloud, then a mode each."""

    draft: PolicyDocument
    arms: Sequence[Arm]
    found: Robust
    reaches: Sequence[bool]

    @property
    def cost(self) -> Array:
        """(A,) shares of always-cloud's cost."""
        return np.asarray(self.found.modelled.cost.mean(axis=0) / self._unit)

    @property
    def _unit(self) -> float:
        return float(self.found.modelled.cost[:, 1].mean())

    @property
    def advised(self) -> Mode:
        """The simplest mode whose cost is close to the least."""
        costs = {
            arm.mode: cost
            for arm, cost, good in zip(self.arms, self.cost.tolist(), self.reaches, strict=True)
            if good
        }
        least = min(costs.values(), default=1.0)
        close = [mode for mode in PLAIN_FIRST if costs.get(mode, np.inf) <= least * (1 + CLOSE)]
        return close[0] if close else "always_cloud"

    def options(self) -> tuple[Option, ...]:
        """All but always-local, cheapest first."""
        at = next(i for i, arm in enumerate(self.arms) if arm.mode == self.advised)
        options = [self._option(i, at) for i in range(1, len(self.arms))]
        return tuple(sorted(options, key=lambda each: each.cost.value))

    def _option(self, i: int, advised: int) -> Option:
        modelled, cost = self.found.modelled, self.cost
        mine, its = self._cost_parts(i), self._cost_parts(advised)
        scale = float(cost[advised])
        apart = [(a - b * cost[i] / scale) / scale for a, b in zip(mine, its, strict=True)]
        return Option(
            mode=self.arms[i].mode,
            lambda_=self.arms[i].lambda_,
            quality=float(self.found.quality[i]),
            reaches=self.reaches[i],
            cost=Figure(float(cost[i]), _error(mine)),
            dearer=Figure(float(cost[i]) / scale - 1, _error(apart)),
            dear_share=float(modelled.to_dear[:, i].mean()),
            judged_share=float(modelled.judged[:, i].mean()),
            latency_s=self._latency_s(i),
        )

    def _cost_parts(self, i: int) -> list[Array]:
        """What each label, and each query, adds to the error of the share at the quality."""
        lambda_, modelled = self.arms[i].lambda_, self.found.modelled
        slope = 1 / lambda_ if lambda_ else 0.0
        over = modelled.cost[:, i] - self.cost[i] * modelled.cost[:, 1]
        queries = over - slope * modelled.quality[:, i]
        return [-slope * self.found.errors[:, i] / self._unit, _centred(queries) / self._unit]

    def _latency_s(self, i: int) -> float | None:
        draft, modelled = self.draft, self.found.modelled
        if not all(tier.latency_s for tier in draft.tiers):
            return None
        calls = (modelled.local, modelled.judged, *modelled.dear)
        waits = (draft.local.latency_s, draft.judge.latency_s, *(t.latency_s for t in draft.dear))
        return sum(float(each[:, i].mean()) * wait for each, wait in zip(calls, waits, strict=True))

    def gain(self, mode: Mode) -> Figure | None:
        """Quality of a mode's arm over a coin's that spends as much on the cloud."""
        at = next((i for i, arm in enumerate(self.arms) if arm.mode == mode), None)
        if at is None:
            return None
        share = self._spent_on_dear(at)
        over = np.zeros(len(self.arms))
        over[0], over[1] = share - 1, -share
        over[at] += 1
        quality, errors = self.found.modelled.quality @ over, self.found.errors @ over
        return Figure(
            float(self.found.quality @ over),
            _error([np.asarray(errors), _centred(quality)]),
        )

    def _spent_on_dear(self, i: int) -> float:
        """What an arm's calls of dear tiers cost, in calls of the cloud."""
        chars = self.draft.segments[0].typical.prompt_chars
        prices = [float(self.draft.weighed_usd(tier, chars)) for tier in self.draft.dear]
        calls = [float(each[:, i].mean()) for each in self.found.modelled.dear]
        return sum(n * p / prices[-1] for n, p in zip(calls, prices, strict=True))


def _centred(values: Array) -> Array:
    """What each query (N,) adds to the error of a mean."""
    return np.asarray((values - values.mean()) / len(values))


def _error(parts: Sequence[Array]) -> float:
    """The standard error of a sum over independent labels and queries."""
    return float(np.sqrt(sum(float(root_sum(each)) ** 2 for each in parts)))
