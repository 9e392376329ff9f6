"""Who is asked, whether they agree, and what an answer is settled at."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit.votes import Label, Vote, disputed, doubled, heard, settle
from dataplane.contract.records import Source, new_decision_id

TOLERANCE = 0.25
GRADES = st.floats(0, 1)
PEOPLE = st.lists(
    st.dictionaries(st.sampled_from(["local", "cloud"]), GRADES), min_size=1, max_size=4
)


def person(name: str, **values: float) -> Vote:
    return Vote(name, "ground_truth", values)


def people(grades: list[dict[str, float]]) -> list[Vote]:
    return [Vote(f"person {n}", "ground_truth", said) for n, said in enumerate(grades)]


@given(st.uuids(), GRADES, GRADES)
def test_a_larger_share_doubles_all_that_a_smaller_one_does(
    decision_id: UUID, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    assert doubled(decision_id, more) or not doubled(decision_id, less)
    assert not doubled(decision_id, 0.0)
    assert doubled(decision_id, 1.0)


def test_so_many_are_doubled() -> None:
    count = sum(doubled(new_decision_id(), 0.15) for _ in range(20_000))
    assert count == pytest.approx(3_000, abs=5 * 50.5)


@pytest.mark.parametrize(
    ("votes", "torn"),
    [
        ([person("anna", local=1.0)], []),
        ([person("anna", local=1.0), person("bob", local=0.75)], []),
        ([person("anna", local=0.3), person("bob", local=0.05)], []),
        ([person("anna", local=1.0, cloud=1.0), person("bob", local=0.5, cloud=1.0)], ["local"]),
        ([person("anna", local=1.0), person("bob")], []),
        ([person("anna", local=1.0), Vote("verifier:x", "verifier", {"local": 0.0})], []),
    ],
)
def test_people_disagree_beyond_the_tolerance(votes: list[Vote], torn: list[str]) -> None:
    assert disputed(votes, TOLERANCE) == torn


def test_those_who_agree_settle_at_their_mean() -> None:
    votes = [person("anna", local=1.0, cloud=1.0), person("bob", local=0.8)]
    assert settle(votes) == [
        Label("cloud", 1.0, "ground_truth", "single"),
        Label("local", 0.9, "ground_truth", "double"),
    ]


def test_of_the_disputed_it_is_the_adjudicators_word_alone() -> None:
    votes = [person("anna", local=1.0, cloud=1.0), person("bob", local=0.0, cloud=1.0)]
    third = [*votes, person("carol", local=0.5, cloud=0.0)]
    assert settle(third, ["local"], "carol") == [
        Label("cloud", 1.0, "ground_truth", "double"),
        Label("local", 0.5, "ground_truth", "adjudicated"),
    ]
    unsure = [*votes, person("carol", cloud=0.0)]
    assert [label.key for label in settle(unsure, ["local"], "carol")] == ["cloud"]


@pytest.mark.parametrize(
    ("source", "value"), [("ground_truth", 0.0), ("verifier", 0.5), ("reference", 1.0)]
)
def test_the_best_source_that_spoke_is_never_mixed_with_a_lesser(
    source: Source, value: float
) -> None:
    votes = [
        Vote("reference:big", "reference", {"local": 1.0}),
        Vote("verifier:x", "verifier", {"local": 0.5}),
        person("anna", local=0.0),
    ]
    best = [vote.source for vote in votes].index(source)
    assert settle(votes[: best + 1]) == [Label("local", value, source, "single")]


def test_a_reference_is_heard_on_request_only() -> None:
    proxy = Vote("reference:big", "reference", {"local": 1.0})
    assert heard([proxy]) == []
    assert heard([proxy], ("ground_truth", "reference")) == [proxy]


@given(PEOPLE)
def test_without_a_dispute_a_label_is_within_the_votes_and_near_each(
    grades: list[dict[str, float]],
) -> None:
    votes = people(grades)
    torn = disputed(votes, TOLERANCE)
    for label in settle(votes, torn, None):
        said = [vote.values[label.key] for vote in votes if label.key in vote.values]
        assert label.key not in torn
        assert min(said) - 1e-12 <= label.value <= max(said) + 1e-12
        assert max(abs(value - label.value) for value in said) <= TOLERANCE + 1e-6


@given(PEOPLE)
def test_the_order_of_the_votes_does_not_matter(grades: list[dict[str, float]]) -> None:
    votes = people(grades)
    turned = votes[::-1]
    assert disputed(votes, TOLERANCE) == disputed(turned, TOLERANCE)
    assert settle(votes) == settle(turned)
