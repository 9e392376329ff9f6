"""What the operator changes in `penstock.yaml` is in force from the next start of a plane on."""

from datetime import UTC, datetime

import pytest

from controlplane import objective, registry
from controlplane.app import publish_first
from controlplane.connection import Connect
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import CostCeiling, QualityTarget, TrustTerms, WrongAcceptances
from tests.policies import CLOUD, LOCAL, policy

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FILE = policy("cascade")
CEILING = CostCeiling(ceiling_usd_per_query=0.002)


@pytest.fixture
def store(store: Connect) -> Connect:
    publish_first(store, FILE)
    return store


def live(store: Connect) -> PolicyDocument:
    with store() as connection:
        return registry.live(connection)


def test_an_unchanged_file_changes_nothing(store: Connect) -> None:
    publish_first(store, FILE.model_copy(update={"issued_at": NOW}))
    assert live(store) == FILE


def test_a_new_objective_of_the_file_is_in_force_and_the_arm_stays(store: Connect) -> None:
    publish_first(store, policy("always_cloud", objective=CEILING))
    now = live(store)
    assert (now.version, now.parent, now.author, now.kind) == (2, 1, "operator", "proposal")
    assert now.objective == CEILING
    assert now.segments == FILE.segments
    assert now.reason == "penstock.yaml: new objective; ceiling 0.002 USD a query"
    publish_first(store, policy("always_cloud", objective=CEILING))
    assert live(store).version == 2


def test_what_the_api_set_stays_until_the_file_says_otherwise(store: Connect) -> None:
    with store() as connection:
        objective.pursue(connection, CEILING, "key k", NOW)
    publish_first(store, FILE)
    assert live(store).objective == CEILING
    edited = QualityTarget(target_quality=0.8)
    publish_first(store, policy("cascade", objective=edited))
    assert live(store).objective == edited


def test_new_prices_and_waits_enter_the_rule_and_the_thresholds(store: Connect) -> None:
    slower = CLOUD.replaced(latency_s=3.0)
    waiting = QualityTarget(target_quality=0.9, latency_usd_per_s=1e-4)
    publish_first(store, policy("cascade", tiers=(LOCAL, slower), objective=waiting))
    now = live(store)
    assert now.reason.startswith("penstock.yaml: new objective and tiers; target quality 0.900")
    assert now.cloud == slower
    assert now.segments[0].judge_cutoff < FILE.segments[0].judge_cutoff


def test_a_tier_between_the_ends_joins_and_goes(store: Connect) -> None:
    between = CLOUD.replaced(name="between", output_usd_per_mtok=1.0)
    publish_first(store, FILE.model_copy(update={"tiers": (LOCAL, between, CLOUD)}))
    now = live(store)
    assert now.reason.startswith("penstock.yaml: new tiers")
    assert now.tiers == (LOCAL, between, CLOUD)
    assert now.segments[0].judge_cutoff == FILE.segments[0].judge_cutoff
    publish_first(store, FILE)
    assert live(store).segments == FILE.segments


def test_other_ends_are_not_taken_over_and_an_event_says_so(store: Connect) -> None:
    publish_first(store, policy("cascade", tiers=(LOCAL, CLOUD.replaced(name="other"))))
    assert live(store) == FILE
    with store() as connection:
        (event,) = connection.execute("SELECT kind, body FROM events").fetchall()
    assert event["kind"] == "refused"
    assert "is not local or the last one not cloud" in event["body"]["reason"]


def test_new_terms_of_trust_are_in_force_and_the_gate_stands_as_it_did(store: Connect) -> None:
    terms = TrustTerms(while_closed="always_cloud", opens="when_accepted")
    edited = FILE.replaced(trust=terms, shadow=FILE.shadow.replaced(undecided=0.1))
    publish_first(store, edited)
    now = live(store)
    assert (now.version, now.trust, now.shadow.undecided) == (2, terms, 0.1)
    assert now.segments == FILE.segments
    assert now.reason.startswith("penstock.yaml: new trust; ")
    publish_first(store, edited)
    assert live(store).version == 2


def test_asking_for_a_certificate_stops_every_acceptance_until_there_is_one(store: Connect) -> None:
    asked = QualityTarget(target_quality=0.9, wrong_acceptances=WrongAcceptances())
    with store() as connection:
        objective.pursue(connection, asked, "key k", NOW)
    now = live(store)
    assert (now.segments[0].mode, now.segments[0].judge_cutoff) == ("always_cloud", 0.0)
    assert "at most 5.0% lost to wrong acceptances at 90%" in now.reason
