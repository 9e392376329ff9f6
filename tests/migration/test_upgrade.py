import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import migrations
from controlplane.database import Database, DatabaseUnavailable, upgrade

ROOT = Path(str(migrations.__file__)).parents[1]
REVISIONS = [
    "0001", "0002", "0003", "0004", "0006", "0007", "0008", "0009",
    "0010", "0011", "0012", "0013", "0014", "0015", "0016", "0017", "0018", "0019",
    "0020",
]  # fmt: skip

DIE_WITH_THE_FIRST_REVISION_DONE = """
import os, signal, sys
from controlplane.database import upgrade
upgrade(sys.argv[1], lambda revision: os.kill(os.getpid(), signal.SIGKILL))
"""

SAY_WHAT_IS_APPLIED = """
import sys
from controlplane.database import upgrade
upgrade(sys.argv[1], print)
"""


def tables(database: Database) -> set[str]:
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in rows}


def test_upgrading_twice_changes_nothing(empty_database: Database) -> None:
    applied: list[str] = []
    upgrade(empty_database.url, applied.append)
    assert [line.partition(":")[0] for line in applied] == REVISIONS
    before = tables(empty_database)
    upgrade(empty_database.url, applied.append)
    assert len(applied) == len(REVISIONS)
    assert tables(empty_database) == before


def test_killed_half_way_it_leaves_nothing_and_resumes(empty_database: Database) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", DIE_WITH_THE_FIRST_REVISION_DONE, empty_database.url],
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert tables(empty_database) == set()
    upgrade(empty_database.url)
    assert "decisions" in tables(empty_database)


def test_two_at_once_take_turns(empty_database: Database) -> None:
    command = [sys.executable, "-c", SAY_WHAT_IS_APPLIED, empty_database.url]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    revisions = [[line.partition(":")[0] for line in words.splitlines()] for words in said]
    assert sorted(revisions) == [[], REVISIONS]


@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_alembics_own_command(empty_database: Database, named_by: str) -> None:
    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini")]
    environ = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    if named_by == "argument":
        command += ["-x", f"url={empty_database.url}"]
    else:
        environ["DATABASE_URL"] = empty_database.url
    subprocess.run([*command, "upgrade", "head"], cwd=ROOT, env=environ, check=True)
    assert "decisions" in tables(empty_database)


def test_the_wrong_owner_is_told_so_and_nothing_is_changed(
    postgres: Database, empty_database: Database
) -> None:
    with psycopg.connect(empty_database.url, autocommit=True) as owner:
        owner.execute("CREATE ROLE stranger LOGIN")
        try:
            with pytest.raises(
                DatabaseUnavailable, match=r"permission denied.*nothing was changed"
            ):
                upgrade(empty_database.url.replace("penstock@", "stranger@"))
        finally:
            owner.execute("DROP ROLE stranger")
    assert tables(empty_database) == set()


def test_the_views_that_one_replaced_come_back(empty_database: Database) -> None:
    def views() -> dict[str, str]:
        with psycopg.connect(empty_database.url) as owner:
            rows = owner.execute(
                "SELECT relname, pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v'"
                " AND has_table_privilege('penstock_dashboard', oid, 'SELECT')"
            )
            return dict(rows.fetchall())

    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini")]
    command += ["-x", f"url={empty_database.url}"]
    subprocess.run([*command, "upgrade", "0013"], cwd=ROOT, check=True)
    before = views()
    subprocess.run([*command, "upgrade", "0014"], cwd=ROOT, check=True)
    after = views()
    assert before.keys() - after.keys() == {"v_policy_answers", "v_last_answers"}
    assert after.keys() - before.keys() == {"v_fleet"}
    subprocess.run([*command, "downgrade", "0013"], cwd=ROOT, check=True)
    assert views() == before
