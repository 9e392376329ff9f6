import json
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from dataplane.sandbox.verifier import KEY_VARIABLE, Habits, Verifier, main, run

PROMPT = [{"role": "user", "content": "What is 2 + 2?"}]


@dataclass
class ScriptedControl:
    """A labels API with tasks to lease; keeps the verdicts that come in."""

    waiting: list[dict[str, Any]]
    observed: int = 0
    status: int = 200
    late: int = 0  # requests until the waiting tasks can be shown
    told: list[dict[str, Any]] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path == "/v1/labels/lease":
            count = 0 if self.late > 0 else body["limit"]
            self.late -= 1
            leased, self.waiting = self.waiting[:count], self.waiting[count:]
            found = {"tasks": leased, "observed": self.observed, "waiting": len(self.waiting)}
            return httpx.Response(200, json=found)
        if request.url.path == "/v1/labels/return":
            self.returned.append(body["decision_id"])
            return httpx.Response(200, json={})
        if self.status == 200:
            self.told.append(body)
        return httpx.Response(self.status, json={"status": "labelled"})

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self), base_url="http://control")


def task(number: int, *answers: str, at: str = "2026-01-01") -> dict[str, Any]:
    shown = [{"key": key, "text": text} for key, text in zip("ab", answers, strict=False)]
    return {"decision_id": f"d{number}", "at": at, "prompt": PROMPT, "answers": shown}


def test_verdicts_follow_the_right_answer_under_blind_keys() -> None:
    control = ScriptedControl([task(1, "4", "5")])
    Verifier(control.client(), Habits(least=0, most=0, unsure=0, never=0), "verifier:me").turn()
    assert control.told == [
        {
            "decision_id": "d1",
            "at": "2026-01-01",
            "labeller": "verifier:me",
            "verdicts": [{"key": "a", "value": 1.0}, {"key": "b", "value": 0.0}],
        }
    ]


def test_a_verdict_waits_for_as_many_queries_as_its_delay() -> None:
    control = ScriptedControl([task(1, "4")], observed=100)
    verifier = Verifier(control.client(), Habits(least=50, most=50, unsure=0, never=0))
    verifier.turn()
    control.observed = 149
    verifier.turn()
    assert (control.told, verifier.held) == ([], 1)
    control.observed = 150
    verifier.turn()
    assert (len(control.told), verifier.held) == (1, 0)


def test_habits_are_seeded_and_kept() -> None:
    habits = Habits(seed=3)
    of = [habits.of(f"d{number}") for number in range(20_000)]
    assert of[:50] == [habits.of(f"d{number}") for number in range(50)]
    assert {delay for delay, _ in of} == set(range(50, 501))
    fates = [fate for _, fate in of]
    assert fates.count("unsure") / len(fates) == pytest.approx(0.08, abs=0.01)
    assert fates.count("never") / len(fates) == pytest.approx(0.02, abs=0.005)


def test_unsure_is_null_for_every_answer() -> None:
    control = ScriptedControl([task(1, "4", "5")])
    Verifier(control.client(), Habits(least=0, most=0, unsure=1, never=0)).turn()
    assert [verdict["value"] for verdict in control.told[0]["verdicts"]] == [None, None]


def test_a_flush_hands_in_all_and_leases_on_until_nothing_is_left() -> None:
    control = ScriptedControl([task(number, "4") for number in range(180)])
    verifier = Verifier(control.client(), Habits())
    verifier.turn()
    assert control.told == []
    verifier.flush()
    assert {told["decision_id"] for told in control.told} == {f"d{n}" for n in range(180)}
    assert (verifier.held, verifier.handed_in) == (0, 180)


def test_a_flush_leaves_the_newest_to_people() -> None:
    tasks = [task(n, "4", at=f"2026-01-01T{(7 * n) % 100:02}") for n in range(100)]
    control = ScriptedControl(tasks)
    Verifier(control.client(), Habits(), leave=3).flush()
    newest = sorted(tasks, key=lambda each: str(each["at"]))[-3:]
    assert set(control.returned) == {each["decision_id"] for each in newest}
    told = {each["decision_id"] for each in control.told}
    assert told == {each["decision_id"] for each in tasks} - set(control.returned)


def test_few_tasks_are_all_left() -> None:
    control = ScriptedControl([task(1, "4")])
    Verifier(control.client(), Habits(), leave=3).flush()
    assert (control.returned, control.told) == (["d1"], [])


def test_a_flush_waits_for_tasks_whose_words_are_on_their_way() -> None:
    control = ScriptedControl([task(1, "4")], late=3)
    Verifier(control.client(), Habits()).flush()
    assert len(control.told) == 1


def test_a_flush_gives_up_on_a_task_that_cannot_be_shown() -> None:
    control = ScriptedControl([task(1, "4")], late=10**6)
    Verifier(control.client(), Habits()).flush(patience_s=0.2)
    assert (control.told, len(control.waiting)) == ([], 1)


def test_one_that_would_never_come_is_unsure_at_the_flush() -> None:
    control = ScriptedControl([task(1, "4")])
    verifier = Verifier(control.client(), Habits(never=1, unsure=0))
    verifier.turn()
    control.observed = 10**9
    verifier.turn()
    assert control.told == []
    verifier.flush()
    assert control.told[0]["verdicts"] == [{"key": "a", "value": None}]


def test_a_refused_verdict_is_dropped_and_counted() -> None:
    control = ScriptedControl([task(1, "4")], status=410)
    verifier = Verifier(control.client(), Habits(least=0, most=0))
    verifier.turn()
    assert (verifier.held, verifier.refused) == (0, 1)


def test_a_verdict_is_kept_while_the_control_plane_fails() -> None:
    control = ScriptedControl([task(1, "4")], status=500)
    verifier = Verifier(control.client(), Habits(least=0, most=0))
    with pytest.raises(httpx.HTTPStatusError):
        verifier.turn()
    control.status = 200
    verifier.turn()
    assert (len(control.told), verifier.held) == (1, 0)


def test_told_to_end_it_flushes_and_returns() -> None:
    control = ScriptedControl([task(1, "4")])
    told = threading.Event()
    told.set()
    run(Verifier(control.client(), Habits()), told)
    assert len(control.told) == 1


def test_without_a_key_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["--control", "http://127.0.0.1:1"]) == 2
    assert KEY_VARIABLE in capsys.readouterr().err


def test_more_hands_hand_in_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    control = ScriptedControl([task(number, "4") for number in range(3)])

    def meet(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/labels":
            together.wait()
        return control(request)

    client = httpx.Client(transport=httpx.MockTransport(meet), base_url="http://control")
    verifier = Verifier(client, Habits(least=0, most=0, unsure=0, never=0), hands=3)
    verifier.turn()
    assert (verifier.handed_in, verifier.held) == (3, 0)
