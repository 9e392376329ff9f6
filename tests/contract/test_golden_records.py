"""Records as other versions wrote them: what lies in a spool or in Postgres stays readable."""

import json
from typing import Any

import pytest

from dataplane.contract.records import KINDS, Draw


@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_and_writes_the_same(golden_records: dict[str, Any], kind: str) -> None:
    golden = golden_records[kind]
    record = KINDS[kind].model_validate_json(json.dumps(golden))
    assert json.loads(record.model_dump_json()) == golden


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_shown(golden_records: dict[str, Any], kind: str) -> None:
    assert set(golden_records[kind]) == set(KINDS[kind].model_fields)


def test_every_kind_is_shown(golden_records: dict[str, Any]) -> None:
    assert set(golden_records) == set(KINDS)


def test_a_draw_of_a_version_that_knew_no_rivals_has_none(golden_records: dict[str, Any]) -> None:
    older = {name: value for name, value in golden_records["draws"].items() if name != "rival"}
    assert Draw.model_validate_json(json.dumps(older)).rival is None
