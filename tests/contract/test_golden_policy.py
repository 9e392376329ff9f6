"""A policy as another version wrote it: what lies in Postgres or on a plane's disk stays valid."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Mode

GOLDEN = Path(__file__).with_name("golden") / "policy.json"
CERTIFIED = GOLDEN.with_name("certified_policy.json")
CERTIFIED_DIGEST = "af5c397453c002b87545ac5cb569be664eb9d9a9339293b1b623eefbc44f9ce8"
DIGEST = "b5c45f80602475561ce493338e415de7ab3683fc114a0d26a63cbbcc869b38cb"


@pytest.fixture(scope="module")
def text() -> str:
    return GOLDEN.read_text("utf-8")


def parts(model: BaseModel) -> Iterator[BaseModel]:
    """The document and all that is in it."""
    yield model
    for _, value in model:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from parts(part)


@pytest.mark.parametrize("file", [GOLDEN, CERTIFIED])
def test_it_is_read_and_written_the_same(file: Path) -> None:
    text = file.read_text("utf-8")
    document = PolicyDocument.from_json(text)
    assert json.loads(document.to_json()) == json.loads(text)
    assert PolicyDocument.from_json(document.to_json()) == document


@pytest.mark.parametrize(("file", "digest"), [(GOLDEN, DIGEST), (CERTIFIED, CERTIFIED_DIGEST)])
def test_its_digest_is_what_it_was(file: Path, digest: str) -> None:
    assert PolicyDocument.from_json(file.read_text("utf-8")).digest() == digest


def test_every_field_of_every_part_is_shown_in_one_or_the_other() -> None:
    shown: dict[type[BaseModel], set[str]] = {}
    for file in (GOLDEN, CERTIFIED):
        for part in parts(PolicyDocument.from_json(file.read_text("utf-8"))):
            shown.setdefault(type(part), set()).update(part.model_fields_set)
    for kind, fields in shown.items():
        assert fields == set(kind.model_fields), kind.__name__


def test_a_field_of_a_later_version_is_refused_by_name(text: str) -> None:
    later: dict[str, Any] = json.loads(text)
    later["segments"][0]["temperament"] = "calm"
    with pytest.raises(ValueError, match=r"segments\.0\.temperament"):
        PolicyDocument.from_json(json.dumps(later))


def test_the_modes_are_what_they_were() -> None:
    assert get_args(Mode) == ("route", "cascade", "cascade_route", "always_cloud", "always_local")


@pytest.mark.parametrize("named", ["routing_threshold", "judge_cutoff"])
def test_a_number_that_disagrees_with_lambda_is_refused(text: str, named: str) -> None:
    edited: dict[str, Any] = json.loads(text)
    edited["segments"][0][named] += 0.01
    with pytest.raises(ValueError, match=f"segment default: {named} is .*lambda_ 0.2 give"):
        PolicyDocument.from_json(json.dumps(edited))
