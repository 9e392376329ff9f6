"""Settings: the parts of the data plane as the configuration names them, not yet started."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from dataplane.access import Keys
from dataplane.app import Parts, create_app
from dataplane.budgets import Budgets
from dataplane.contract.configuration import Configuration
from dataplane.contract.errors import OperatorError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import reason
from dataplane.contract.sections import Engine, Provider
from dataplane.contract.sections import Tier as TierSection
from dataplane.feed import Feed
from dataplane.guarded_tier import GuardedTier
from dataplane.recorder import Recorder
from dataplane.report import Report
from dataplane.spool import Spool, SpoolError
from dataplane.subscription import Subscription
from dataplane.telemetry import Telemetry
from dataplane.tiers.base import Tier
from dataplane.tiers.local import LocalTier
from dataplane.tiers.openai import OpenAITier
from dataplane.tiers.process import EngineOptions

START_POLICY = "PENSTOCK_START_POLICY"
DATABASE = "DATABASE_URL_DATAPLANE"


@dataclass(frozen=True, slots=True)
class Plane:
    """All parts of one data plane."""

    app: ASGIApp
    tiers: Mapping[str, GuardedTier]
    recorder: Recorder
    budgets: Budgets
    feed: Feed


def start_policy(path: Path | None, environ: Mapping[str, str] = os.environ) -> PolicyDocument:
    """The policy that decides until one is published; raises ``OperatorError``."""
    named = path or (Path(environ[START_POLICY]) if environ.get(START_POLICY) else None)
    if named is None:
        raise OperatorError(f"no start policy: give --start-policy FILE, or set {START_POLICY}")
    try:
        return PolicyDocument.from_json(named.read_bytes())
    except OSError as error:
        raise OperatorError(f"start policy {named}: {error.strerror}") from error
    except ValueError as error:
        raise OperatorError(f"start policy {named}: {reason(error)}") from error


def build(configuration: Configuration, start: PolicyDocument) -> Plane:
    """Put the parts together; raises ``OperatorError`` where one cannot be had."""
    url = configuration.database_url_dataplane.get_secret_value()
    if not url:
        raise OperatorError(f"no database: set {DATABASE}, or start all parts by `penstock up`")
    directory = configuration.data_dir / "dataplane"
    spool = _spool(configuration, directory)
    recorder = Recorder(spool, url, on_full=configuration.spool.on_full)
    judged = configuration.judge.tier or configuration.tiers[0].name
    tiers = {
        section.name: GuardedTier(
            _tier(section, directory, judged=section.name == judged), section.timeout_s
        )
        for section in configuration.tiers
    }
    subscription = Subscription(
        directory / "policy.json", plane=spool.plane, tiers=tiers, start=start
    )
    keys = Keys(directory / "keys.json")
    budgets = Budgets(keys.limits, directory / "budgets.json")
    watch = Watch(tiers, keys, budgets, subscription, recorder)
    parts = Parts(
        tiers,
        subscription,
        recorder,
        keys,
        Telemetry(watch.gauges),
        budgets,
        readiness=watch.readiness,
    )
    app = create_app(
        parts,
        limits=configuration.limits,
        keep=configuration.text,
        timeout_s=max(tier.timeout_s for tier in configuration.tiers),
    )
    report = Report(spool.plane, watch.report)
    feed = Feed(url, (keys, budgets, subscription, report))
    budgets.hasten = feed.hasten
    return Plane(app, tiers, recorder, budgets, feed)


@dataclass(frozen=True, slots=True)
class Watch:
    """What those who watch are told; nothing here waits."""

    tiers: Mapping[str, GuardedTier]
    keys: Keys
    budgets: Budgets
    subscription: Subscription
    recorder: Recorder

    def gauges(self) -> dict[str, float]:
        """Sampled at each scrape, by Prometheus name."""
        stats = self.recorder.stats()
        return {
            "penstock_spool_pending_records": stats.pending_records,
            "penstock_spool_pending_bytes": stats.pending_bytes,
            "penstock_spool_age_seconds": stats.oldest_pending_seconds,
            "penstock_spool_dropped_total": stats.dropped,
            "penstock_spool_quarantined_total": stats.quarantined,
            "penstock_budget_refused_total": self.budgets.refused,
            "penstock_policy_version": self.subscription.current.leading.version,
            "penstock_policy_age_seconds": self.subscription.policy_age_seconds,
            "penstock_policy_unconfirmed_seconds": self.subscription.unconfirmed_seconds,
        }

    def report(self) -> dict[str, Any]:
        """Kept by the store, for the dashboard."""
        tiers = {name: tier.report() for name, tier in self.tiers.items()}
        return {"spool": asdict(self.recorder.stats()), "tiers": tiers}

    def readiness(self) -> dict[str, Any]:
        """Ready while keys are known and a tier can be asked: neither needs the database now."""
        known = len(self.keys) > 0 or self.keys.age_s is not None
        tiers = {name: tier.unavailable or "up" for name, tier in self.tiers.items()}
        return {
            "ready": known and "up" in tiers.values(),
            "tiers": tiers,
            "policy_versions": self.subscription.current.versions,
            "policy_age_s": self.subscription.policy_age_seconds,
            "keys": len(self.keys),
            "records_pending": self.recorder.stats().pending_records,
        }


def _spool(configuration: Configuration, directory: Path) -> Spool:
    try:
        return Spool(
            directory / "spool",
            durability=configuration.durability,
            max_bytes=configuration.spool.max_bytes,
        )
    except SpoolError as error:
        raise OperatorError(str(error)) from error
    except OSError as error:
        message = f"spool {directory}: {error.strerror}; set data_dir in penstock.yaml"
        raise OperatorError(message) from error


def _tier(section: TierSection, directory: Path, *, judged: bool) -> Tier:
    if section.engine is not None:
        return _local(section.name, section.engine, directory)
    assert section.provider is not None
    return _provider(section.name, section.provider, logprobs=judged)


def _local(name: str, engine: Engine, directory: Path) -> LocalTier:
    options = EngineOptions(
        model=engine.model,
        sha256=engine.pinned,
        context=engine.context,
        slots=engine.slots,
        threads=engine.threads,
        gpu_layers=engine.gpu_layers,
    )
    return LocalTier(name, engine.model.stem, options, log=directory / f"{name}.log")


def _provider(name: str, provider: Provider, *, logprobs: bool) -> OpenAITier:
    return OpenAITier(
        name,
        provider.model,
        provider.base_url,
        api_key=provider.api_key if provider.api_key.get_secret_value() else None,
        logprobs=logprobs,
        connect_timeout_s=provider.connect_timeout_s,
        idle_timeout_s=provider.idle_timeout_s,
    )
