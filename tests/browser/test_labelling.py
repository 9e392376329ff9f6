"""Twenty answers by keyboard: each recorded once, and nothing on the wire that would bend them."""

import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psycopg
import pytest
from playwright.sync_api import Page, Response, WebSocket, expect

from controlplane.database import Database
from dashboard.sitting import GLANCE_S, HELD_S
from tests.browser.conftest import Picture, Site, serve
from tests.browser.proxy import logged_in
from tests.seeding import Past, seed, wait_for_labels

RITA, ANN, EVE = "rita@labels.example.org", "ann@example.org", "eve@elsewhere.org"
LOGIN = {
    "PENSTOCK_LOGIN": "proxy",
    "PENSTOCK_LOGIN_OPERATORS": ANN,
    "PENSTOCK_LOGIN_REVIEWERS": "*@labels.example.org",
}
ANSWERS = 20
KEYS = "GBGUGGBG"
VALUES = {"G": 1.0, "B": 0.0, "U": None}
READ_MS = 1000 * GLANCE_S + 100
FOREVER_MS = 60_000
SHOWN = ".st-key-answer [data-testid=stText]"
NEXT = """before => {
    const shown = document.querySelector('.st-key-answer [data-testid=stText]');
    return shown !== null && shown.innerText !== before;
}"""
TOLD = re.compile(rb"\b(local|cloud|tiny|logprob)\b|SIMULATED|p_hat|cost_usd|calibrated|final_tier")


@pytest.fixture(scope="module")
def site(shared_database: Database, logs: Path) -> Iterator[Site]:
    """Forty queries wait for a label; people are logged in by a proxy."""
    seed(shared_database.url, Past(until=datetime.now(UTC), queries=120))
    wait_for_labels(shared_database.url, 40)
    with serve(shared_database, logs, LOGIN) as served:
        yield served


@dataclass
class Wire:
    """All that the dashboard tells this browser: frames, and answers but for Streamlit's files."""

    frames: list[bytes] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    def heard(self) -> bytes:
        """Every byte of it."""
        bodies = [each.body() for each in self.answers if each.ok and "/static/" not in each.url]
        assert self.frames
        assert bodies
        return b"".join([*self.frames, *bodies])


@pytest.fixture
def wire(page: Page) -> Wire:
    heard = Wire()

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda said: heard.frames.append(_bytes(said)))

    def keep(answer: Response) -> None:
        heard.answers.append(answer)

    page.on("websocket", listen)
    page.on("response", keep)
    return heard


def _bytes(said: bytes | str) -> bytes:
    return said.encode() if isinstance(said, str) else said


def test_a_reviewers_first_word_to_a_fresh_dashboard_opens_no_other_page(
    site: Site, page: Page, wire: Wire
) -> None:
    with logged_in(site.url, RITA) as url:
        page.goto(f"{url}/overview?period=hour")
        expect(page.locator(SHOWN)).to_be_visible(timeout=FOREVER_MS)
        heard = wire.heard()
    assert b"Is the answer right?" in heard
    assert not TOLD.search(heard)
    assert b"saved" not in heard


@pytest.mark.parametrize(
    ("name", "says"), [(EVE, "has no role here"), (None, "Nobody is logged in")]
)
def test_a_stranger_sees_nothing(
    site: Site, page: Page, wire: Wire, name: str | None, says: str
) -> None:
    with logged_in(site.url, name) as url:
        for path in ("/", "/overview", "/labelling"):
            wire.answers.clear()  # a browser forgets them when it leaves the page
            page.goto(f"{url}{path}")
            expect(page.get_by_text(says)).to_be_visible(timeout=FOREVER_MS)
            heard = wire.heard()
            assert not TOLD.search(heard)
            assert b"Is the answer right?" not in heard


def test_twenty_answers_by_keyboard_are_recorded_once_and_blind(
    site: Site, page: Page, wire: Wire, picture: Picture
) -> None:
    given: dict[str, float | None] = {}
    took_ms: list[float] = []
    with logged_in(site.url, RITA) as url:
        page.goto(url)
        expect(page.locator(SHOWN)).to_be_visible(timeout=FOREVER_MS)
        expect(page.locator(".st-key-query")).to_contain_text("*No* <b>guesses</b>.")
        picture(page, "labelling")
        while len(given) < ANSWERS:
            shown = page.locator(SHOWN).inner_text()
            key = KEYS[len(given) % len(KEYS)]
            took_ms.append(_press(page, key))
            assert shown not in given, "an answer came twice"
            given[shown] = VALUES[key]
        last = page.locator(SHOWN).inner_text()
        _press(page, "Z")
        assert page.locator(SHOWN).inner_text() == shown
        given[shown] = 0.0
        _press(page, "B")
        assert page.locator(SHOWN).inner_text() == last
        expect(page.get_by_text(f"{ANSWERS} graded in this sitting")).to_be_visible()
        if _graded_partly(site, last, given):  # a query is sent once all of its answers are graded
            _press(page, "G")
            given[last] = 1.0
        recorded = _recorded_within(site, HELD_S + 30, given)
        _check_blind(site, wire.heard())
    assert recorded == {text: value for text, value in given.items() if value is not None}
    print(f"key to next answer: median {median(took_ms):.0f} ms of {len(took_ms)}")  # noqa: T201 - the figure
    assert median(took_ms) < 1_500  # 200 in ten minutes leave 3,000


def test_an_operator_labels_too_and_sees_all(site: Site, page: Page) -> None:
    with logged_in(site.url, ANN) as url:
        page.goto(url)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=FOREVER_MS)
        page.get_by_role("link", name="Labelling").first.click()
        expect(page.locator(SHOWN)).to_be_visible(timeout=FOREVER_MS)


def _press(page: Page, key: str) -> float:
    """Milliseconds from the key to another answer, read for a moment before."""
    page.wait_for_timeout(READ_MS)
    before, pressed = page.locator(SHOWN).inner_text(), time.perf_counter()
    page.keyboard.press(key.lower())
    page.wait_for_function(NEXT, arg=before, polling=10, timeout=FOREVER_MS)
    return 1000 * (time.perf_counter() - pressed)


def _graded_partly(site: Site, shown: str, given: dict[str, float | None]) -> bool:
    with psycopg.connect(site.database.url) as owner:
        rows = owner.execute(
            "SELECT other.body FROM texts shown JOIN texts other USING (at, decision_id)"
            " WHERE shown.body = %s AND other.key LIKE 'answer:%%' AND other.body <> shown.body",
            (shown,),
        ).fetchall()
    return any(body in given for (body,) in rows)


def _recorded_within(
    site: Site, seconds: float, given: dict[str, float | None]
) -> dict[str, float]:
    """The labels by the words of their answers, once as many as there will be have come."""
    wanted = sum(value is not None for value in given.values())
    until = time.monotonic() + seconds
    while len(found := _recorded(site)) < wanted and time.monotonic() < until:
        time.sleep(0.2)
    by_text = dict(found)
    assert len(by_text) == len(found)
    return by_text


def _recorded(site: Site) -> list[tuple[str, float]]:
    """Each of Rita's outcomes; the words are those of the seeding, which forgets none."""
    with psycopg.connect(site.database.url) as owner:
        return owner.execute(
            "SELECT CASE o.key WHEN 'local' THEN 'It is ' ELSE 'That makes ' END"
            "   || t.n || '. **Sure**.', o.value"
            " FROM outcomes o JOIN ("
            "   SELECT at, decision_id, row_number() OVER (ORDER BY at, decision_id) AS n"
            "   FROM label_tasks) t USING (at, decision_id)"
            " WHERE o.labeller = %s AND o.source = 'ground_truth'",
            (RITA,),
        ).fetchall()


def _check_blind(site: Site, heard: bytes) -> None:
    """No name, score or cost of what was labelled, in words or as a number; no id to look it up."""
    assert b"Is the answer right?" in heard
    assert not TOLD.search(heard)
    with psycopg.connect(site.database.url) as owner:
        rows = owner.execute(
            "SELECT t.decision_id, j.raw, j.calibrated, a.cost_usd FROM label_tasks t"
            " JOIN attempts a USING (at, decision_id)"
            " LEFT JOIN judge_scores j USING (at, decision_id)"
        ).fetchall()
    assert len(rows) >= ANSWERS
    for decision_id, *numbers in rows:
        assert str(decision_id).encode() not in heard
        for number in numbers:
            if number is not None:
                assert struct.pack("<d", number) not in heard
                assert f"{number:.4g}".encode() not in heard
