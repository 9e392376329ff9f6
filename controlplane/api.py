"""The control plane's HTTP API: labels, decisions explained, policies, objective, advice, status.

Every route declares its scope; one without is refused to everybody (and fails the suite).
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse

from controlplane import (
    advice,
    fleet,
    gates,
    holdout,
    judge_reports,
    objective,
    operators,
    proposals,
    prospects,
    refusals,
    registry,
    shadow,
    spending,
    states,
    telemetry,
    texts,
    why,
)
from controlplane.access import Access, Holder, person
from controlplane.audit import funnel, labels
from controlplane.audit.certificates import Certifier
from controlplane.audit.tasks import Labeller, Task, Verdict
from controlplane.bodies import (
    AcceptBody,
    FreezeBody,
    LabelBody,
    LeaseBody,
    ObjectiveBody,
    ProposalBody,
    ReasonBody,
    ReturnBody,
)
from controlplane.bounds import Bounded
from controlplane.connection import Connect
from controlplane.cycle import CERTIFIER, FROZEN, OBSERVED
from controlplane.differences import differences
from controlplane.leader import Leader
from controlplane.learn.settings import LearnerSettings
from controlplane.observe import DecisionKey
from controlplane.promote import Terms
from controlplane.push import summary
from controlplane.sql import SQL
from dataplane.contract.alerting import Alerts
from dataplane.contract.exposition import MEDIA_TYPE
from dataplane.contract.keys import Scope
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import reason

SCOPE = "x-penstock-scope"
PERSON_HEADER = "X-Penstock-Person"
PUBLIC = "public"
LISTED = 200
READ_S = 3.0  # for one statement over many records

Days = Annotated[float, Query(gt=0, le=92)]
Words = Annotated[str, Query(min_length=3, max_length=200)]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API works with."""

    connect: Connect
    access: Access
    leader: Leader
    label_terms: labels.Terms
    learner: LearnerSettings
    alerts: Alerts | None = None
    proposals: Terms = proposals.USUAL


def scoped(scope: Scope | str) -> dict[str, Any]:
    """What a route says of who may call it."""
    return {"openapi_extra": {SCOPE: scope}}


def authorise(request: Request) -> Holder | None:
    """The caller, if the route's scope lets it in; a route without a scope lets in nobody."""
    route = request.scope["route"]
    scope = (getattr(route, "openapi_extra", None) or {}).get(SCOPE)
    if scope == PUBLIC:
        return None
    holder = parts_of(request).access.holder(request.headers.get("authorization"))
    if holder is None:
        raise HTTPException(401, "no valid API key: send Authorization: Bearer pk_..")
    if scope is None or scope not in holder.scopes:
        raise HTTPException(403, f"this key lacks the scope '{scope}'")
    try:
        return replace(holder, person=person(request.headers.get(PERSON_HEADER)))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None


def parts_of(request: Request) -> Parts:
    """The parts of the app that serves a request."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


Caller = Annotated[Holder, Depends(authorise)]
Given = Annotated[Parts, Depends(parts_of)]

router = APIRouter(dependencies=[Depends(authorise)])


def build(parts: Parts) -> FastAPI:
    """The app; it starts and stops nothing."""
    app = FastAPI(title="Penstock control plane", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.parts = parts
    app.include_router(router)
    refusals.install(app)
    app.add_middleware(Bounded)
    return app


@router.post("/v1/labels/lease", **scoped("label"))
def lease_labels(body: LeaseBody, caller: Caller, parts: Given) -> dict[str, Any]:
    """Drawn answers to grade, without model, score or cost; and how many wait to be shown."""
    labeller = Labeller(body.labeller, caller.id)
    with parts.connect() as connection:
        terms, skipped = parts.label_terms, body.skipped
        tasks = labels.lease(connection, labeller, body.limit, _now(), terms, skipped)
        observed = states.load_value(connection, OBSERVED, default=0)
        waiting = labels.waiting(connection, labeller, skipped)
    shown = [_shown(task) for task in tasks]
    return {"tasks": shown, "observed": observed, "waiting": waiting}


@router.post("/v1/labels", **scoped("label"))
def submit_labels(body: LabelBody, caller: Caller, parts: Given) -> dict[str, str]:
    """Grades of a leased task; all of them are taken, or none."""
    verdicts = [Verdict(verdict.key, verdict.value) for verdict in body.verdicts]
    decision = DecisionKey(body.at.astimezone(UTC), body.decision_id)
    labeller = Labeller(body.labeller, caller.id)
    with parts.connect() as connection:
        terms = labels.accepting(parts.label_terms, registry.live(connection))
        status = labels.submit(connection, labeller, decision, verdicts, _now(), terms)
        labels.forget(connection, decision)
    return {"status": status}


@router.post("/v1/labels/return", **scoped("label"))
def return_label(body: ReturnBody, caller: Caller, parts: Given) -> dict[str, bool]:
    """Give a leased task back ungraded, so that another may have it at once."""
    decision = DecisionKey(body.at.astimezone(UTC), body.decision_id)
    with parts.connect() as connection:
        returned = labels.give_back(connection, Labeller(body.labeller, caller.id), decision)
    return {"returned": returned}


@router.get("/v1/labels/agreement", **scoped("label"))
def label_agreement(parts: Given) -> dict[str, Any]:
    """How far two people agree on an answer, over all segments and times: no answer is named."""
    with parts.connect() as connection:
        return asdict(funnel.agreement(connection))


@router.get("/v1/labels/funnel", **scoped("read"))
def label_funnel(parts: Given) -> dict[str, Any]:
    """What became of the draws, by window and segment, and how far two people agree."""
    with parts.connect() as connection:
        return {"funnel": [asdict(row) for row in funnel.read(connection, _now())]}


@router.get("/v1/decisions/{decision_id}", **scoped("read"))
def explain_decision(decision_id: UUID, parts: Given) -> dict[str, Any]:
    """One decision: its records, its steps computed again, what the policy believed of it, and what
    others would have done with it.
    """
    with parts.connect() as connection:
        told = why.tell(connection, decision_id)
    if told is None:
        raise HTTPException(404, f"no decision {decision_id} is recorded")
    return told


@router.get("/v1/decisions/{decision_id}/texts", **scoped("admin"))
def read_texts(decision_id: UUID, parts: Given) -> dict[str, Any]:
    """What a query and its answers say, as long as that is kept."""
    with parts.connect() as connection:
        return {"texts": texts.of(connection, decision_id)}


@router.get("/v1/texts", **scoped("admin"))
def search_texts(parts: Given, containing: Words, days: Days = 7.0) -> dict[str, Any]:
    """The newest decisions whose kept texts hold some words, and how far that looked."""
    with parts.connect() as connection:
        return texts.containing(connection, containing, _now() - timedelta(days=days))


@router.get("/v1/policies", **scoped("read"))
def list_policies(parts: Given) -> dict[str, Any]:
    """Versions, newest first, with how many data planes took or refused each."""
    with parts.connect() as connection:
        versions = connection.execute(SQL["policy_list"], {"limit": LISTED}).fetchall()
        policy = registry.live(connection)
    return {"live": policy.version, "policies": versions}


@router.get("/v1/planes", **scoped("read"))
def list_planes(parts: Given) -> dict[str, Any]:
    """The data planes: what each of them serves, and which are behind or refused the newest."""
    with parts.connect() as connection:
        return {"planes": [each.to_json() for each in fleet.planes(connection)]}


@router.get("/v1/policies/{before}/diff/{after}", **scoped("read"))
def compare_policies(before: int, after: int, parts: Given) -> dict[str, Any]:
    """What changes from one version to another, in words, and what it is expected to bring."""
    with parts.connect() as connection:
        if unknown := registry.missing(connection, [before, after]):
            raise HTTPException(404, f"policy version {unknown[0]} is not stored")
        was, now = (registry.load(connection, version) for version in (before, after))
        found = prospects.prospects(connection, was, now)
    return {
        "before": before,
        "after": after,
        "reason": now.reason,
        "differences": differences(was, now),
        "prospects": [asdict(each) for each in found],
    }


@router.get("/v1/status", **scoped("read"))
def status(parts: Given) -> dict[str, Any]:
    """Where the loop stands."""
    with parts.connect() as connection:
        policy = registry.live(connection)
        tasks = connection.execute(SQL["label_counts"]).fetchall()
        counted = connection.execute(SQL["outcome_count"]).fetchone()
        return {
            "observed": states.load_value(connection, OBSERVED, default=0),
            "frozen": states.load_value(connection, FROZEN, default=False),
            "leads": parts.leader.leads(),
            "live": summary(policy) | {"objective": policy.objective.model_dump()},
            "label_tasks": {row["status"]: row["tasks"] for row in tasks},
            "labels": counted["labels"] if counted else 0,
            "certificates": Certifier.from_json(
                states.load_value(connection, CERTIFIER, default=None)
            ).standing(),
            "estimates": connection.execute(SQL["latest_estimates"]).fetchall(),
            "events": connection.execute(SQL["recent_events"], {"limit": 20}).fetchall(),
        }


@router.get("/v1/advice", **scoped("read"))
def give_advice(parts: Given) -> dict[str, Any]:
    """Which of routing, cascading and cascade routing fits the traffic, and why."""
    with parts.connect() as connection:
        return advice.give(connection, parts.learner, _now()).to_json()


@router.get("/v1/cost/drift", **scoped("read"))
def cost_drift(parts: Given, days: Days = 7.0, before: Days = 7.0) -> dict[str, Any]:
    """What drove the change of spend between the last days and as many or others before them."""
    with parts.connect() as connection:
        return spending.compare(connection, days, before, _now(), READ_S).to_json()


@router.get("/v1/judge/report", **scoped("read"))
def report_judge(parts: Given) -> dict[str, Any]:
    """What labels say of the judge, by segment: rates, ranking, calibration, its gate."""
    with parts.connect() as connection:
        return {"reports": judge_reports.told(connection)}


@router.post("/v1/judge/accept", **scoped("admin"))
def accept_judge(body: AcceptBody, caller: Caller, parts: Given) -> dict[str, Any]:
    """Open the gate of a judge that earned its say, where the policy wants an operator's yes."""
    with parts.connect() as connection:
        return summary(gates.accept(connection, body.segment, _now(), caller.who))


@router.post("/v1/objective", **scoped("admin"))
def set_objective(body: ObjectiveBody, caller: Caller, parts: Given) -> dict[str, Any]:
    """A new objective, published as the operator's proposal; the learner follows it."""
    asked = body.model_dump(exclude_none=True)
    if "wrong_acceptances" in body.model_fields_set:
        asked["wrong_acceptances"] = body.wrong_acceptances
    with parts.connect() as connection:
        try:
            wanted = objective.revised(registry.live(connection).objective, asked)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        policy = objective.pursue(connection, wanted, caller.who, _now())
    return summary(policy)


@router.post("/v1/freeze", **scoped("admin"))
def freeze(body: FreezeBody, caller: Caller, parts: Given) -> dict[str, bool]:
    """Stop the learner from moving the policy, or let it; it goes on learning either way."""
    with parts.connect() as connection:
        operators.freeze(connection, caller.who, frozen=body.frozen, reason=body.reason)
    return {"frozen": body.frozen}


@router.get("/v1/proposal", **scoped("read"))
def read_proposal(parts: Given) -> dict[str, Any]:
    """The proposal that is on its way, or the last one, with its evidence so far."""
    with parts.connect() as connection:
        found = proposals.read(connection)
        return {"proposal": found and proposals.told(connection, found, parts.proposals)}


@router.get("/v1/shadow/funnel", **scoped("read"))
def shadow_funnel(parts: Given) -> dict[str, Any]:
    """What became of the shadows that were drawn in the last day, by tier."""
    with parts.connect() as connection:
        return {"funnel": [asdict(row) for row in shadow.funnel(connection, _now())]}


@router.get("/v1/holdout", **scoped("read"))
def read_holdout(parts: Given) -> dict[str, Any]:
    """What the live policy saves beside the share of conversations that is held out."""
    with parts.connect() as connection:
        found = holdout.measured(connection)
    return {"holdout": found and found.to_json()}


@router.post("/v1/proposal", **scoped("admin"))
def propose_policy(body: ProposalBody, caller: Caller, parts: Given) -> dict[str, Any]:
    """A policy that is to take the live one's place, once pairs of labels show that it may."""
    with parts.connect() as connection:
        document = _proposed(body, registry.live(connection))
        found = operators.propose(connection, document, caller.who, _now())
    return proposals.summary(found)


def _proposed(body: ProposalBody, live: PolicyDocument) -> PolicyDocument:
    if (body.document is None) == (body.mode is None):
        raise HTTPException(400, "propose either a document or a mode")
    if body.mode is not None:
        return operators.in_mode(live, body.mode)
    try:
        return PolicyDocument.from_json(json.dumps(body.document))
    except ValueError as error:
        raise HTTPException(400, f"document: {reason(error)}") from None


@router.post("/v1/proposal/{version}/{stage}", **scoped("admin"))
def move_proposal(
    version: int,
    stage: Literal["live", "refused", "rolled_back"],
    body: ReasonBody,
    caller: Caller,
    parts: Given,
) -> dict[str, Any]:
    """Promote a proposal without waiting for its evidence, refuse it, or roll it back."""
    with parts.connect() as connection:
        said = version, stage, caller.who, body.reason, _now(), parts.proposals
        found = operators.move(connection, *said)
    return proposals.summary(found)


@router.post("/v1/policies/{version}/restore", **scoped("admin"))
def restore_policy(
    version: int, body: ReasonBody, caller: Caller, parts: Given, *, pin: bool = False
) -> dict[str, Any]:
    """Put a stored version in force, alone; pinned, the learner moves nothing from then on."""
    with parts.connect() as connection:
        if registry.missing(connection, [version]):
            raise HTTPException(404, f"policy version {version} is not stored")
        operators.restore(connection, version, caller.who, body.reason, _now(), pin=pin)
    return {"live": version, "pinned": pin}


@router.get("/metrics", response_class=PlainTextResponse, **scoped("read"))
def metrics(parts: Given) -> PlainTextResponse:
    """Counters and gauges, for Prometheus."""
    leads = parts.leader.leads()
    with parts.connect() as connection:
        text = telemetry.exposition(connection, _now(), leads=leads, alerts=parts.alerts)
    return PlainTextResponse(text, media_type=MEDIA_TYPE)


@router.get("/healthz", **scoped(PUBLIC))
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", **scoped(PUBLIC))
def readyz(parts: Given) -> dict[str, str]:
    """The store answers too."""
    try:
        with parts.connect() as connection:
            connection.execute("SELECT FROM learner_state LIMIT 1")
    except psycopg.Error:
        raise HTTPException(503, "the database does not answer") from None
    return {"status": "ready"}


def _now() -> datetime:
    return datetime.now(UTC)


def _shown(task: Task) -> dict[str, Any]:
    return {
        "decision_id": task.decision_id,
        "at": task.at,
        "prompt": task.prompt,
        "answers": [{"key": answer.key, "text": answer.text} for answer in task.answers],
        "leased_until": task.leased_until,
    }
