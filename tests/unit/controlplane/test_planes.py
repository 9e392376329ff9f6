"""What each plane is given: its own role's database, its own keys, and nobody else's."""

from pathlib import Path

from controlplane import planes
from controlplane.database import VARIABLES, Database
from dataplane.contract.configuration import load

ROOT = Path(__file__).parents[3]


def test_the_dashboard_reads_by_its_own_role_and_calls_by_its_own_keys() -> None:
    configuration = load(ROOT / "penstock.example.yaml", {"OPENAI_API_KEY": "sk"})
    database = Database("postgresql:///x", {role: f"postgresql://{role}@/x" for role in VARIABLES})
    surroundings = {"PATH": "/bin", **dict.fromkeys(VARIABLES.values(), "canary")}
    program = planes.dashboard(configuration, database, surroundings, {"viewer": "pk_v"})
    assert program.environment == {
        "PATH": "/bin",
        "DATABASE_URL_DASHBOARD": "postgresql://penstock_dashboard@/x",
        "PENSTOCK_CONTROL_URL": configuration.control.listen.url,
        "PENSTOCK_VIEWER_KEY": "pk_v",
    }


def test_without_keys_those_of_the_surroundings_stay() -> None:
    configuration = load(ROOT / "penstock.example.yaml", {"OPENAI_API_KEY": "sk"})
    database = Database("postgresql:///x", {role: f"postgresql://{role}@/x" for role in VARIABLES})
    program = planes.dashboard(configuration, database, {"PENSTOCK_VIEWER_KEY": "pk_own"})
    assert program.environment is not None
    assert program.environment["PENSTOCK_VIEWER_KEY"] == "pk_own"
