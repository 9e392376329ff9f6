"""What the API's routes are sent: closed bodies, checked before anything is done."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from dataplane.contract.terms import Accepts, Mode, WrongAcceptances

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Body(BaseModel):
    """A request's body: closed, without NaN or infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class LeaseBody(Body):
    """Ask for label tasks."""

    limit: Annotated[int, Field(ge=1, le=100)] = 1
    labeller: Name
    skipped: Annotated[list[UUID], Field(max_length=1000)] = []  # decisions not wanted again


class ReturnBody(Body):
    """A leased query that its labeller passes over."""

    decision_id: UUID
    at: AwareDatetime
    labeller: Name


class VerdictBody(Body):
    """One grade; null is unsure."""

    key: Annotated[str, Field(min_length=1, max_length=1)]
    value: Annotated[float, Field(ge=0, le=1)] | None


class LabelBody(Body):
    """The grades of one leased query."""

    decision_id: UUID
    at: AwareDatetime
    labeller: Name
    verdicts: Annotated[list[VerdictBody], Field(max_length=26)]


class ObjectiveBody(Body):
    """What to reach from now on, a target or a ceiling; what is not said stays."""

    target_quality: Annotated[float, Field(ge=0, le=1)] | None = None
    reference: Literal["ground_truth", "always_cloud"] | None = None
    tolerance: Annotated[float, Field(ge=0, le=1)] | None = None
    ceiling_usd_per_query: Annotated[float, Field(gt=0)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    latency_usd_per_s: Annotated[float, Field(ge=0)] | None = None
    accepts: Accepts | None = None
    wrong_acceptances: WrongAcceptances | None = None  # null, said: no longer asked for


class AcceptBody(Body):
    """The segment in which the judge may decide from now on."""

    segment: Name = "default"


class ProposalBody(Body):
    """A policy to take the live one's place: a whole document, or the live one in another mode."""

    document: dict[str, Any] | None = None
    mode: Mode | None = None


class ReasonBody(Body):
    """Why, in words that are kept."""

    reason: Reason


class FreezeBody(Body):
    """Whether the learner may move the policy, and why."""

    frozen: bool
    reason: Reason | None = None
