import hashlib

import pytest

from dataplane.contract.keys import digest, generate, parse


def test_a_key_reads_as_it_is_written() -> None:
    key = generate()
    assert parse(key.reveal()) == key
    assert len(key.secret) * 6 >= 256


def test_no_two_keys_are_alike() -> None:
    keys = [generate() for _ in range(100)]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 100


def test_a_key_is_not_shown_by_accident() -> None:
    key = generate()
    assert key.secret not in f"{key!r} {key}"


def test_the_digest_is_that_of_the_secret() -> None:
    assert digest("s") == hashlib.sha256(b"s").digest()


@pytest.mark.parametrize(
    "text",
    ["", "pk_", "sk-abc", "pk_0123456789abcdef_short", "pk_0123456789ABCDEF_" + "a" * 43,
     "pk_0123456789abcdef_" + "a" * 43 + "\n", " pk_0123456789abcdef_" + "a" * 43],
)  # fmt: skip
def test_what_is_no_key_is_none(text: str) -> None:
    assert parse(text) is None
