"""The SIMULATED labeller: ``python -m dataplane.sandbox.verifier --control URL``.

It knows of a query only what the control plane's labels API hands out: drawn answers, blind. Its
verdicts come late, and some never do. On SIGTERM it hands in what it holds, goes on without
delay until no task is left but those that people are to label, and ends. Its API key is in
``PENSTOCK_LABEL_KEY``.
"""

import argparse
import heapq
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import httpx

from dataplane.sandbox import lifeline
from dataplane.sandbox.tasks import is_correct

KEY_VARIABLE = "PENSTOCK_LABEL_KEY"
NAME = "verifier:SIMULATED"
POLL_S = 0.25
FLUSH_POLL_S = 0.05
AT_ONCE = 50  # leased in one request
PATIENCE_S = 60.0  # with a control plane that does not answer
TIMEOUT_S = 10.0

Fate: TypeAlias = Literal["judged", "unsure", "never"]


@dataclass(frozen=True, slots=True)
class Habits:
    """Delays in observed queries; shares of the leased tasks."""

    seed: int = 0
    least: int = 50
    most: int = 500
    unsure: float = 0.08
    never: float = 0.02

    def of(self, decision_id: str) -> tuple[int, Fate]:
        """How late this decision's verdict comes, and whether there will be one."""
        rng = random.Random(f"{self.seed}:{decision_id}")  # noqa: S311 - reproducible, no secret
        u, delay = rng.random(), rng.randint(self.least, self.most)
        if u < self.unsure:
            return delay, "unsure"
        return delay, "never" if u < self.unsure + self.never else "judged"


@dataclass(order=True, slots=True)
class Held:
    """A judged task, and the count of observed queries at which its verdict is handed in."""

    due: float
    verdict: dict[str, Any] = field(compare=False)


class Verifier:
    """Leases, judges, and hands in late, ``hands`` verdicts at once.

    ``client`` has the control plane's address and the key; the newest ``leave`` tasks of all are
    given back unjudged in the end.
    """

    def __init__(
        self, client: httpx.Client, habits: Habits, name: str = NAME, hands: int = 1, leave: int = 0
    ) -> None:
        self._client = client
        self._hands = ThreadPoolExecutor(hands)
        self._habits = habits
        self._leave = leave
        self._name = name
        self._held: list[Held] = []
        self._observed = 0
        self._waiting = 0
        self.handed_in = 0
        self.refused = 0

    @property
    def held(self) -> int:
        """Tasks judged, but not handed in."""
        return len(self._held)

    def turn(self) -> int:
        """Lease what there is, hand in what is due; returns how many were leased.

        Raises ``httpx.HTTPError`` where the control plane does not answer; nothing is lost then.
        """
        leased = self._lease()
        due = [held for held in self._held if held.due <= self._observed]
        taken = list(self._hands.map(self._hand_in, (held.verdict for held in sorted(due))))
        self._held = [held for held in self._held if held.due > self._observed]
        heapq.heapify(self._held)
        self.handed_in += sum(taken)
        self.refused += len(taken) - sum(taken)  # leased anew, expired: another's concern now
        return leased

    def flush(self, patience_s: float = PATIENCE_S) -> None:
        """Hand in everything but the ``leave`` newest, leasing on until no task is left, or none
        could be for so long.

        A task waits until its words, and those of its shadow, have reached the control plane.
        """
        self._observed = sys.maxsize
        given_up_s = time.monotonic() + patience_s
        while time.monotonic() < given_up_s:
            ripe = self._ripen()
            if self.turn():
                given_up_s = time.monotonic() + patience_s
            elif not ripe and not self._waiting:
                break
            elif not ripe:
                time.sleep(FLUSH_POLL_S)
        self._give_back()

    def _ripen(self) -> int:
        """Let all be due but the newest that are to be left; how many are."""
        by_age = sorted(self._held, key=lambda held: str(held.verdict["at"]))
        ripe = max(len(by_age) - self._leave, 0)
        for place, held in enumerate(by_age):
            held.due = 0 if place < ripe else float("inf")
        return ripe

    def _give_back(self) -> None:
        for held in self._held:
            which = {name: held.verdict[name] for name in ("decision_id", "at", "labeller")}
            self._client.post("/v1/labels/return", json=which).raise_for_status()
        self._held = []

    def _lease(self) -> int:
        asked = {"limit": AT_ONCE, "labeller": self._name}
        response = self._client.post("/v1/labels/lease", json=asked)
        response.raise_for_status()
        leased = response.json()
        self._observed = max(self._observed, int(leased["observed"]))
        self._waiting = int(leased["waiting"])
        for task in leased["tasks"]:
            self._hold(task)
        return len(leased["tasks"])

    def _hold(self, task: dict[str, Any]) -> None:
        delay, fate = self._habits.of(task["decision_id"])
        due = float("inf") if fate == "never" else float(self._observed + delay)
        heapq.heappush(self._held, Held(due, self._verdict(task, sure=fate == "judged")))

    def _verdict(self, task: dict[str, Any], *, sure: bool) -> dict[str, Any]:
        question = str(task["prompt"][-1]["content"])
        verdicts = [
            {"key": answer["key"], "value": float(is_correct(question, answer["text"]))}
            if sure
            else {"key": answer["key"], "value": None}
            for answer in task["answers"]
        ]
        return {
            "decision_id": task["decision_id"],
            "at": task["at"],
            "labeller": self._name,
            "verdicts": verdicts,
        }

    def _hand_in(self, verdict: dict[str, Any]) -> bool:
        response = self._client.post("/v1/labels", json=verdict)
        if response.is_server_error:
            response.raise_for_status()
        return response.is_success


def run(verifier: Verifier, told: threading.Event) -> None:
    """Turn after turn until told to end, then flush."""
    answered_at = time.monotonic()
    while True:
        try:
            if told.is_set():
                verifier.flush()
                return
            verifier.turn()
            answered_at = time.monotonic()
        except httpx.HTTPError:
            if time.monotonic() - answered_at > PATIENCE_S:
                raise
        told.wait(POLL_S) if not told.is_set() else time.sleep(POLL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Label until told to end; returns the exit code."""
    usual = Habits()
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.sandbox.verifier", description=__doc__
    )
    parser.add_argument("--control", required=True, help="the control plane's URL")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--least", type=int, default=usual.least, help="delay in queries")
    parser.add_argument("--most", type=int, default=usual.most, help="delay in queries")
    parser.add_argument("--unsure", type=float, default=usual.unsure, help="share of the tasks")
    parser.add_argument("--never", type=float, default=usual.never, help="share of the tasks")
    parser.add_argument("--hands", type=int, default=1, help="verdicts handed in at once")
    parser.add_argument("--leave", type=int, default=0, help="the newest tasks, for people")
    lifeline.add_option(parser)
    chosen = vars(parser.parse_args(arguments))
    control, hands, leave, watched, key = (
        chosen.pop("control"),
        chosen.pop("hands"),
        chosen.pop("leave"),
        chosen.pop("watch_stdin"),
        os.environ.get(KEY_VARIABLE),
    )
    if not key:
        sys.stderr.write(f"SIMULATED verifier: set {KEY_VARIABLE} to a key of scope `label`\n")
        return 2
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    if watched:
        lifeline.end_with_stdin()
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=control, headers=headers, timeout=TIMEOUT_S, trust_env=False
    ) as client:
        verifier = Verifier(client, Habits(**chosen), hands=hands, leave=leave)
        try:
            run(verifier, told)
        except httpx.HTTPError as error:
            reason = str(error).partition("\n")[0]
            sys.stderr.write(f"SIMULATED verifier: {control} does not answer ({reason})\n")
            return 1
    sys.stderr.write(
        f"SIMULATED verifier: {verifier.handed_in} verdicts handed in, {verifier.refused} refused\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
