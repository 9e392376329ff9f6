"""The demo's parts, each a process of its own, as programs to start."""

from collections.abc import Mapping

from controlplane import planes
from controlplane.database import Database
from controlplane.demo.options import Options
from controlplane.demo.site import PROVIDER_KEY, Site
from controlplane.launch import Program, sheltered

SANDBOX = "dataplane.sandbox"
LABELS = {  # seconds: longer than any run, so that a slow machine loses no label by the clock
    "PENSTOCK_LABEL_LEASE_S": "900",
    "PENSTOCK_LABEL_PATIENCE_S": "60",
}
UNSURE, NEVER = 0.10, 0.0  # a silence would hold the estimate back until it expired
USUAL, SOON = (50, 500, 1), (20, 150, 4)  # delays in queries, verdicts at once: labels tell causes


def provider(site: Site, options: Options) -> Program:
    """The SIMULATED cloud."""
    secrets = {PROVIDER_KEY: site.provider_key}
    health = f"http://127.0.0.1:{site.provider_port}/health"
    return _stand_in("provider", secrets, health, port=site.provider_port, seed=options.seed)


def drifting(site: Site, options: Options) -> Program:
    """The local model, which drifts once it is told to."""
    return _stand_in(
        "drifting",
        {},
        f"{site.drifting_url}/health",
        port=site.drifting_port,
        drift=options.drift,
        seed=options.seed,
        engine_log=site.logs / "local.log",
    )


def dataplane(site: Site, database: Database) -> Program:
    """The data plane, which starts the engine."""
    environment = {**sheltered(), PROVIDER_KEY: site.provider_key}
    configuration = site.configuration
    return planes.dataplane(configuration, site.file, site.start_policy, database, environment)


def controlplane(site: Site, database: Database, admin_key: str) -> Program:
    """The control plane."""
    environment = {**sheltered(), **LABELS}
    return planes.controlplane(site.configuration, site.file, admin_key, database, environment)


def dashboard(site: Site, database: Database, keys: Mapping[str, str]) -> Program:
    """The dashboard; ``keys`` by role."""
    return planes.dashboard(site.configuration, database, sheltered(), keys)


def verifier(site: Site, options: Options, key: str) -> Program:
    """The SIMULATED labeller."""
    control = site.configuration.control.listen.url
    least, most, hands = SOON if options.drift else USUAL
    return _stand_in(
        "verifier",
        {"PENSTOCK_LABEL_KEY": key},
        control=control,
        seed=options.seed,
        unsure=UNSURE,
        never=NEVER,
        least=least,
        most=most,
        hands=hands,
        leave=options.left,
    )


def workload(site: Site, options: Options, key: str) -> Program:
    """The SIMULATED clients; their output is one line a query."""
    return _stand_in(
        "workload",
        {"PENSTOCK_API_KEY": key},
        gateway=site.configuration.listen.url,
        queries=options.queries,
        seed=options.seed,
        concurrency=options.concurrency,
        rate_per_s=options.rate_per_s,
        after=options.mix_after,
    )


def scoring() -> Program:
    """The baselines' process: a task on its input, a result on its output."""
    return Program("scoring", f"{SANDBOX}.scoring", environment=sheltered())


def _stand_in(
    name: str, secrets: Mapping[str, str], ready_url: str | None = None, **options: object
) -> Program:
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    environment = {**sheltered(), **secrets}
    return Program(name, f"{SANDBOX}.{name}", (*arguments, "--watch-stdin"), environment, ready_url)
