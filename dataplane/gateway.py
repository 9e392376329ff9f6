"""THE STORY OF A QUERY: admit > features > decide > answer > judge > escalate or reply > record.

What is decided, and when something is tried again, is told here; how a tier is asked is in
`guarded_tier`, what is written down in `trail`, and the choice itself in `strategies`.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from dataplane import errors
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Rival
from dataplane.contract.records import Record, new_decision_id
from dataplane.errors import ApiError
from dataplane.guarded_tier import GuardedTier
from dataplane.judges import JUDGES
from dataplane.query import Query
from dataplane.spool import SpoolError
from dataplane.strategies import JUDGE, REPLY
from dataplane.strategies.base import CALL
from dataplane.telemetry import Telemetry
from dataplane.tiers.base import Answer, Delta, TierError
from dataplane.trail import Eligibility, Keep, Status, Trail

_CLIENT_ERRORS = {400, 404, 413, 415, 422}


class Policies(Protocol):
    """Where the policy in force comes from; never waits."""

    def policy_for(self, conversation: str | None) -> PolicyDocument:
        """The policy that decides for this conversation; without one, name the decision's id."""
        ...

    def rivals_of(self, policy: PolicyDocument) -> Sequence[Rival]:
        """What is compared with it."""
        ...


class Recording(Protocol):
    """Where records go."""

    def record(self, *records: Record) -> bool:
        """Keep these together; whether they are kept. Raises ``SpoolError`` to refuse queries."""
        ...

    async def durable(self) -> None:
        """Return when what was recorded is as safe as the configuration promises."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of a query that was answered; `streamed` if its deltas have been passed on."""

    tier: str
    answer: Answer
    cost_usd: float
    streamed: bool


class Gateway:
    """Answers queries from its tiers as the policy in force decides; shared by all requests."""

    def __init__(
        self,
        tiers: Mapping[str, GuardedTier],
        policies: Policies,
        recording: Recording,
        telemetry: Telemetry,
        *,
        keep: Keep = "sampled",
        timeout_s: float = 120.0,
    ) -> None:
        self.tiers = tiers
        self._policies = policies
        self._recording = recording
        self._telemetry = telemetry
        self._keep: Keep = keep
        self._timeout_s = timeout_s

    def admit(self, query: Query) -> Trail:
        """Take a query in: policy, features, eligibility. Raises ``ApiError`` (404, 503)."""
        decision_id = new_decision_id()
        policy = self._policies.policy_for(query.conversation or str(decision_id))
        eligibility = self._eligibility(query, policy)
        rivals = self._policies.rivals_of(policy)
        trail = Trail(decision_id, query, policy, eligibility, self._timeout_s, rivals)
        if not trail.tiers_left:
            raise self._none_left(query)
        return trail

    async def serve(self, trail: Trail) -> AsyncGenerator[Delta | Reply, None]:
        """The whole course of a query; deltas where nothing may replace them, then the reply.

        Raises ``ApiError`` if no tier answers. Close it (`aclosing`) to give the query up.
        """
        try:
            while (action := self._decide(trail)) != REPLY:
                if action == JUDGE:
                    self._judge(trail)
                    continue
                async with aclosing(self._answer(trail, action.removeprefix(CALL))) as deltas:
                    async for delta in deltas:
                        trail.sent = True
                        with trail.waiting():
                            yield delta
            self._complete(trail, "ok")
            if not trail.sent:
                await self._durable(trail)
        except (asyncio.CancelledError, GeneratorExit):
            self._complete(trail, "aborted", "the client went away")
            raise
        except Exception as error:
            self._complete(trail, "aborted" if trail.sent else "error", _in_words(error))
            raise
        yield self._reply(trail)

    def _eligibility(self, query: Query, policy: PolicyDocument) -> Eligibility:
        """Which tiers may answer, whether a judge is at hand, and why not what else there is."""
        if query.pinned is not None and query.pinned not in self.tiers:
            message = f"The model `{query.pinned}` does not exist"
            raise ApiError(404, message, param="model", code="model_not_found")
        names = [tier.name for tier in policy.tiers]
        reasons = {name: self._reason(name, query) for name in names}
        reasons[JUDGE] = self._no_judge(policy)
        return Eligibility(
            eligible=tuple(name for name, reason in reasons.items() if reason is None),
            excluded={name: reason for name, reason in reasons.items() if reason is not None},
        )

    def _reason(self, name: str, query: Query) -> str | None:
        if query.pinned not in (None, name):
            return "pinned by the request"
        tier = self.tiers.get(name)
        if tier is None:
            return "not configured here"
        return tier.tier.lacks(query.body) or tier.unavailable

    def _none_left(self, query: Query) -> ApiError:
        """Why a query cannot be admitted: a pinned tier cannot do it, or none is well."""
        missing = query.pinned and self.tiers[query.pinned].tier.lacks(query.body)
        if missing:
            said = f"{query.pinned} has {missing}: leave it out, or let the policy choose"
            return errors.invalid(said, "model", "unsupported_parameter")
        return errors.unavailable("no tier can answer now", "no_tier_available")

    def _no_judge(self, policy: PolicyDocument) -> str | None:
        if policy.judge.judge not in JUDGES:
            return f"no judge {policy.judge.judge} here"
        local = self.tiers.get(policy.local.name)
        if local is None or not local.gives_logprobs:
            return f"{policy.local.name} gives no log-probabilities"
        return None

    def _decide(self, trail: Trail) -> str:
        """The next action, by the policy; without a tier to ask or an answer to give, the end."""
        if not trail.answers and not trail.tiers_left:
            raise _unanswered(trail)
        return trail.choose()

    async def _answer(self, trail: Trail, tier: str) -> AsyncGenerator[Delta, None]:
        """Ask a tier. What nothing will judge is passed on as it comes; after a failure: anew."""
        streamed = trail.query.stream and trail.after(tier) == REPLY
        self._recording.record(*trail.take())
        if streamed:
            await self._durable(trail)
        try:
            async with aclosing(self.tiers[tier].ask(trail, streamed=streamed)) as deltas:
                async for delta in deltas:
                    yield delta
        except TierError as error:
            if trail.sent:
                raise errors.upstream_failed("the answer broke off") from error
            self._telemetry.fallback(tier)

    def _judge(self, trail: Trail) -> None:
        """Score the local answer. An answer that cannot be scored leaves the state as it was."""
        logprobs = trail.answers[trail.policy.local.name].logprobs
        if logprobs is not None:
            trail.judged(JUDGES[trail.policy.judge.judge](logprobs))

    def _complete(self, trail: Trail, status: Status, error: str | None = None) -> None:
        """Record the end, with the draws that fell, in one piece."""
        if trail.completion is not None:
            return
        trail.complete(status, self._keep, error)
        self._telemetry.completed(trail)
        try:
            self._recording.record(*trail.take())
        except SpoolError:  # counted there; it must not hide why the query ended
            if status == "ok" and not trail.sent:
                raise

    async def _durable(self, trail: Trail) -> None:
        """Before the first byte of an answer leaves, its decision and steps are safe."""
        with trail.waiting():
            await self._recording.durable()

    def _reply(self, trail: Trail) -> Reply:
        tier = trail.final_tier
        assert tier is not None
        return Reply(tier, trail.answers[tier], trail.cost_usd, streamed=trail.sent)


def _unanswered(trail: Trail) -> ApiError:
    """Every tier failed: whose fault it was, as far as one can tell."""
    last = trail.errors[-1]
    if last.status in _CLIENT_ERRORS:
        return errors.invalid("the model refused the request", code=last.code)
    if last.kind == "timeout":
        return errors.timed_out()
    if last.kind == "overloaded" or last.status == 429:
        return errors.unavailable("every tier is overloaded", "overloaded", last.retry_after_s or 1)
    return errors.upstream_failed("no tier gave an answer")


def _in_words(error: Exception) -> str:
    return error.message if isinstance(error, ApiError) else type(error).__name__
