"""The audit's claims on SIMULATED streams, a trial a claim; cells are named ``group/...``.

The simulations are those of the statistical tests.
"""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
from scipy.stats import norm

from controlplane.stats import (
    Survey,
    auroc,
    brier,
    calibration_error,
    clopper_pearson,
    cohens_kappa,
    confusion,
    controlled_mean,
    hajek_mean,
    wilson,
    worst_case,
)
from tests import gates
from tests.audits import CUTOFF, PREDICTIONS, audit, drifting, of_judge, with_silence
from tests.benchmarks.cells import Outcome, Rng, Trial, checked
from tests.binormal import LOCAL_RIGHT, answers, calibrated_bins, separation, two_labellers
from tests.certificates import attempt
from tests.sequences import PREDICTED, QUALITY, RATES, missed_by_beta_binomial, stream

LABELS = (100, 300, 1000)
DRAWS = {"uniform": False, "near the cutoff": True}
JUDGES = (0.5, 0.8, 0.93)


def proportion(rng: Rng, p: float, n: int) -> Iterator[Outcome]:
    """Intervals of a plain binomial."""
    hits = int(rng.binomial(n, p))
    yield checked(f"plain/Wilson, {p}, {n} labels", wilson(hits / n, n), p)
    yield checked(f"plain/Clopper-Pearson, {p}, {n} labels", clopper_pearson(hits, n), p)


def predicted(rng: Rng, name: str, labels: int) -> Iterator[Outcome]:
    """The controlled mean under a prediction, beside Wilson's of the same labels."""
    predict, truth = PREDICTIONS[name]
    each = audit(rng, labels, truth, LOCAL_RIGHT)
    interval, mean = controlled_mean(each.survey(predict(each)))[0], float(each.value.mean())
    yield checked(f"asymptotic/served, {name}, {labels} labels", interval, mean)
    yield checked(f"comparison/{name}, {labels} labels", each.wilson, mean)


def drift(rng: Rng, draw: str, labels: int) -> Iterator[Outcome]:
    """The mean of a stream whose quality falls: Wilson's for few labels, else controlled."""
    survey, truth = drifting(rng, labels, adaptive=DRAWS[draw])
    name = f"served, drifting, {draw}, {labels} labels"
    if labels < LABELS[1]:
        yield checked(f"plain/{name}", hajek_mean(survey), truth)
    else:
        yield checked(f"asymptotic/{name}", controlled_mean(survey)[0], truth)


def silence(rng: Rng, queries: int) -> Iterator[Outcome]:
    """Worst-case bounds of late, unsure and expired labels; the interval if all had come."""
    survey, truth = with_silence(rng, queries)
    bounds = worst_case(survey, hajek_mean)
    yield checked(f"delayed/{queries} queries", bounds.interval, truth)
    told = ~np.isnan(survey.value)
    heard = Survey(
        survey.value[told],
        survey.predicted[told],
        survey.probability[told],
        survey.population_predicted,
        survey.population,
    )
    yield checked(f"ignored/{queries} queries", hajek_mean(heard), truth)


def judge(rng: Rng, truth: float, draw: str, labels: int) -> Iterator[Outcome]:
    """A judge's area, and for one of .8 its rates at a cutoff and its Brier score."""
    served, chance = of_judge(rng, labels, truth, adaptive=DRAWS[draw])
    where = f"{draw}, {labels} labels"
    area = auroc(served.score, served.right, chance)
    yield checked(f"asymptotic/AUROC {truth}, {where}", area, truth)
    if truth == gates.GOOD:
        rates = confusion(served.score, served.right, chance, CUTOFF)
        for name, rate in true_rates().items():
            yield checked(f"asymptotic/{name}, {where}", getattr(rates, name), rate)
        score = brier(served.posterior(truth), served.right, chance)
        yield checked(f"asymptotic/Brier, {where}", score, true_brier())


@cache
def true_rates() -> dict[str, float]:
    """Of a judge of AUROC .8 at the cutoff."""
    tpr, fpr = norm.sf(CUTOFF - separation(gates.GOOD)), norm.sf(CUTOFF)
    accepted = LOCAL_RIGHT * tpr + (1 - LOCAL_RIGHT) * fpr
    precision = LOCAL_RIGHT * tpr / accepted
    return {"tpr": tpr, "fpr": fpr, "precision": precision, "accepted": accepted}


@cache
def true_brier() -> float:
    """Of the same judge's calibrated score."""
    many = answers(np.random.default_rng(1), 1_000_000, gates.GOOD)
    return float(np.mean((many.posterior(gates.GOOD) - many.right) ** 2))


def calibration(rng: Rng, slope: float, labels: int) -> Iterator[Outcome]:
    """The calibration error over ten predictions of equal mass."""
    said, right, true = calibrated_bins(rng, slope, labels)
    error = calibration_error(said, right, np.full(labels, 0.2)).error
    yield checked(f"conservative/calibration error, slope {slope}, {labels} labels", error, true)


def agreement(rng: Rng, mistaken: float, labels: int) -> Iterator[Outcome]:
    """Kappa of two labellers who err alike."""
    first, second, true = two_labellers(rng, mistaken, labels)
    kappa = cohens_kappa(first, second)
    yield checked(f"conservative/kappa, {mistaken} mistaken, {labels} labels", kappa, true)


def sequences(rng: Rng, quality: str, predictions: str, rate: float) -> Iterator[Outcome]:
    """Whether either sequence holds at all times; the amount is not used."""
    each = stream(rng, quality, predictions, rate)
    where = f"{quality}, {predictions} predictions, rate {rate}"
    yield f"sequence/asymptotic, {where}", not each.missed_by_asymptotic(), 0.0
    yield f"sequence/empirical Bernstein, {where}", not each.missed_by_bernstein(), 0.0


def mixture(rng: Rng, p: float) -> Iterator[Outcome]:
    """Whether the Beta-binomial sequence holds at all times."""
    right = (rng.uniform(size=3000) < p).astype(float)
    yield f"sequence/Beta-binomial, {p}", not missed_by_beta_binomial(right, p), 0.0


def certificate(rng: Rng, labels: int) -> Iterator[Outcome]:
    """Whether a certificate keeps to its limit, and the share that it accepts."""
    made = attempt(rng, labels)
    yield f"rcps/{labels} labels", not made.violated, made.accepted


def gate(rng: Rng) -> Iterator[Outcome]:
    """Useless, good and breaking judges; the amount is in pairs, infinite if never."""
    took = gates.until_opened(rng, gates.USELESS, gates.USELESS_FOR)
    yield "gate/useless stays closed", bool(np.isinf(took)), took
    took = gates.until_opened(rng, gates.GOOD, gates.OPEN_WITHIN)
    yield "gate/good opens", bool(np.isfinite(took)), took
    took = gates.until_closed_once_broken(rng)
    yield "gate/broken closes", bool(np.isfinite(took)), took


def gate_kept(rng: Rng) -> Iterator[Outcome]:
    """A good judge's gate over 1,000 pairs."""
    took = gates.until_closed_in_error(rng)
    yield "gate/good stays open", bool(np.isinf(took)), took


FIXED: list[Trial] = [
    *(partial(proportion, p=p, n=n) for p in (0.5, 0.8, 0.95) for n in (30, *LABELS)),
    *(partial(predicted, name=name, labels=n) for name in PREDICTIONS for n in LABELS[1:]),
    *(partial(drift, draw=draw, labels=n) for draw in DRAWS for n in LABELS),
    *(
        partial(judge, truth=t, draw=draw, labels=n)
        for t in JUDGES
        for draw in DRAWS
        for n in LABELS
    ),
    *(partial(calibration, slope=s, labels=n) for s in (1.0, 0.7, 0.4) for n in LABELS[1:]),
    *(partial(agreement, mistaken=m, labels=n) for m in (0.02, 0.1, 0.3) for n in (50, 150, 500)),
    *(partial(silence, queries=n) for n in (1000, 4000)),
]
SEQUENCES: list[Trial] = [
    *(
        partial(sequences, quality=quality, predictions=predictions, rate=rate)
        for quality in QUALITY
        for predictions in PREDICTED
        for rate in RATES
    ),
    *(partial(mixture, p=p) for p in (0.5, 0.8, 0.97)),
]
CERTIFICATES: list[Trial] = [partial(certificate, labels=n) for n in LABELS]
