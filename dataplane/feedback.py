"""What a client says of an answer: feedback that nobody has to trust, or an application's word.

Which of them it is depends on the route, and so on the key's scope. An application's word is ground
truth where the query was drawn, and enters nothing where it was not: that is the control plane's
to know.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import UUID7, BaseModel, BeforeValidator, ConfigDict, Field

from dataplane.contract.records import Outcome, Source, millisecond, outcome_id
from dataplane.errors import invalid

AHEAD = timedelta(minutes=5)  # of our clock: another plane's may be that far off
SERVED = "served"  # the answer that the client got, whichever tier's it was
APPLICATION = "application:"  # before the id of the key by which an application tells of itself


def _bare(value: Any) -> Any:
    """The decision's id, also where it comes as the completion's."""
    return value.removeprefix("chatcmpl-") if isinstance(value, str) else value


class Feedback(BaseModel):
    """A vote on one answer of one decision; saying it again changes nothing."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    decision_id: Annotated[UUID7, BeforeValidator(_bare)]
    key: Annotated[str, Field(min_length=1, max_length=100)] = SERVED
    value: Annotated[float, Field(ge=0, le=1)]


def outcome(feedback: Feedback, key_id: str, now: datetime | None = None) -> Outcome:
    """The record of a vote: one per decision, answer and API key, so more keys, not more calls.

    Raises ``ApiError`` 400 where the decision's id lies in the future.
    """
    return _outcome(feedback, "feedback", key_id, now)


def truth(told: Feedback, key_id: str, now: datetime | None = None) -> Outcome:
    """The record of what an application knows to have come of an answer; as ``outcome``."""
    return _outcome(told, "ground_truth", APPLICATION + key_id, now)


def _outcome(feedback: Feedback, source: Source, labeller: str, now: datetime | None) -> Outcome:
    now = now or datetime.now(UTC)
    decision_id = UUID(int=feedback.decision_id.int)
    at = millisecond(decision_id)
    if at > now + AHEAD:
        raise invalid("no such decision: its id lies in the future", "decision_id")
    return Outcome(
        id=outcome_id(decision_id, feedback.key, source, labeller),
        decision_id=decision_id,
        at=at,
        key=feedback.key,
        source=source,
        value=feedback.value,
        labeller=labeller,
        observed_at=now,
    )
