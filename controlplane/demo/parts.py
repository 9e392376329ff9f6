"""The demo's parts, each a process of its own, as programs to start."""

from collections.abc import Mapping

from controlplane.database import Database
from controlplane.demo.options import Options
from controlplane.demo.site import PROVIDER_KEY, Site
from controlplane.launch import Program, sheltered

SANDBOX = "dataplane.sandbox"
LABEL_LEASE_S = 120  # a label may be that late
LABEL_EXPIRY_S = 30  # and one that never comes holds the estimate back that long


def provider(site: Site, options: Options) -> Program:
    """The SIMULATED cloud."""
    url = f"http://127.0.0.1:{site.provider_port}"
    arguments = (f"--port={site.provider_port}", f"--seed={options.seed}", "--watch-stdin")
    environment = {**sheltered(), PROVIDER_KEY: site.provider_key}
    return Program(
        "provider", f"{SANDBOX}.provider", arguments, environment, ready_url=f"{url}/health"
    )


def dataplane(site: Site, database: Database) -> Program:
    """The data plane, which starts the engine."""
    environment = {
        **sheltered(),
        PROVIDER_KEY: site.provider_key,
        "DATABASE_URL_DATAPLANE": database.url_for("penstock_dataplane"),
    }
    return Program(
        "data plane",
        "dataplane",
        (f"--config={site.file}", f"--start-policy={site.start_policy}"),
        environment,
        ready_url=f"{site.configuration.listen.url}/readyz",
    )


def controlplane(site: Site, database: Database, admin_key: str) -> Program:
    """The control plane; the key is for its shadow calls."""
    environment = {
        **sheltered(),
        "DATABASE_URL_CONTROLPLANE": database.url_for("penstock_controlplane"),
        "PENSTOCK_DATAPLANE_KEY": admin_key,
        "PENSTOCK_LABEL_LEASE_S": str(LABEL_LEASE_S),
        "PENSTOCK_LABEL_PATIENCE_S": "10",
        "PENSTOCK_LABEL_EXPIRY_S": str(LABEL_EXPIRY_S),
    }
    return Program(
        "control plane",
        "controlplane",
        (f"--config={site.file}",),
        environment,
        ready_url=f"{site.configuration.control.listen.url}/readyz",
    )


def verifier(site: Site, options: Options, key: str) -> Program:
    """The SIMULATED labeller."""
    control = site.configuration.control.listen.url
    return _stand_in("verifier", {"PENSTOCK_LABEL_KEY": key}, control=control, seed=options.seed)


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
    )


def scoring() -> Program:
    """The baselines' process: a task on its input, a result on its output."""
    return Program("scoring", f"{SANDBOX}.scoring", environment=sheltered())


def _stand_in(name: str, secrets: Mapping[str, str], **options: object) -> Program:
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    environment = {**sheltered(), **secrets}
    return Program(name, f"{SANDBOX}.{name}", (*arguments, "--watch-stdin"), environment)
