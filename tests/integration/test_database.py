import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import controlplane
from controlplane.cluster import Cluster
from controlplane.database import (
    VARIABLES,
    Database,
    DatabaseUnavailable,
    Role,
    adopt_passwords,
    check,
    dialect_url,
    embedded,
    engine,
    external,
    libpq_url,
    upgrade,
)

ROOT = Path(str(controlplane.__file__)).parents[1]
QUICK = {"fsync": "off"}

HOLD = """
import signal, sys
from pathlib import Path
from controlplane.database import embedded
with embedded(Path(sys.argv[1]), {"fsync": "off"}) as database:
    print(database.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def created() -> Iterator[Path]:
    """A cluster that was created and stopped, to be copied."""
    with TemporaryDirectory(prefix="penstock-test-") as directory:
        enter(Path(directory))
        yield Path(directory)


@pytest.fixture
def data_dir(created: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="penstock-test-") as directory:
        subprocess.run(["cp", "-a", f"{created}/.", directory], check=True)
        yield Path(directory)


def enter(data_dir: Path) -> None:
    with embedded(data_dir, QUICK):
        pass


def holder(data_dir: Path) -> subprocess.Popen[str]:
    """Another process within ``embedded``, until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def runs(data_dir: Path) -> bool:
    return (data_dir / "postgres" / "postmaster.pid").exists()


def test_what_was_written_is_there_after_a_restart(data_dir: Path) -> None:
    with embedded(data_dir, QUICK) as database, psycopg.connect(database.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert not runs(data_dir)
    with embedded(data_dir, QUICK) as database:
        assert value(database.url, "SELECT answer FROM kept") == 42
    assert not runs(data_dir)


def test_the_last_one_to_leave_stops_it(data_dir: Path) -> None:
    with embedded(data_dir, QUICK) as first:
        with embedded(data_dir, QUICK) as second:
            assert first.url == second.url
        other = holder(data_dir)
        assert value(first.url, "SELECT 1") == 1
    assert value(first.url, "SELECT 1") == 1
    other.communicate()
    assert other.returncode == 0
    assert not runs(data_dir)


def test_after_kill_9_of_its_user_it_is_taken_over_and_stopped(data_dir: Path) -> None:
    lost = holder(data_dir)
    lost.send_signal(signal.SIGKILL)
    lost.communicate()
    assert runs(data_dir)
    with embedded(data_dir, QUICK) as database:
        assert value(database.url, "SELECT 1") == 1
    assert not runs(data_dir)


def test_after_kill_9_of_the_server_it_recovers(data_dir: Path) -> None:
    with embedded(data_dir, QUICK) as database:
        with psycopg.connect(database.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        pid = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        with embedded(data_dir, QUICK) as again:
            assert value(again.url, "SELECT answer FROM kept") == 42
    assert not runs(data_dir)


def test_a_pid_file_whose_number_another_program_got_is_no_server(data_dir: Path) -> None:
    with embedded(data_dir, QUICK):
        stale = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    stale[0] = str(os.getpid())
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join(stale) + "\n")
    with embedded(data_dir, QUICK) as database:
        assert value(database.url, "SELECT 1") == 1


def test_half_a_cluster_is_made_anew(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "postgres")
    half = data_dir / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with embedded(data_dir, QUICK) as database:
        assert value(database.url, "SELECT 1") == 1
    assert not half.exists()


def test_a_name_too_long_for_a_socket(data_dir: Path) -> None:
    deep = data_dir / ("deep" * 20)
    deep.mkdir()
    (data_dir / "postgres").rename(deep / "postgres")
    with embedded(deep, QUICK) as database:
        assert value(database.url, "SELECT 1") == 1
        away = Path(str(conninfo_to_dict(database.url)["host"]))
        assert away.stat().st_mode & 0o077 == 0
    assert not away.exists()


def test_it_listens_to_no_network_and_its_socket_is_private(postgres: Database) -> None:
    assert value(postgres.url, "SHOW listen_addresses") == ""
    directory = Path(str(conninfo_to_dict(postgres.url)["host"]))
    assert directory.stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_start_says_where_to_look(data_dir: Path) -> None:
    (data_dir / "postgres" / "postgresql.conf").write_text("no such setting = 1\n")
    with pytest.raises(DatabaseUnavailable, match=r"pg_ctl failed \(.*\): see .*/postgres/log"):
        enter(data_dir)
    assert not runs(data_dir)


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="Not a directory"):
        enter(tmp_path / "file" / "below")


def test_each_role_connects_by_its_own_url(database: Database) -> None:
    for role in VARIABLES:
        assert value(database.url_for(role), "SELECT current_user") == role


def test_sqlalchemy_takes_the_same_url(database: Database) -> None:
    session = engine(database.url_for("penstock_controlplane"))
    with session.connect() as connection:
        assert connection.dialect.driver == "psycopg"
        assert connection.exec_driver_sql("SELECT current_user").scalar() == "penstock_controlplane"
    session.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_forms_of_a_url(scheme: str) -> None:
    url = f"{scheme}://user:p%40ss@example.org:6543/store?sslmode=require"
    assert libpq_url(url) == "postgresql://user:p%40ss@example.org:6543/store?sslmode=require"
    parsed = dialect_url(url)
    assert (parsed.drivername, parsed.password, parsed.port) == ("postgresql+psycopg", "p@ss", 6543)


SECRET = "hunter2-%40x"


def test_an_unreachable_url_is_one_line_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = taken.getsockname()[1]
        with pytest.raises(DatabaseUnavailable) as caught:
            check(f"postgres://me:{SECRET}@127.0.0.1:{port}/store")
    assert str(caught.value) == (
        f"DATABASE_URL: cannot reach Postgres at 127.0.0.1:{port} (Connection refused): "
        "check DATABASE_URL or unset it to use the embedded server"
    )
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{SECRET}@127.0.0.1/store",
        f"postgresql://me:{SECRET}@127.0.0.1:{SECRET}/store",
        f"postgresql://me:{SECRET}@[127.0.0.1/store",
        f"postgresql://me:{SECRET}@127.0.0.1/store?{SECRET}=1",
        SECRET,
    ],
)
def test_what_is_not_a_url_is_said_so_and_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        check(url, "DATABASE_URL_DATAPLANE")
    assert str(caught.value).startswith("DATABASE_URL_DATAPLANE is not a Postgres URL: expected")
    assert "hunter2" not in str(caught.value)


def test_a_refusal_by_the_server_says_why(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match=r'role "nobody_here" does not exist'):
        check(database.url.replace("penstock@", "nobody_here@"))
    with pytest.raises(DatabaseUnavailable, match=r'database "nowhere" does not exist'):
        upgrade(re.sub(r"/test_\d+", "/nowhere", database.url))


def test_external_urls_come_from_the_environment() -> None:
    environ = {
        "DATABASE_URL": f"postgres://owner:{SECRET}@db/penstock",
        "DATABASE_URL_DATAPLANE": f"postgres://penstock_dataplane:{SECRET}@db/penstock",
        "DATABASE_URL_DASHBOARD": "",
    }
    found = external(environ)
    assert found.url.startswith("postgresql://owner:")
    assert found.url_for("penstock_dataplane").startswith("postgresql://penstock_dataplane:")
    with pytest.raises(DatabaseUnavailable, match="DATABASE_URL_DASHBOARD is unset"):
        found.url_for("penstock_dashboard")
    assert "hunter2" not in repr(found)


def test_passwords_in_role_urls_become_the_roles_own(database: Database) -> None:
    role: Role = "penstock_dashboard"
    named = database.url_for(role).replace("@", f":{SECRET}@", 1)
    adopt_passwords(Database(database.url, {**database.urls, role: named}))
    stored = value(database.url, f"SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'")
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute(f"ALTER ROLE {role} PASSWORD NULL".encode())
    assert str(stored).startswith("SCRAM-SHA-256$")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to change accounts")
def test_as_root_postgres_runs_as_another(postgres: Database) -> None:
    data = Path(str(value(postgres.url, "SHOW data_directory")))
    assert data.owner() != "root"
    assert Cluster(data).directory == data


def test_without_useradd_root_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("controlplane.cluster.OWNER", "no-such-account")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("useradd") is None
    with pytest.raises(DatabaseUnavailable, match="run as another user, or set DATABASE_URL"):
        enter(tmp_path)
