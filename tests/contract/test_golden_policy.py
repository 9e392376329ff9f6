"""A policy as another version wrote it: what lies in Postgres or on a plane's disk stays valid."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Mode

GOLDEN = Path(__file__).with_name("golden")
DIGESTS = {  # of a first document, and of such with what was added since
    "policy": "b5c45f80602475561ce493338e415de7ab3683fc114a0d26a63cbbcc869b38cb",
    "policy_costs": "7009d9ccc11d0eca6152273a18b9624d3d6eabc157f22352a12ff44277600b4c",
    "policy_audit": "8e28cc3a85680fd7db109fb5e83a3cd849a5c1177a7fa9dbe2551f0fa408eb70",
    "policy_certified": "af5c397453c002b87545ac5cb569be664eb9d9a9339293b1b623eefbc44f9ce8",
    "policy_certified_ends": "feb827e4b2b2d745960c1e11019f1f500e1e4befb1060ac3a0fe97b4c6903bbf",
    "policy_trial": "8420f5210921273b43710445fba7a41d303ba75d94ad9dc8ed6ba75ed3aa0005",
}


@pytest.fixture(scope="module")
def text() -> str:
    return written("policy")


def written(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text("utf-8")


def parts(model: BaseModel) -> Iterator[BaseModel]:
    """The document and all that is in it."""
    yield model
    for _, value in model:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from parts(part)


@pytest.mark.parametrize("name", DIGESTS)
def test_it_is_read_and_written_the_same(name: str) -> None:
    text = written(name)
    document = PolicyDocument.from_json(text)
    assert json.loads(document.to_json()) == json.loads(text)
    assert PolicyDocument.from_json(document.to_json()) == document


@pytest.mark.parametrize(("name", "digest"), DIGESTS.items())
def test_its_digest_is_what_it_was(name: str, digest: str) -> None:
    assert PolicyDocument.from_json(written(name)).digest() == digest


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("uniform", 0.95, "segment default: uniform and slope are more than 1 together"),
        ("uniform", 0.065, "segment default: uniform is more than the budget's most"),
        ("uniform", 0.0, "audit.segments.0.uniform"),
        ("segment", "elsewhere", "audit: there is no segment elsewhere"),
    ],
)
def test_draws_that_cannot_be_are_refused(field: str, value: object, reason: str) -> None:
    edited: dict[str, Any] = json.loads(written("policy_audit"))
    edited["audit"]["segments"][0][field] = value
    with pytest.raises(ValueError, match=reason):
        PolicyDocument.from_json(json.dumps(edited))


def test_every_field_of_every_part_is_shown_in_one_of_them() -> None:
    shown: dict[type[BaseModel], set[str]] = {}
    for name in DIGESTS:
        for part in parts(PolicyDocument.from_json(written(name))):
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
