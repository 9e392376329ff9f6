"""What was labelled before votes and labels were apart is carried over as it was learned."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import psycopg

from controlplane.database import Database, upgrade
from tests.migration.test_upgrade import ROOT
from tests.traffic import label, query

MOMENT = datetime(2026, 3, 2, tzinfo=UTC)
TASK = """
INSERT INTO label_tasks (at, decision_id, probability, answers, waits_for_shadow, status,
    leased_by, resolved_at) VALUES (%s, %s, 0.1, '["local"]', false, %s, %s, %s)
"""
OUTCOME = """
INSERT INTO outcomes (at, id, decision_id, key, source, value, labeller, observed_at, plane,
    spool_segment, "offset") VALUES (%s, %s, %s, 'local', %s, %s, %s, now(), 'controlplane', 0, 0)
"""


def upgrade_to(database: Database, revision: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini")]
    command += ["-x", f"url={database.url}", "upgrade", revision]
    subprocess.run(command, cwd=ROOT, env=environ, check=True)


def test_labels_are_carried_over_as_they_were_learned(empty_database: Database) -> None:
    upgrade_to(empty_database, "0003")
    one, two, three, four = (query(number) for number in range(4))
    said = [
        (one, "anna", "ground_truth", 1.0), (two, "verifier:x", "verifier", 0.0),
        (one, "key9", "feedback", 0.0), (four, "bob", "ground_truth", 1.0),
    ]  # fmt: skip
    with psycopg.connect(empty_database.url) as owner:
        for task, status, holder in (
            (one, "labelled", "key1/anna"), (two, "labelled", "key1/verifier:x"),
            (three, "unsure", "key1/anna"), (four, "pending", None),
        ):  # fmt: skip
            resolved = MOMENT if holder else None
            owner.execute(TASK, (task.at, task.decision_id, status, holder, resolved))
        for task, labeller, source, value in said:
            id_ = label(task, source, value, labeller).id
            row = (task.at, id_, task.decision_id, source, value, labeller)
            owner.execute(OUTCOME, row)
    upgrade(empty_database.url)
    with psycopg.connect(empty_database.url) as owner:
        labels = owner.execute(
            "SELECT decision_id, key, value, source, basis, settled_at FROM labels ORDER BY at"
        ).fetchall()
        votes = owner.execute(
            "SELECT decision_id, labeller, holder, source FROM label_votes ORDER BY at"
        ).fetchall()
        tasks = owner.execute("SELECT DISTINCT doubled, disputed FROM label_tasks").fetchall()
    assert labels == [
        (one.decision_id, "local", 1.0, "ground_truth", "single", MOMENT),
        (two.decision_id, "local", 0.0, "verifier", "single", MOMENT),
    ]
    assert votes == [
        (one.decision_id, "anna", "key1/anna", "ground_truth"),
        (two.decision_id, "verifier:x", "key1/verifier:x", "verifier"),
        (three.decision_id, "anna", "key1/anna", "ground_truth"),
    ]
    assert tasks == [(False, [])]
