"""What keys may spend: one key's limit kept by many planes, whatever becomes of them."""

import tempfile
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, cast

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dataplane import budgets, query
from dataplane.access import Principal
from dataplane.budgets import Budgets, Lease, most_usd
from dataplane.contract.records import new_decision_id
from dataplane.errors import ApiError
from dataplane.feed import Connection
from dataplane.trail import Eligibility, Trail
from tests.policies import CLOUD, LOCAL, policy

LIMIT = 10.0
PRINCIPAL = Principal("acme", "k1", frozenset({"inference"}), LIMIT)


class Bank:
    """The table of leases, as ``penstock_lease_spend`` has it; ``away``: it does not answer."""

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self.leased = 0.0
        self.asked = 0
        self.away = False

    def execute(self, _: str, asked: dict[str, Any]) -> "Bank":
        if self.away:
            raise ConnectionError
        self.asked += 1
        wanted, before = asked["usd"], self.leased
        self.leased = max(before + wanted, 0.0)
        if wanted > 0:
            self.leased = max(min(self.leased, self.limit), before)
        self._given = self.leased - before
        return self

    def fetchone(self) -> dict[str, float]:
        return {"usd": self._given}

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)


def plane(path: Path | None = None) -> Budgets:
    return Budgets(lambda: {PRINCIPAL.key_id: LIMIT}, path)


def asking(here: Budgets, most: float, cost: float = 0.0) -> AbstractContextManager[None]:
    return here.charging(PRINCIPAL, lambda: most, lambda: cost)


def refusal(here: Budgets, most: float) -> ApiError:
    with pytest.raises(ApiError) as refused, asking(here, most):
        pass
    assert refused.value.status == 429
    return refused.value


def held(here: Budgets) -> float:
    return sum(lease.held for lease in here._leases.values())


class SpendingMachine(RuleBasedStateMachine):
    """Planes that lease, serve, restart and crash; a query never costs more than was set aside."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.bank = Bank()
        self.planes = [plane(self.directory / f"{at}") for at in range(3)]
        self.open: list[tuple[int, AbstractContextManager[None]]] = []
        self.spent = 0.0

    @rule(at=st.integers(0, 2), most=st.floats(0.01, 4), share=st.floats(0, 1))
    def ask(self, at: int, most: float, share: float) -> None:
        cost = most * share
        charged = asking(self.planes[at], most, cost)
        try:
            charged.__enter__()
        except ApiError:
            return
        self.open.append((at, charged))
        self.spent += cost

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 1000))
    def end(self, which: int) -> None:
        _, charged = self.open.pop(which % len(self.open))
        charged.__exit__(None, None, None)

    @rule(at=st.integers(0, 2))
    def refresh(self, at: int) -> None:
        self.planes[at].refresh(self.bank.connection)

    @rule(at=st.integers(0, 2))
    def lose_the_answer(self, at: int) -> None:
        self.bank.away = True
        try:
            self.planes[at].refresh(self.bank.connection)
        except ConnectionError:
            pass
        finally:
            self.bank.away = False

    @rule(at=st.integers(0, 2))
    def restart(self, at: int) -> None:
        for each in [pair for pair in self.open if pair[0] == at]:
            each[1].__exit__(None, None, None)
            self.open.remove(each)
        self.planes[at].keep()
        self.planes[at] = plane(self.directory / f"{at}")

    @rule(at=st.integers(0, 2))
    def crash(self, at: int) -> None:
        self.open = [pair for pair in self.open if pair[0] != at]
        self.planes[at] = plane(self.directory / f"{at}")

    @invariant()
    def the_limit_holds(self) -> None:
        assert self.bank.leased <= LIMIT + 1e-9
        assert self.spent <= self.bank.leased + 1e-9

    @invariant()
    def no_two_hold_the_same(self) -> None:
        assert sum(map(held, self.planes)) <= self.bank.leased + 1e-9


TestSpendingMachine = SpendingMachine.TestCase
TestSpendingMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_key_without_a_limit_is_asked_nothing() -> None:
    here = Budgets()
    free = Principal("acme", "k2", frozenset({"inference"}))

    def never() -> float:
        raise AssertionError

    with here.charging(free, never, never):
        pass


def test_what_was_not_spent_may_be_spent_again() -> None:
    here, bank = plane(), Bank()
    here.refresh(bank.connection)
    with pytest.raises(ApiError), asking(here, 4.0):
        pass
    for _ in range(20):
        here.refresh(bank.connection)
        with asking(here, 4.0, 0.2):
            pass
    assert bank.leased <= LIMIT
    assert here.refused == 1


def test_before_more_is_at_hand_a_client_is_told_to_try_again() -> None:
    here, cried = plane(), []
    here.hasten = lambda: cried.append(True)
    refused = refusal(here, 1.0)
    assert (refused.code, refused.headers) == ("budget_not_at_hand", {"retry-after": "1"})
    assert cried == [True]
    here.refresh(Bank().connection)
    with asking(here, 1.0, 1.0):
        pass


def test_at_the_limit_a_client_is_told_not_to() -> None:
    here, bank = plane(), Bank()
    refusal(here, LIMIT)
    here.refresh(bank.connection)
    with asking(here, LIMIT, LIMIT - 1):
        pass
    refusal(here, 2.0)
    here.refresh(bank.connection)
    refused = refusal(here, 2.0)
    with asking(here, 1.0, 1.0):
        pass  # what is left may be spent
    assert (refused.code, refused.kind) == ("insufficient_quota", "insufficient_quota")
    assert refused.headers == {"x-should-retry": "false"}
    assert "10 USD of today" in refused.message


def test_while_others_may_come_cheaper_than_set_aside_it_is_not_over() -> None:
    here, bank = plane(), Bank()
    refusal(here, LIMIT)
    here.refresh(bank.connection)
    with asking(here, LIMIT - 1, 0.1):
        refusal(here, 2.0)
        here.refresh(bank.connection)
        assert refusal(here, 2.0).code == "budget_not_at_hand"
    with asking(here, 2.0):
        pass


def test_a_query_that_the_whole_day_could_not_pay_is_told_so() -> None:
    here, bank = plane(), Bank()
    assert "fewer max_tokens" in refusal(here, LIMIT + 1).message
    here.refresh(bank.connection)
    assert bank.leased == budgets.SHARE * LIMIT  # nothing is set aside for it


def test_what_is_not_needed_any_more_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    here, bank = plane(), Bank()
    with pytest.raises(ApiError), asking(here, 4.0):
        pass
    here.refresh(bank.connection)
    with asking(here, 4.0, 1.0):
        pass
    here.refresh(bank.connection)
    assert bank.leased >= 4.0
    later_s = monotonic() + 20 * budgets.HALF_LIFE_S
    monkeypatch.setattr(budgets, "monotonic", lambda: later_s)
    here.refresh(bank.connection)
    assert bank.leased - 1.0 <= 4 * budgets.SHARE * LIMIT
    asked = bank.asked
    here.refresh(bank.connection)
    assert bank.asked == asked  # in quiet times nothing is asked


def test_with_the_database_away_the_lease_goes_on(tmp_path: Path) -> None:
    here, bank = plane(tmp_path / "kept"), Bank()
    refusal(here, 1.0)
    here.refresh(bank.connection)
    here.keep()
    again = plane(tmp_path / "kept")
    with asking(again, 1.0, 1.0):
        pass
    assert plane(tmp_path / "kept")._leases == {}  # what was taken up once is not found twice


def test_what_was_kept_yesterday_is_worth_nothing(tmp_path: Path) -> None:
    here = plane(tmp_path / "kept")
    here._leases = budgets._leases('{"day": "2026-01-01", "usd": {"k1": 5.0}}')
    assert refusal(here, 1.0).code == "budget_not_at_hand"
    here.refresh(Bank().connection)
    assert all(day == datetime.now(UTC).date() for _, day in here._leases)


def test_the_next_days_lease_is_taken_before_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Late":
            return cls(2026, 3, 1, 23, 59, 30, tzinfo=tz)

    monkeypatch.setattr(budgets, "datetime", Late)
    here = plane()
    here.refresh(Bank().connection)
    assert sorted(day.day for _, day in here._leases) == [1, 2]


def test_a_cry_for_more_is_not_one_for_each_request() -> None:
    here, cried = plane(), []
    here.hasten = lambda: cried.append(True)
    for _ in range(50):
        refusal(here, 1.0)
    assert len(cried) == 1
    assert here.refused == 50


def test_a_lease_wants_twice_what_was_needed_of_late() -> None:
    lease = Lease(leased=3.0)
    assert lease.wanted(LIMIT) == budgets.SHARE * LIMIT
    assert lease.set_aside(1.0)
    assert lease.wanted(LIMIT) == 2.0
    assert not lease.set_aside(2.5)
    assert lease.wanted(LIMIT) == 4.5
    assert lease.wanted(3.0) == 3.0


def trail(eligible: tuple[str, ...], **fields: Any) -> tuple[Trail, int]:
    body = {"model": "penstock", "messages": [{"role": "user", "content": "x" * 100}], **fields}
    data = orjson.dumps(body)
    asked = query.read(
        data, tenant="t", request_id="r", conversation=None, max_tokens=500, bounded=True
    )
    admitted = Trail(new_decision_id(), asked, policy(), Eligibility(eligible, {}), 5.0)
    return admitted, len(data)


def test_the_most_is_what_every_tier_that_may_be_asked_can_cost() -> None:
    asked, size = trail(("local", "cloud"), max_tokens=50)
    prompt = size + 2 * budgets.MESSAGE_TOKENS
    both = LOCAL.cost_usd(prompt, 50) + CLOUD.cost_usd(prompt, 50)
    assert most_usd(asked, size) == pytest.approx(2 * both)
    alone, size = trail(("local",), max_tokens=50)
    assert most_usd(alone, size) == pytest.approx(2 * LOCAL.cost_usd(prompt, 50))


@pytest.mark.parametrize(
    ("said", "bound"),
    [
        ({}, 500),
        ({"max_tokens": 9000}, 500),
        ({"max_completion_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 90}, 90),
    ],
)
def test_an_answer_is_bounded_where_there_is_a_limit(said: dict[str, int], bound: int) -> None:
    asked, size = trail(("cloud",), **said)
    prompt = size + 2 * budgets.MESSAGE_TOKENS
    assert most_usd(asked, size) == pytest.approx(2 * CLOUD.cost_usd(prompt, bound))
    assert asked.query.body.get("max_tokens") == (None if bound == 7 else bound)
