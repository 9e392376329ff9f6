"""The demo's clients: ``python -m dataplane.sandbox.workload --gateway URL --queries N``.

Sends queries to the gateway and scores every served answer by a key that only this process has.
Standard output gets one JSON line a query, and nothing else; whoever reads it is no part of
either plane. The API key is in ``PENSTOCK_API_KEY``.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import orjson
import uvloop

from dataplane.sandbox import lifeline
from dataplane.sandbox.tasks import Query, is_correct
from dataplane.sandbox.traffic import EASY, HARD, traffic

KEY_VARIABLE = "PENSTOCK_API_KEY"
PATH = "/v1/chat/completions"
MAX_TOKENS = 48  # the longest right answer has 23 characters
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How to send: at most so many at once, and so many a second (0: as fast as it goes)."""

    concurrency: int = 16
    rate_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """What came of the query at one place of the traffic; ``right`` is 0 where none answered."""

    place: int
    at: float
    decision_id: str | None
    policy_version: int | None
    tier: str | None
    cost_usd: float
    right: int
    latency_ms: float
    error: str | None


class Workload:
    """Sends queries in order and tells ``write`` of each as it ends."""

    def __init__(
        self, session: aiohttp.ClientSession, terms: Terms, write: Callable[[Line], None]
    ) -> None:
        self._session = session
        self._terms = terms
        self._write = write

    async def run(self, queries: Sequence[Query]) -> None:
        """All of them; one that fails is told of like any other, and not tried again."""
        free = asyncio.Semaphore(self._terms.concurrency)
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for place, query in enumerate(queries):
                await self._pace(started, place)
                await free.acquire()
                asked = group.create_task(self._ask(place, query))
                asked.add_done_callback(lambda _: free.release())

    async def _pace(self, started: float, place: int) -> None:
        if self._terms.rate_per_s:
            due = started + place / self._terms.rate_per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self, place: int, query: Query) -> None:
        at, started = time.time(), time.monotonic()
        headers: Mapping[str, str] = {}
        answer, error = "", None
        try:
            async with self._session.post(PATH, data=_body(query)) as response:
                headers, reply = response.headers, orjson.loads(await response.read())
            if response.ok:
                answer = reply["choices"][0]["message"]["content"] or ""
            else:
                error = f"{response.status} {reply['error']['message']}"
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as failure:
            error = type(failure).__name__
        self._write(
            Line(
                place=place,
                at=at,
                decision_id=headers.get("x-penstock-decision-id"),
                policy_version=int(headers.get("x-penstock-policy", 0)) or None,
                tier=headers.get("x-penstock-tier"),
                cost_usd=float(headers.get("x-penstock-cost-usd", 0)),
                right=int(error is None and is_correct(query.text, answer)),
                latency_ms=(time.monotonic() - started) * 1e3,
                error=error,
            )
        )


def _body(query: Query) -> bytes:
    return orjson.dumps(
        {
            "model": "penstock",
            "messages": [{"role": "user", "content": query.text}],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
    )


async def send(gateway: str, key: str, queries: Sequence[Query], terms: Terms) -> None:
    """Send to a gateway and write the lines to standard output."""

    def write(line: Line) -> None:
        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()

    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(gateway, headers=headers, timeout=timeout) as session:
        await Workload(session, terms, write).run(queries)


def main(arguments: Sequence[str] | None = None) -> int:
    """Send it all; returns the exit code."""
    usual = Terms()
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.sandbox.workload", description=__doc__
    )
    parser.add_argument("--gateway", required=True, help="the data plane's URL")
    parser.add_argument("--queries", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--after", choices=(EASY, HARD), default=HARD, help="mix from half way on")
    parser.add_argument("--concurrency", type=int, default=usual.concurrency)
    parser.add_argument("--rate-per-s", type=float, default=usual.rate_per_s, help="0: no limit")
    lifeline.add_option(parser)
    chosen = parser.parse_args(arguments)
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        sys.stderr.write(f"SIMULATED workload: set {KEY_VARIABLE} to a key of scope `inference`\n")
        return 2
    if chosen.watch_stdin:
        lifeline.end_with_stdin()
    terms = Terms(chosen.concurrency, chosen.rate_per_s)
    queries = traffic(chosen.seed, chosen.queries, chosen.after)
    uvloop.run(send(chosen.gateway, key, queries, terms))
    return 0


if __name__ == "__main__":
    sys.exit(main())
