"""The subscription against publications good and poisonous, late and twice, through crashes."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dataplane import snapshot
from dataplane.contract.policy import PolicyDocument
from dataplane.subscription import Offer, Stored, Subscription, Verdict
from tests.policies import policy

PUBLISHED_AT = "2026-01-01T00:00:00+00:00"
GOOD = {version: policy(version=version) for version in range(1, 7)}
POISON: list[dict[str, Any]] = [
    {"cost_unit_usd": float("nan")},
    {"schema": 2},
    {"tiers": []},
    {"version": 99},
    {"surprise": True},
]


class Machine(RuleBasedStateMachine):
    """The store is a list of offers; the model, what should be in force after them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "policy.json"
        self.offers: list[Offer] = []
        self.acknowledged: dict[int, tuple[int, ...]] = {0: (1,)}
        self.highest = 0

    @initialize()
    def start(self) -> None:
        self.subscription = Subscription(
            self.path, plane="p", tiers=("local", "cloud"), start=GOOD[1]
        )

    @rule(versions=st.lists(st.sampled_from(sorted(GOOD)), min_size=1, max_size=3, unique=True))
    def publish(self, versions: list[int]) -> None:
        self._offer(versions, {version: _stored(GOOD[version]) for version in versions})

    @rule(version=st.sampled_from(sorted(GOOD)), changes=st.sampled_from(POISON))
    def publish_poison(self, version: int, changes: dict[str, Any]) -> None:
        text = json.dumps(json.loads(GOOD[version].to_json()) | changes)
        self._offer([version], {version: Stored(GOOD[version].digest(), len(text), text)})

    @rule(version=st.sampled_from(sorted(GOOD)))
    def publish_too_much(self, version: int) -> None:
        self._offer([version], {version: Stored("", 10 << 20, None)})

    @rule(in_force=st.sampled_from([None, [], [{"version": 1, "share": 0.5}], "1"]))
    def publish_nonsense(self, in_force: Any) -> None:
        self.offers.append(Offer(len(self.offers) + 1, in_force, PUBLISHED_AT, {}))

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """The newest, or a late or repeated one: a data plane may see any of them."""
        if self.offers:
            offer = data.draw(st.sampled_from(self.offers), "offer")
            self._judged(offer, self.subscription.consider(offer))

    @rule()
    def deliver_newest(self) -> None:
        if self.offers:
            self._judged(self.offers[-1], self.subscription.consider(self.offers[-1]))

    @rule()
    def crash(self) -> None:
        """The process dies and starts again, perhaps in the middle of writing the next file."""
        before = self.subscription.current
        self.path.with_name(f".{self.path.name}.new").write_text('{"sha256": "')
        self.start()
        assert self.subscription.current == before

    @rule()
    def crash_before_the_answer(self) -> None:
        """It dies after the file was replaced: the newest good one is then found there."""
        good = [offer for offer in self.offers if _is_good(offer)]
        if good and good[-1].seq > self.subscription.current.seq:
            snapshot.write(self.path, good[-1].to_json())
            self.start()
            assert self.subscription.current.seq == good[-1].seq
            self.acknowledged[good[-1].seq] = self.subscription.current.versions

    @invariant()
    def the_active_policy_was_validated(self) -> None:
        current = self.subscription.current
        assert self.acknowledged[current.seq] == current.versions
        assert current.documents == tuple(GOOD[version] for version in current.versions)

    @invariant()
    def publications_only_grow(self) -> None:
        assert self.subscription.current.seq >= self.highest
        self.highest = self.subscription.current.seq

    def teardown(self) -> None:
        self.folder.cleanup()

    def _offer(self, versions: list[int], documents: dict[int, Stored]) -> None:
        shares = [{"version": version, "share": 1 / len(versions)} for version in versions]
        self.offers.append(Offer(len(self.offers) + 1, shares, PUBLISHED_AT, documents))

    def _judged(self, offer: Offer, verdicts: tuple[Verdict, ...]) -> None:
        if not verdicts:
            return
        good = {verdict.status for verdict in verdicts} == {"ack"}
        assert good == _is_good(offer)
        assert all(verdict.reason for verdict in verdicts if verdict.status == "nack")
        if good:
            self.acknowledged[offer.seq] = tuple(verdict.version for verdict in verdicts)


def _stored(document: PolicyDocument) -> Stored:
    text = document.to_json().decode()
    return Stored(document.digest(), len(text), text)


def _is_good(offer: Offer) -> bool:
    return bool(offer.documents) and all(
        version in GOOD and stored == _stored(GOOD[version])
        for version, stored in offer.documents.items()
    )


TestSubscription = Machine.TestCase
TestSubscription.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
