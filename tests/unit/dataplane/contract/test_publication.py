from collections import Counter
from typing import Any

import pytest

from dataplane.contract.publication import InForce, Part, Rival, parts
from tests.policies import policy


def in_force(*shares: float) -> InForce:
    documents = tuple(policy(version=index + 1) for index in range(len(shares)))
    return InForce(7, documents, shares)


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        (None, "valid tuple"),
        ([], "at least 1 item"),
        ([{"version": 1}] * 9, "at most 8 items"),
        ([{"version": 0}], "0.version"),
        ([{"version": 1 << 31}], "0.version"),
        ([{"version": 1, "share": float("nan")}], "0.share"),
        ([{"version": 1, "share": 0.4}], "must sum to 1"),
        ([{"version": 1, "share": 0.5}, {"version": 1, "share": 0.5}], "named twice"),
        ([{"version": 1, "shares": 1}], "Extra inputs"),
        ([{"version": 1}, {"version": 2, "share": 0}], "2 has neither a share nor a draw"),
        ([{"version": 1}, {"version": 2, "share": 0, "draw": 1.1}], "1.draw"),
    ],
)
def test_what_is_no_whole_is_refused(stated: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parts(stated)
    assert "\n" not in str(refused.value)


def test_shares_that_make_a_whole_are_parts() -> None:
    stated = [{"version": 3, "share": 0.95}, {"version": 4, "share": 0.05}]
    assert parts(stated) == (Part(version=3, share=0.95), Part(version=4, share=0.05))
    assert parts([{"version": 1}]) == (Part(version=1, share=1.0),)


def test_what_has_no_share_decides_nothing_and_is_compared_with_what_does() -> None:
    first, second = policy(version=1), policy(version=2)
    found = InForce(7, (first, second), (1.0, 0.0), (0.0, 0.3))
    assert {found.document_for(f"c{n}").version for n in range(200)} == {1}
    assert found.rivals_of(first) == (Rival(second, 0.3),)
    assert found.rivals_of(second) == ()
    assert in_force(0.5, 0.5).rivals_of(first) == ()


def test_a_part_without_draws_is_written_as_a_release_that_knew_none_reads_it() -> None:
    assert Part(version=3).model_dump() == {"version": 3, "share": 1.0}
    assert Part(version=3, share=0, draw=0.3).model_dump() == {
        "version": 3, "share": 0, "draw": 0.3
    }  # fmt: skip


def test_a_conversation_keeps_its_document() -> None:
    split = in_force(0.5, 0.5)
    first = [split.document_for(f"c{n}").version for n in range(50)]
    assert first == [split.document_for(f"c{n}").version for n in range(50)]
    assert set(first) == {1, 2}


def test_conversations_divide_as_the_shares_say() -> None:
    split = in_force(0.7, 0.05, 0.25)
    counted = Counter(split.document_for(f"conversation {n}").version for n in range(20_000))
    for version, share in zip(split.versions, split.shares, strict=True):
        assert counted[version] / 20_000 == pytest.approx(share, abs=0.015)


def test_without_a_conversation_the_leading_document_decides() -> None:
    assert in_force(0.2, 0.8).document_for(None).version == 2
    assert in_force(1.0).document_for("anyone").version == 1
