"""Other ways to choose a tier, on the streams of the learning benchmark.

Each rival maps (halves, stream, seed) to what every query came to. What it must know beforehand it
takes from the teaching half; the two that look ahead, ``hindsight`` and ``oracle``, say so.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

from dataplane.contract.rule import Array, Mask, logit
from dataplane.features import Features
from tests.benchmarks.frontier import Frontier, frontier
from tests.benchmarks.runs import (
    LABELLED,
    WARM,
    Paid,
    Scenario,
    Window,
    fitted_once,
    serve,
    windows,
)
from tests.benchmarks.streams import (
    CLOUD_COST,
    JUDGE_COST,
    LOCAL_COST,
    Halves,
    Stream,
    stream,
)

Rival: TypeAlias = Callable[[Halves, Stream, int], Paid]
SHRUNK = 50  # queries of a category that weigh as much as all categories together
CORNERS = 80  # of the drawn frontier
STEPS = 40  # quantiles of p_hat, and of the score, that fixed pairs are made of
PARETOBANDIT = "pareto_bandit"
CLOUD_USD_PER_MTOK, TOKENS = 24.7, 100  # ParetoBandit scales costs by the market's


def always(tier: int) -> Rival:
    """One tier for every query: 0 the local one, 1 the cloud."""

    def pay(parts: Halves, drawn: Stream, seed: int) -> Paid:
        return _routed(drawn, np.full(len(drawn.rows), bool(tier)))

    return pay


def random_mix(parts: Halves, drawn: Stream, seed: int) -> Paid:
    """A coin, of the share that reached the target on the teaching half."""
    coin = np.random.default_rng([seed, 21]).random(len(drawn.rows))
    return _routed(drawn, coin < cloud_share(parts))


def cloud_share(parts: Halves) -> float:
    """Share of the teaching half that a coin must send to the cloud to reach the target."""
    low, high = float(parts.taught.local.mean()), float(parts.taught.cloud.mean())
    return float(np.clip((parts.target - low) / (high - low), 0, 1))


def category_mean(parts: Halves, drawn: Stream, seed: int) -> Paid:
    """The recording's categories, dearest gains first, until the teaching half is at the target."""
    taught, gain = parts.taught, category_gains(parts)
    sizes = Counter(taught.categories)
    quality, to_cloud = float(taught.local.mean()), set[str]()
    for name in sorted(gain, key=lambda each: gain[each], reverse=True):
        if quality >= parts.target:
            break
        to_cloud.add(name)
        quality += gain[name] * sizes[name] / len(taught)
    kinds = [parts.served.categories[place] in to_cloud for place in drawn.places]
    return _routed(drawn, np.array(kinds))


def category_gains(parts: Halves) -> dict[str, float]:
    """Category to what the cloud is worth there, shrunk to what it is worth in all."""
    taught = parts.taught
    gained, names = taught.cloud - taught.local, np.array(taught.categories)
    middle = float(gained.mean())
    of = {name: gained[names == name] for name in sorted(set(names))}
    return {n: float(each.sum() + SHRUNK * middle) / (len(each) + SHRUNK) for n, each in of.items()}


def hindsight(parts: Halves, drawn: Stream, seed: int) -> Paid:
    """The cheapest fixed (threshold, cutoff) that reaches the target, chosen by the window itself.

    Straight to the cloud below the threshold on p_hat; otherwise judged, and escalated below the
    cutoff; or never judged.
    """
    middle = len(drawn.rows) // 2
    p_hat = parts.p_hat[drawn.places]
    halves_ = [_best_pair(parts.target, drawn, p_hat, part) for part in _both(middle)]
    return Paid(*(np.concatenate(column) for column in zip(*halves_, strict=True)))


def _best_pair(target: float, drawn: Stream, p_hat: Array, part: slice) -> tuple[Array, ...]:
    local, cloud, score = (column[part] for column in _columns(drawn))
    p = p_hat[part]
    shares = np.linspace(0, 1, STEPS + 1)
    best: tuple[bool, float, tuple[Array, Array]] | None = None
    for threshold in np.quantile(p, shares):
        straight = p < threshold
        for cutoff in (None, *np.quantile(score, shares)):
            paid = _cascaded(local, cloud, straight, None if cutoff is None else score < cutoff)
            quality, cost = float(paid[0].mean()), float(paid[1].mean())
            enough = quality >= target
            merit = -cost if enough else quality
            if best is None or (enough, merit) > best[:2]:
                best = enough, merit, paid
    assert best is not None
    return *best[2], np.zeros(len(p))


def _cascaded(local: Array, cloud: Array, straight: Mask, low: Mask | None) -> tuple[Array, Array]:
    """Quality and cost (N,). ``low``: what the judge would escalate; None: nothing is judged."""
    to_cloud = straight if low is None else straight | low
    judge = 0.0 if low is None else JUDGE_COST
    cost = np.where(straight, 0.0, LOCAL_COST + judge) + to_cloud * CLOUD_COST
    return np.where(to_cloud, cloud, local), cost


def oracle(parts: Halves, drawn: Stream, seed: int) -> Paid:
    """Knows every outcome: the fewest cloud calls that reach the target, each mending an answer."""
    local, cloud, _ = _columns(drawn)
    to_cloud = np.zeros(len(local), dtype=bool)
    for part in _both(len(local) // 2):
        needed = int(np.ceil(parts.target * len(local[part]) - local[part].sum()))
        mended = np.flatnonzero(cloud[part] > local[part])[: max(needed, 0)]
        to_cloud[part.start + mended] = True
    return _routed(drawn, to_cloud)


def product(scenario: Scenario) -> Rival:
    """The product itself, or one of River's bandits in its place (``learn.baselines``).

    The latter learn of one arm at a time, and pull more often.
    """

    def pay(parts: Halves, drawn: Stream, seed: int) -> Paid:
        _, served = serve(parts, scenario, seed, drawn)
        return Paid.of(served)

    return pay


def paretobandit(parts: Halves, drawn: Stream, seed: int) -> Paid:
    """ParetoBandit (PyPI ``paretobandit`` 0.1.1), no prior, at a budget.

    It takes no target: the budget is what a coin needs for it. Context: standardised logit of p_hat
    and log of the length. It sees the warm labels of both tiers, then those of audits.
    """
    router, context = _pareto_router(parts, seed), _contexts(parts)
    rng = np.random.default_rng([seed, 22])
    for place in rng.choice(len(parts.warm), WARM, replace=False):
        x = context(parts.warm.features[place])
        router.update("local", x, float(parts.warm.local[place]))
        router.update("cloud", x, float(parts.warm.cloud[place]))
    labelled = rng.random(len(drawn.rows)) < LABELLED
    to_cloud = np.zeros(len(drawn.rows), dtype=bool)
    for at, row in enumerate(drawn.rows):
        model, log = router.route(context(row.features), input_tokens=TOKENS, output_tokens=0)
        to_cloud[at] = model == "cloud"
        if labelled[at]:
            router.process_feedback(log.request_id, row.worth[int(to_cloud[at])])
    return _routed(drawn, to_cloud)


def _pareto_router(parts: Halves, seed: int) -> Any:
    package = import_module(PARETOBANDIT)
    features = import_module(f"{PARETOBANDIT}.feature_service").FeatureService
    pacing = import_module(f"{PARETOBANDIT}.budget_pacer")
    share = cloud_share(parts)
    budget = share * CLOUD_COST + (1 - share) * LOCAL_COST
    prices = {"local": LOCAL_COST / CLOUD_COST, "cloud": 1.0}
    return package.BanditRouter.create(
        model_registry={
            name: dict.fromkeys(("input_cost_per_m", "output_cost_per_m"), at * CLOUD_USD_PER_MTOK)
            for name, at in prices.items()
        },
        priors="none",
        feature_service=features.for_precomputed(dimension=2),
        budget_pacer=pacing.BudgetPacer(
            budget * TOKENS * CLOUD_USD_PER_MTOK / 1e6, mode=pacing.PacingMode.SOFT
        ),
        cost_penalty=0.0,  # the pacer alone weighs cost: with both it stays far below its budget
        bandit_seed=seed,
    )


def _contexts(parts: Halves) -> Callable[[Features], Array]:
    predictor = parts.predictor

    def raw(features: Features) -> Array:
        return np.array([float(logit(predictor.predict(features))), np.log(features.chars + 1)])

    known = np.array([raw(each) for each in parts.warm.features])
    middle, spread = known.mean(axis=0), known.std(axis=0)
    return lambda features: np.asarray((raw(features) - middle) / spread)


def rivals() -> dict[str, Rival]:
    """By name; ParetoBandit only where it is installed."""
    named: dict[str, Rival] = {
        "always local": always(0),
        "always cloud": always(1),
        "random mix": random_mix,
        "per-category mean": category_mean,
        "best fixed pair, in hindsight": hindsight,
        "River UCB": product(Scenario(bandit="ucb")),
        "River Thompson": product(Scenario(bandit="thompson")),
        "River LinUCB": product(Scenario(bandit="linucb")),
    }
    if find_spec(PARETOBANDIT) is not None:
        named["ParetoBandit"] = paretobandit
    return named | {"Penstock": product(Scenario()), "oracle": oracle}


def measured(
    parts: Halves, seeds: Sequence[int], queries: int
) -> Iterator[tuple[str, int, tuple[Window, Window]]]:
    """Every rival on the stationary stream of every seed, as it is done."""
    for seed in seeds:
        drawn = stream(parts, seed, queries, "none")
        for name, rival in rivals().items():
            paid = rival(parts, drawn, seed)
            yield name, seed, windows(parts, "none", paid, drawn.rows)


def curve(parts: Halves, seeds: Sequence[int], queries: int) -> Frontier:
    """The frontier, its cost averaged over the seeds' streams."""
    hulls = [
        frontier(fitted_once(parts, "none"), stream(parts, seed, queries, "none").rows)
        for seed in seeds
    ]
    lowest = max(float(each.quality[0]) for each in hulls)
    highest = min(float(each.quality[-1]) for each in hulls)
    quality = np.linspace(lowest, highest, CORNERS)
    cost = np.mean([[each.cost_at(q) for q in quality] for each in hulls], axis=0)
    return Frontier(cost, quality)


def _routed(drawn: Stream, to_cloud: Mask) -> Paid:
    """Each query to one tier, without a judge."""
    local, cloud, _ = _columns(drawn)
    cost = np.where(to_cloud, CLOUD_COST, LOCAL_COST)
    return Paid(np.where(to_cloud, cloud, local), cost, np.zeros(len(cost)))


def _columns(drawn: Stream) -> tuple[Array, Array, Array]:
    """Worth of the local answers, of the cloud's, and the scores (N,)."""
    columns = np.array([(*row.worth, row.score) for row in drawn.rows], dtype=np.float64)
    local, cloud, score = np.ascontiguousarray(columns.T)
    return local, cloud, score


def _both(middle: int) -> tuple[slice, slice]:
    return slice(0, middle), slice(middle, 2 * middle)
