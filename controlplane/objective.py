"""The operator's word: an objective changed at run time, by the API or in ``penstock.yaml``.

Either way the live policy gets a successor with the same arm and all that was learned; the next
retune serves the new objective from the labels at hand.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane import registry, states
from controlplane.audit.certificates import lawful
from controlplane.connection import Connection
from controlplane.events import record_event
from controlplane.push import succeed, summary
from controlplane.seats import seated
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import UNDECIDED, CostCeiling, QualityTarget, TrustTerms

STATED = "stated"  # what penstock.yaml said when it was last read
OTHER_ENDS = (
    "penstock.yaml: its tiers are not taken over, for the first one is not {live.local.name} or "
    "the last one not {live.cloud.name}: name them so, or start on a new database"
)


def revised(
    live: QualityTarget | CostCeiling, asked: Mapping[str, Any]
) -> QualityTarget | CostCeiling:
    """The objective with these fields instead; what is not said stays, where the kind has it.

    A target makes it a quality target, a ceiling a cost ceiling. Raises ``ValueError``.
    """
    kind: type[QualityTarget | CostCeiling] = type(live)
    if "target_quality" in asked:
        kind = QualityTarget
    if "ceiling_usd_per_query" in asked:
        kind = CostCeiling
    known = kind.model_fields.keys() - {"kind"}
    if stray := asked.keys() - known:
        aim = "a cost ceiling" if kind is CostCeiling else "a quality target"
        raise ValueError(f"{min(stray)} does not go with {aim}")
    kept = {name: value for name, value in dict(live).items() if name in known}
    return kind.model_validate(kept | dict(asked))


def words(objective: QualityTarget | CostCeiling) -> str:
    """The objective, as an event tells it."""
    if isinstance(objective, CostCeiling):
        aim = f"ceiling {objective.ceiling_usd_per_query:.4g} USD a query"
    elif objective.reference == "always_cloud":
        aim = f"target {objective.target_quality:.1%} of always-cloud's quality"
    else:
        aim = f"target quality {objective.target_quality:.3f}"
    if price := objective.latency_usd_per_s:
        aim += f", waiting {price:.4g} USD a second"
    if asked := objective.wrong_acceptances:
        aim += f", at most {asked.limit:.1%} lost to wrong acceptances at {asked.confidence:.0%}"
    if "reference" in objective.accepts:
        aim += ", a reference model's labels taken for the truth"
    return aim


def pursue(
    connection: Connection, objective: QualityTarget | CostCeiling, who: str, now: datetime
) -> PolicyDocument:
    """Publish the live policy's successor under this objective; raises ``ConflictError``."""
    return _supersede(connection, {"objective": objective}, f"{words(objective)} ({who})", now)


def adopt(connection: Connection, start: PolicyDocument, now: datetime) -> PolicyDocument | None:
    """Publish what the operator changed in ``penstock.yaml`` since it was last read, if anything.

    ``start`` is what the file states. Its objective, the terms on which the judge is trusted, and
    its tiers, with their prices and expectations, are taken over, unless the local or the dearest
    tier is another one; what the API changed stays until the file says otherwise. None: nothing
    changed.
    """
    said = start.model_dump(mode="json", include={"objective", "tiers"})
    said["trust"] = _trust(start)
    states.lock(connection, STATED, json.dumps(said))
    before = {"trust": _USUAL} | states.load_value(connection, STATED, default=said)
    states.save_value(connection, STATED, said)
    changed = {name for name, value in said.items() if before[name] != value}
    live = registry.live(connection)
    update: dict[str, Any] = {"objective": start.objective} if "objective" in changed else {}
    if "trust" in changed:
        update["trust"] = start.trust
        update["shadow"] = live.shadow.replaced(undecided=start.shadow.undecided)
    seats = seated(live, start.tiers) if "tiers" in changed else {}
    if seats is None:
        record_event(connection, "refused", {"reason": OTHER_ENDS.format(live=live)})
        changed.remove("tiers")
    update |= seats or {}
    if not changed:
        return None
    which = " and ".join(sorted(changed))
    told = f"penstock.yaml: new {which}; {words(update.get('objective', live.objective))}"
    return _supersede(connection, update, told, now)


def _trust(start: PolicyDocument) -> dict[str, Any]:
    return start.trust.model_dump() | {"undecided": start.shadow.undecided}


_USUAL = TrustTerms().model_dump() | {"undecided": UNDECIDED}  # stated before it could be


def _supersede(
    connection: Connection, update: dict[str, Any], reason: str, now: datetime
) -> PolicyDocument:
    live = registry.live(connection)
    said = {"kind": "proposal", "author": "operator", "reason": reason, "issued_at": now}
    successor = lawful(live.model_copy(update=said | update)).rederived()
    policy = succeed(connection, live, successor)
    record_event(connection, "objective", summary(policy))
    return policy
