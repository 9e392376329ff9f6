"""An answer that says nothing is shown to the judge, where a judge can be shown an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dataplane import judges
from tests.fronts import Front
from tests.policies import JUDGE, policy
from tests.traffic import decision_id, query

CALL = {
    "decision_id": str(decision_id(1)),
    "at": query(1).at.isoformat(),
    "messages": [{"role": "user", "content": "3 + 4 ="}],
    "answer": "Thought process:",
}


def credulous(_messages: Sequence[Mapping[str, Any]], answer: str) -> float:
    """A judge that is had by big words."""
    return 0.0 if "Thought" in answer else -4.0


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Front:
    monkeypatch.setitem(judges.READERS, "credulous", credulous)
    return Front(policy("cascade", judge=JUDGE.replaced(judge="credulous")))


def test_the_judge_of_log_probabilities_cannot_be_shown_one() -> None:
    said = Front(policy("cascade")).ask("POST", "/v1/canary", json=CALL, key="admin").json()
    assert said["status"] == "not_applicable"
    assert "log-probabilities of its tier's own tokens" in said["reason"]


@pytest.mark.parametrize(("answer", "accepted"), [("Thought process:", True), (":", False)])
def test_a_judge_that_reads_words_is_shown_to_accept_it(
    reader: Front, answer: str, accepted: bool
) -> None:
    response = reader.ask("POST", "/v1/canary", json=CALL | {"answer": answer}, key="admin")
    said = response.json()
    assert (said["judge"], said["status"], said["accepted"]) == ("credulous", "judged", accepted)


def test_nothing_is_recorded_of_it(reader: Front) -> None:
    reader.ask("POST", "/v1/canary", json=CALL, key="admin")
    assert reader.kept.frames == []


def test_another_time_than_the_decisions_is_refused(reader: Front) -> None:
    wrong = CALL | {"at": "2026-01-01T00:00:00+00:00"}
    assert reader.ask("POST", "/v1/canary", json=wrong, key="admin").status_code == 400
