import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dataplane.contract.policy import MAX_BYTES, PolicyDocument
from dataplane.contract.publication import InForce
from dataplane.subscription import Offer, RefusedError, Stored, Subscription, Verdict, admit
from tests.policies import policy

TIERS = ("local", "cloud")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def stored(document: PolicyDocument) -> Stored:
    text = document.to_json().decode()
    return Stored(document.digest(), len(text), text)


def offer(seq: int, *documents: PolicyDocument) -> Offer:
    shares = [{"version": d.version, "share": 1 / len(documents)} for d in documents]
    return Offer(seq, shares, NOW.isoformat(), {d.version: stored(d) for d in documents})


def altered(seq: int, version: int = 2, **fields: Any) -> Offer:
    """A document whose JSON was changed behind the model's back, its digest and size fitting."""
    text = json.dumps(json.loads(policy(version=version).to_json()) | fields)
    return Offer(
        seq,
        [{"version": version, "share": 1.0}],
        NOW.isoformat(),
        {version: Stored("not checked before it parses", len(text), text)},
    )


def subscribed(folder: Path) -> Subscription:
    path = folder / "policy.json"
    return Subscription(path, plane="p", tiers=TIERS, start=policy(version=1))


@pytest.fixture
def subscription(tmp_path: Path) -> Subscription:
    return subscribed(tmp_path)


def test_without_file_or_store_the_start_policy_decides(subscription: Subscription) -> None:
    assert subscription.current == InForce(0, (policy(version=1),), (1.0,))
    assert subscription.policy_for("c").version == 1


def test_an_offer_is_put_in_force_and_acknowledged(subscription: Subscription) -> None:
    held = subscription.current
    verdicts = subscription.consider(offer(1, policy(version=2), policy(version=3)))
    assert verdicts == (Verdict(1, 2, "ack"), Verdict(1, 3, "ack"))
    assert subscription.current.versions == (2, 3)
    assert held.versions == (1,)


def test_what_is_not_newer_is_passed_over(subscription: Subscription) -> None:
    subscription.consider(offer(5, policy(version=5)))
    for seq in (5, 4, 0):
        assert subscription.consider(offer(seq, policy(version=9))) == ()
    assert subscription.current.versions == (5,)


def test_a_later_publication_may_name_an_older_version(subscription: Subscription) -> None:
    subscription.consider(offer(5, policy(version=5)))
    subscription.consider(offer(6, policy(version=2)))
    assert subscription.current.versions == (2,)


def test_after_a_restart_the_last_good_one_decides(tmp_path: Path) -> None:
    subscribed(tmp_path).consider(offer(5, policy(version=5), policy(version=6)))
    again = subscribed(tmp_path)
    assert (again.current.seq, again.current.versions) == (5, (5, 6))


@pytest.mark.parametrize(
    ("poison", "why"),
    [
        (altered(2, objective={"kind": "quality", "target_quality": math.nan}), "target_quality"),
        (altered(2, cost_unit_usd=math.inf), "cost_unit_usd"),
        (altered(2, schema=99), "schema: Input should be 3"),
        (altered(2, unknown=1), "unknown: Extra inputs"),
        (Offer(2, [{"version": 2}], "", {2: stored(policy(version=3))}), "its row 2"),
        (altered(2, reason="other"), "does not match its digest"),
        (Offer(2, "all of them", "", {}), "in_force"),
        (Offer(2, [{"version": 2}], "", {}), "no such version is stored"),
        (Offer(2, [{"version": 2}], "", {2: Stored("", 2, "{}")}), "required"),
        (Offer(2, [{"version": 2}], "", {2: Stored("", 9, "[" * 9000)}), "Invalid JSON"),
        (
            Offer(2, [{"version": 2}], "", {2: Stored("", 10 << 20, None)}),
            "10485760 bytes: at most",
        ),
        (Offer(2, [{"version": 2}], "", {2: Stored("", 5, "x" * (MAX_BYTES + 1))}), "4194305 byte"),
    ],
)
def test_poison_is_refused_with_its_reason(
    subscription: Subscription, poison: Offer, why: str
) -> None:
    subscription.consider(offer(1, policy(version=1)))
    before = subscription.current
    (verdict,) = subscription.consider(poison)
    assert verdict.status == "nack"
    assert verdict.reason is not None
    assert why in verdict.reason
    assert len(verdict.reason) <= 500
    assert subscription.current is before
    assert subscription.consider(poison) == ()


def test_inverted_cutoffs_are_refused() -> None:
    document = json.loads(policy(version=2).to_json())
    document["segments"][0]["judge_cutoff"] = 7.0
    with pytest.raises(RefusedError, match="judge_cutoff is 7"):
        admit(altered(2, segments=document["segments"]), TIERS)


def test_a_tier_that_is_not_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="unknown tiers here: cloud"):
        admit(offer(2, policy(version=2)), ("local", "other"))


def test_a_publication_is_put_in_force_whole_or_not_at_all(subscription: Subscription) -> None:
    good, bad = offer(2, policy(version=2)), altered(2, 3, schema=9)
    shares = [{"version": 2, "share": 0.5}, {"version": 3, "share": 0.5}]
    both = Offer(2, shares, NOW.isoformat(), {**good.documents, **bad.documents})
    first, second = subscription.consider(both)
    assert (first.version, first.status) == (3, "nack")
    assert second.reason == "not put in force, because version 3 was refused"
    assert subscription.current.seq == 0


def test_a_refusal_does_not_bar_what_follows(subscription: Subscription) -> None:
    subscription.consider(altered(2, schema=9))
    subscription.consider(offer(3, policy(version=3)))
    assert subscription.current.seq == 3


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"sha256": "", "body": "{}"}'])
def test_a_damaged_file_leaves_the_start_policy(tmp_path: Path, body: str) -> None:
    (tmp_path / "policy.json").write_text(body)
    assert subscribed(tmp_path).current.seq == 0


def test_a_file_of_other_tiers_leaves_the_start_policy(tmp_path: Path) -> None:
    subscribed(tmp_path).consider(offer(5, policy(version=5)))
    path = tmp_path / "policy.json"
    moved = Subscription(path, plane="p", tiers=("a", "b"), start=policy(version=1))
    assert moved.current.seq == 0


def test_a_full_disk_does_not_keep_a_policy_out(tmp_path: Path) -> None:
    (tmp_path / ".policy.json.new").mkdir()
    subscription = subscribed(tmp_path)
    assert subscription.consider(offer(5, policy(version=5))) == (Verdict(5, 5, "ack"),)
    assert subscription.current.seq == 5


def test_the_age_is_that_of_what_is_in_force(tmp_path: Path) -> None:
    start = policy(version=1, issued_at=datetime.now(UTC) - timedelta(days=1))
    path = tmp_path / "policy.json"
    subscription = Subscription(path, plane="p", tiers=TIERS, start=start)
    assert subscription.policy_age_seconds == pytest.approx(86_400, abs=60)
    subscription.consider(offer(1, policy(version=2)), age_s=100.0)
    first = subscription.policy_age_seconds
    assert 100.0 <= first <= subscription.policy_age_seconds < 160.0
