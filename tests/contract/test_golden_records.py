"""Records as other versions wrote them: what lies in a spool or in Postgres stays readable."""

import json
from typing import Any

import pytest

from dataplane.contract.records import KINDS


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
