"""The named statements."""

import pytest

from controlplane.sql import SQL, parse


def test_every_statement_has_a_body() -> None:
    assert len(SQL) > 30
    assert all(SQL.values())


def test_a_name_used_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="named one"):
        parse("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")


def test_comments_are_left_out() -> None:
    assert parse("-- name: one\n-- because\nSELECT 1\nFROM t;\n") == {"one": "SELECT 1\nFROM t"}
