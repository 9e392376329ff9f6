"""What the control plane runs with: ``penstock.yaml``, and a few things from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from controlplane import promote
from controlplane.audit.labels import Terms
from controlplane.database import DatabaseUnavailable
from controlplane.learn.prior import NONE, Prior, read
from controlplane.learn.settings import LearnerSettings
from controlplane.rollups import KEPT
from controlplane.shadow import ShadowTerms, terms
from dataplane.contract.address import Address
from dataplane.contract.alerting import Alerts
from dataplane.contract.configuration import Configuration
from dataplane.contract.errors import OperatorError
from dataplane.contract.sections import Audit, Proposals

DATAPLANE_URL = "PENSTOCK_DATAPLANE_URL"
DATAPLANE_KEY = "PENSTOCK_DATAPLANE_KEY"
LABEL_LEASE_S = "PENSTOCK_LABEL_LEASE_S"
LABEL_PATIENCE_S = "PENSTOCK_LABEL_PATIENCE_S"
LABEL_SECOND_S = "PENSTOCK_LABEL_SECOND_S"
LABEL_EXPIRY_S = "PENSTOCK_LABEL_EXPIRY_S"


@dataclass(frozen=True, slots=True)
class Settings:
    """``dataplane_key`` needs scope ``admin``; empty, nothing is shadowed."""

    database_url: str = field(repr=False)
    listen: Address
    dataplane_url: str
    dataplane_key: str = field(repr=False)
    tiers: tuple[str, ...]
    retune_interval_s: float
    learner: LearnerSettings
    prior: Prior
    labels: Terms
    draws_per_day: int | None = None
    width: float | None = None
    alerts: Alerts | None = None
    proposals: promote.Terms = field(default_factory=promote.Terms)
    shadows: ShadowTerms = field(default_factory=ShadowTerms)
    records_kept: timedelta | None = None
    sums_kept: timedelta = KEPT


def settings(configuration: Configuration, environ: Mapping[str, str]) -> Settings:
    """Raises an ``OperatorError`` that names what is missing or wrong."""
    url = configuration.database_url_controlplane.get_secret_value()
    if not url:
        raise DatabaseUnavailable(
            "DATABASE_URL_CONTROLPLANE is unset: set it to the URL of role penstock_controlplane, "
            "or start everything with `penstock up`"
        )
    prior = configuration.learner.prior
    return Settings(
        database_url=url,
        listen=configuration.control.listen,
        dataplane_url=environ.get(DATAPLANE_URL) or configuration.listen.url,
        dataplane_key=environ.get(DATAPLANE_KEY, ""),
        tiers=tuple(tier.name for tier in configuration.tiers),
        retune_interval_s=configuration.learner.retune_interval_s,
        learner=learner_settings(configuration),
        prior=NONE if prior is None else read(prior, len(configuration.tiers)),
        labels=label_terms(environ, configuration.audit),
        width=configuration.audit.width,
        draws_per_day=configuration.audit.per_day,
        alerts=configuration.alerts,
        proposals=proposal_terms(configuration.proposals),
        shadows=terms(configuration.shadow),
        records_kept=_days(configuration.records.kept_days),
        sums_kept=timedelta(days=configuration.sums.kept_days),
    )


def _days(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(days=count)


def learner_settings(configuration: Configuration) -> LearnerSettings:
    """How fast and how carefully the learner moves, by this configuration."""
    wanted = configuration.learner
    return LearnerSettings(
        bandit=wanted.bandit,
        kappa=wanted.kappa,
        min_decisions=wanted.min_decisions,
        support=wanted.min_effective_sample,
        floor=configuration.audit.floor,
        held_out=configuration.audit.held_out,
    ).drawing(configuration.audit.rate, configuration.shadow.rate)


def proposal_terms(stated: Proposals) -> promote.Terms:
    """What a proposal's stages ask for, as ``penstock.yaml`` says."""
    return promote.Terms(
        draw=stated.draw,
        shadow_within=timedelta(days=stated.shadow_days),
        canary_share=stated.canary_share,
        canary_queries=stated.canary_queries,
        canary_within=timedelta(days=stated.canary_days),
        slower=stated.slower,
        watched=stated.watched,
        holdout=stated.holdout,
    )


def label_terms(environ: Mapping[str, str], audit: Audit | None = None) -> Terms:
    """How labels are had: times in seconds where the environment sets them, the rest as
    ``penstock.yaml`` says.
    """
    audit = audit or Audit()
    usual = Terms()
    return Terms(
        lease=_seconds(environ, LABEL_LEASE_S, usual.lease),
        patience=_seconds(environ, LABEL_PATIENCE_S, usual.patience),
        second=_seconds(environ, LABEL_SECOND_S, usual.second),
        expiry=_seconds(environ, LABEL_EXPIRY_S, usual.expiry),
        double=audit.double,
        tolerance=audit.tolerance,
    )


def _seconds(environ: Mapping[str, str], name: str, usual: timedelta) -> timedelta:
    text = environ.get(name)
    if not text:
        return usual
    try:
        given = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        given = timedelta()
    if given <= timedelta():
        raise OperatorError(f"{name} is '{text}': set it to a number of seconds above 0")
    return given
