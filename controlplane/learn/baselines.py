"""River's own bandits over a fixed grid of arms: the baselines beside the policy family.

An arm learns from the labels of the queries that it served, and from nothing else: no model, no
neighbour, no shadow. Audit draws fall alike on every path, so the plain mean of an arm's labels is
its quality. A pull happens at a retune and serves all queries until the next one.

The reward of a label is q - w c: q the labelled value of the served answer, c its cost in mean
cloud calls, w the price of cost in quality. Each label moves w by dual ascent,
w <- w exp(STEP (q - target)): dearer while quality is in excess, cheaper while it is short. Rewards
that were summed at an old w would be stale, so cost and quality are kept apart and joined at the
pull.

River 0.26.1 as found, and what is done about it: UCB gives a distribution no bonus, so the reward
is a statistic; ThompsonSampling draws the reward of one query, so ``Earned.sample`` draws the mean;
LinUCBDisjoint needs a context, takes its burn-in for a scaler of rewards, and bounds the next
reward and not its mean (``LinUCB``). None reports a propensity; serving stays certain, one arm at a
time. Exp3 and BayesUCB are refused (``dataplane.contract.sections.REFUSED``).
"""

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np
from river import bandit, stats
from river.bandit.base import ArmID, Policy
from river.linear_model import BayesianLinearRegression

from controlplane.learn.policy_family import Arm, Arms
from controlplane.learn.traffic import Columns
from controlplane.observations import Labelled
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.sections import Bandit
from dataplane.contract.terms import Mode, QualityTarget

LAMBDAS: tuple[float, ...] = tuple(np.geomspace(0.04, 1.0, 12).tolist())
MODES: tuple[Mode, ...] = ("route", "cascade", "cascade_route")
ARMS = Arms(Arm(mode, lambda_) for mode, lambda_ in product(MODES, LAMBDAS))
NOISE = 0.4  # standard deviation of a label
HALF_LIFE = 500  # of an arm's label, in labels of that arm
STEP = 0.05  # of the dual ascent, per label
FIRST_PRICE = 0.2
VERSIONS = 300  # whose arm is remembered, for labels that come late
WAITING = 2000  # labels of versions not known yet
SUMS = ("n", "q", "c", "qq", "qc", "cc")

Context = dict[str, float]


class Earned(stats.base.Statistic[float]):
    """What an arm's labels earned: exponentially weighted sums of quality and of cost in USD.

    Its value is q - ``per_usd`` c, at whatever price is set when it is asked.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.per_usd = 0.0
        self.rng = random.Random(seed)  # noqa: S311 - a reproducible draw, no secret
        self.sums = dict.fromkeys(SUMS, 0.0)

    def update(self, quality: float, cost_usd: float) -> None:
        """One label more; the older ones fade."""
        keep = 2 ** (-1 / HALF_LIFE)
        q, c = quality, cost_usd
        for name, value in zip(SUMS, (1.0, q, c, q * q, q * c, c * c), strict=True):
            self.sums[name] = keep * self.sums[name] + value

    def get(self) -> float:
        """Mean reward; -inf before the first label."""
        n, q, c, *_ = self.sums.values()
        return (q - self.per_usd * c) / n if n else float("-inf")

    @property
    def error(self) -> float:
        """Standard error of the mean reward, from its labels and one of variance ``NOISE`` ** 2."""
        n, q, c, qq, qc, cc = self.sums.values()
        squares = qq - 2 * self.per_usd * qc + self.per_usd**2 * cc
        spread = max(squares - (q - self.per_usd * c) ** 2 / n, 0.0)
        return math.sqrt((NOISE**2 + spread) / (1 + n) / n)

    def sample(self) -> float:
        """A draw from the posterior of the mean, what Thompson sampling asks of a distribution."""
        return self.rng.gauss(self.get(), self.error) if self.sums["n"] else float("inf")


class LinUCB(bandit.LinUCBDisjoint):
    """Li et al. 2010 (arXiv 1003.0146), disjoint: quality and cost regressed apart on a context.

    River's bound is mean + the deviation of the *next reward*, whose noise drowns what is not yet
    known of the mean; here it is mean + ``WIDTH`` deviations of the mean. Its ``alpha`` is a prior
    precision, and not the width.
    """

    WIDTH = 1.0

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(alpha=1.0, beta=1 / NOISE**2, reward_obj=Earned(), seed=seed)
        self.burn_in = 1
        self.per_usd = 0.0
        self.costs: defaultdict[ArmID, BayesianLinearRegression] = defaultdict(
            partial(BayesianLinearRegression, alpha=self.alpha, beta=self.beta)
        )

    @property
    def regressions(self) -> tuple[dict[ArmID, BayesianLinearRegression], ...]:
        """Per arm, of quality and of cost."""
        return self._bayes_lin_regs, self.costs

    def _pull(self, arm_ids: list[ArmID], context: Context) -> ArmID:  # type: ignore[override] # as River's own contextual policies
        return max(arm_ids, key=lambda arm: self._bound(arm, context))

    def _bound(self, arm: ArmID, context: Context) -> float:
        quality = self._bayes_lin_regs[arm].predict_one(context, with_dist=True)
        cost = self.costs[arm].predict_one(context)
        of_mean = max(quality.sigma**2 - 1 / self.beta, 0.0)
        return float(quality.mu - self.per_usd * cost + self.WIDTH * math.sqrt(of_mean))

    def update(self, arm_id: ArmID, context: Context, quality: float, cost_usd: float) -> None:
        """One label of an arm, whose query had this context."""
        super().update(arm_id, context, quality, cost_usd)  # type: ignore[no-untyped-call] # river leaves it unannotated
        self.costs[arm_id].learn_one(context, cost_usd)


POLICIES: dict[Bandit, Callable[[], Policy]] = {
    "ucb": partial(bandit.UCB, delta=NOISE, reward_obj=Earned(), burn_in=1, seed=0),
    "thompson": partial(
        bandit.ThompsonSampling,
        reward_obj=Earned(),  # type: ignore[arg-type] # it samples, as a distribution does
        burn_in=1,
        seed=0,
    ),
    "epsilon_greedy": partial(
        bandit.EpsilonGreedy, epsilon=0.1, reward_obj=Earned(), burn_in=1, seed=0
    ),
    "linucb": partial(LinUCB, seed=0),
}


class Reward(NamedTuple):
    """A label on its way to the arm of the version that served it."""

    version: int
    quality: float
    cost_usd: float
    p_hat: float


class Baseline:
    """One of River's bandits, with the price that it weighs cost by."""

    def __init__(self, name: Bandit) -> None:
        self.name = name
        self.policy = POLICIES[name]()
        self.price = FIRST_PRICE
        self.pulls = 0
        self.arms: dict[int, str] = {}  # of versions
        self.waiting: deque[Reward] = deque(maxlen=WAITING)

    @property
    def earned(self) -> dict[ArmID, Earned]:
        """What River keeps of each arm."""
        return cast("dict[ArmID, Earned]", self.policy._rewards)

    def learn(self, labelled: Labelled, p_hat: float) -> None:
        """The served answer's label, if it has one; the other tier's is not looked at."""
        seen = labelled.observation
        quality = labelled.right.get(seen.served)
        if quality is not None:
            self.waiting.append(Reward(seen.policy_version, quality, seen.cost_usd, p_hat))

    def pull(self, draft: PolicyDocument, traffic: Columns, *, may_judge: bool) -> Arm:
        """The arm to serve next. ``draft``: the live document refitted, still at the live arm."""
        self._settle(draft)
        self.pulls += 1
        self._price(self.price / draft.cost_unit_usd)
        names: list[ArmID] = [arm.name for arm in _reachable(draft, may_judge)]
        if isinstance(self.policy, LinUCB):
            # Linear in the context: its value at the mean is the mean of its values.
            name = self.policy.pull(names, context=_context(float(traffic.p_hat[:, 0].mean())))
        else:
            name = self.policy.pull(names)
        return ARMS.named(name)

    def _settle(self, draft: PolicyDocument) -> None:
        """Credit the labels whose version is known by now; drop those that no arm served."""
        live, segment = draft.parent or draft.version, draft.segments[0]
        self.arms[live] = Arm(segment.mode, segment.lambda_).name
        self.arms = dict(list(self.arms.items())[-VERSIONS:])
        target = draft.objective
        assert isinstance(target, QualityTarget), "only a quality target is served yet"
        later = [reward for reward in self.waiting if reward.version > live]
        for reward in self.waiting:
            if self.arms.get(reward.version) in ARMS.names:
                self._credit(self.arms[reward.version], reward, target.target_quality)
        self.waiting = deque(later, maxlen=WAITING)

    def _credit(self, arm: str, reward: Reward, target: float) -> None:
        moved = self.price * math.exp(STEP * (reward.quality - target))
        self.price = min(max(moved, LAMBDAS[0]), LAMBDAS[-1])
        if isinstance(self.policy, LinUCB):
            self.policy.update(arm, _context(reward.p_hat), reward.quality, reward.cost_usd)
        else:
            self.policy.update(arm, reward.quality, reward.cost_usd)

    def _price(self, per_usd: float) -> None:
        """Set today's price, and draws that depend on the number of pulls alone."""
        self.policy._rng.seed(self.pulls)  # type: ignore[attr-defined] # all of POLICIES have one
        if isinstance(self.policy, LinUCB):
            self.policy.per_usd = per_usd
        for arm, earned in self.earned.items():
            earned.per_usd = per_usd
            earned.rng.seed(f"{self.pulls} {arm}")

    def reason(self, arm: Arm) -> str:
        """Why it was pulled, in words."""
        return (
            f"{arm.name}: pulled by {self.name} ({self.policy._counts[arm.name]} of "
            f"{self.policy._n} labels are its own; a cloud call is weighed as {self.price:.3g})"
        )

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        linear = self.policy.regressions if isinstance(self.policy, LinUCB) else ()
        return {
            "name": self.name,
            "price": self.price,
            "pulls": self.pulls,
            "arms": list(self.arms.items()),
            "waiting": list(self.waiting),
            "counts": dict(self.policy._counts),
            "earned": {arm: list(each.sums.values()) for arm, each in self.earned.items()},
            "linear": [{arm: _natural(each) for arm, each in kind.items()} for kind in linear],
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Inverse of ``state``; another bandit's state, or none, leaves this one as it began."""
        if state is None or state["name"] != self.name:
            return
        self.price, self.pulls = state["price"], state["pulls"]
        self.arms = dict(map(tuple, state["arms"]))
        self.waiting.extend(Reward(*each) for each in state["waiting"])
        self.policy._counts = Counter(state["counts"])
        self.policy._n = sum(state["counts"].values())
        for arm, sums in state["earned"].items():
            self.earned[arm].sums = dict(zip(SUMS, sums, strict=True))
        if isinstance(self.policy, LinUCB):
            for kind, stored in zip(self.policy.regressions, state["linear"], strict=True):
                for arm, each in stored.items():
                    _fill(kind[arm], each)


def chosen(name: Bandit) -> Baseline | None:
    """The baseline of that name; None for the policy family, which is not one."""
    return None if name == "policy_family" else Baseline(name)


def _reachable(draft: PolicyDocument, may_judge: bool) -> list[Arm]:
    """The arms that one retune may reach; from a fixed tier it may go anywhere."""
    live, limit = draft.segments[0], draft.step_limits.log_lambda
    arms = [arm for arm in ARMS if may_judge or arm.mode == "route"]
    if live.mode.startswith("always") or not live.lambda_:
        return arms
    distance = {arm: abs(math.log(arm.lambda_ / live.lambda_)) for arm in arms}
    nearest = min(distance.values())
    return [arm for arm in arms if distance[arm] <= max(limit, nearest)]


def _context(p_hat: float) -> Context:
    return {"one": 1.0, "p_hat": p_hat}


def _natural(model: BayesianLinearRegression) -> dict[str, Any]:
    """What a regression predicts from, of the features that it has seen."""
    n = len(model._idx)
    return {
        "features": list(model._idx),
        "covariance": model._ss_inv_arr[:n, :n].tolist(),
        "eta": model._eta_arr[:n].tolist(),
    }


def _fill(model: BayesianLinearRegression, stored: dict[str, Any]) -> None:
    """Inverse of ``_natural``."""
    model._ensure_features(stored["features"])
    n = len(stored["features"])
    model._ss_inv_arr[:n, :n] = stored["covariance"]
    model._eta_arr[:n] = stored["eta"]
    model._m_dirty = True
