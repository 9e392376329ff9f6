import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import orjson
import pytest

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Rival
from dataplane.contract.records import (
    Attempt,
    Completion,
    Decision,
    Draw,
    JudgeScore,
    Record,
    Step,
    Text,
)
from dataplane.contract.terms import AuditTerms, Mode, SegmentDraws, ShadowTerms
from dataplane.errors import ApiError
from dataplane.features import Features, extract
from dataplane.gateway import Gateway, Reply
from dataplane.guarded_tier import GuardedTier
from dataplane.query import Query, read
from dataplane.strategies import probability
from dataplane.telemetry import Telemetry
from dataplane.tiers.base import Delta, TierError, TierHealth
from dataplane.tiers.fake import FakeTier
from dataplane.trail import Keep, Trail
from tests.policies import DOUBTFUL, SURE, FixedPolicies, KeptRecords, policy
from tests.replays import replayed
from tests.unit.dataplane.policies import pool


class House:
    """A gateway on fakes, and what it wrote down."""

    def __init__(
        self,
        document: PolicyDocument,
        *,
        local: FakeTier | None = None,
        cloud: FakeTier | None = None,
        between: Sequence[FakeTier] = (),
        keep: Keep = "sampled",
        timeout_s: float = 5.0,
        rivals: Sequence[Rival] = (),
    ) -> None:
        self.local = local or FakeTier("local", ["from local"], logprob=SURE)
        self.cloud = cloud or FakeTier("cloud", ["from cloud"], logprob=None)
        self.kept = KeptRecords()
        self.telemetry = Telemetry()
        self.tiers = (self.local, *between, self.cloud)
        guarded = {t.name: GuardedTier(t, timeout_s) for t in self.tiers}
        self.gateway = Gateway(
            guarded,
            FixedPolicies(document, rivals),
            self.kept,
            self.telemetry,
            keep=keep,
            timeout_s=timeout_s,
        )

    async def ask(self, query: Query | None = None) -> tuple[Trail, list[Delta], Reply]:
        for tier in self.tiers:
            await tier.start()
        trail = self.gateway.admit(query or question())
        deltas: list[Delta] = []
        async with aclosing(self.gateway.serve(trail)) as parts:
            async for part in parts:
                if isinstance(part, Reply):
                    return trail, deltas, part
                deltas.append(part)
        raise AssertionError("no reply")

    def actions(self) -> list[str]:
        return [step.action for step in self.kept.of(Step)]

    def completion(self) -> Completion:
        (completion,) = self.kept.of(Completion)
        return completion

    def cost_usd(self) -> float:
        return math.fsum(attempt.cost_usd for attempt in self.kept.of(Attempt))


def question(text: str = "12 + 30 =", **fields: Any) -> Query:
    body = {"model": "penstock", "messages": [{"role": "user", "content": text}], **fields}
    return read(orjson.dumps(body), tenant="t", request_id="r", conversation=None, max_tokens=4096)


def ask(house: House, **fields: Any) -> tuple[Trail, list[Delta], Reply]:
    return asyncio.run(house.ask(question(**fields)))


def refusal(house: House, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        ask(house, **fields)
    return caught.value


def error(kind: Any = "status", status: int | None = 500, **fields: Any) -> TierError:
    return TierError(kind, "it failed", status=status, **fields)


def test_a_confident_local_answer_is_judged_and_kept() -> None:
    house = House(policy("cascade"))
    trail, _, reply = ask(house)
    assert (reply.tier, reply.answer.text) == ("local", "from local")
    assert house.actions() == ["call:local", "judge", "reply"]
    (score,) = house.kept.of(JudgeScore)
    assert score.raw == pytest.approx(SURE)
    assert score.bin == 3
    assert score.calibrated > 0.8
    assert not house.completion().escalated
    assert house.completion().final_tier == "local"
    assert trail.cost_usd == house.completion().cost_usd


def test_a_doubtful_local_answer_escalates_and_both_calls_are_charged() -> None:
    house = House(policy("cascade"), local=FakeTier("local", ["?"], logprob=DOUBTFUL))
    _, _, reply = ask(house)
    assert reply.tier == "cloud"
    assert house.actions() == ["call:local", "judge", "call:cloud", "reply"]
    local, cloud = house.kept.of(Attempt)
    assert local.cost_usd == pytest.approx((1 * 0.02 + 1 * 0.04) / 1e6)
    assert cloud.cost_usd == pytest.approx((1 * 2.5 + len("from cloud") * 10) / 1e6)
    assert reply.cost_usd == house.completion().cost_usd == local.cost_usd + cloud.cost_usd
    assert house.completion().escalated


@pytest.mark.parametrize(("mode", "tier"), [("always_local", "local"), ("always_cloud", "cloud")])
def test_the_ends_of_the_curve_ask_one_tier(mode: Any, tier: str) -> None:
    house = House(policy(mode))
    _, _, reply = ask(house)
    assert reply.tier == tier
    assert house.actions() == [f"call:{tier}", "reply"]


def test_decision_and_first_step_are_recorded_before_a_tier_is_called() -> None:
    house = House(policy("cascade"))
    seen: list[list[type[Record]]] = []

    class Watching(FakeTier):
        async def complete(self, request: Mapping[str, Any], deadline: float) -> Any:
            seen.append([type(record) for frame in house.kept.frames for record in frame])
            return await super().complete(request, deadline)

    house.gateway.tiers = {
        **house.gateway.tiers,
        "local": GuardedTier(Watching("local", logprob=SURE), 5.0),
    }
    ask(house)
    assert seen == [[Decision, Step]]


def test_completion_and_its_draws_are_one_frame() -> None:
    document = policy(audit=AuditTerms(rate=1.0), shadow=ShadowTerms(rate=1.0))
    house = House(document)
    ask(house)
    last = house.kept.frames[-1]
    assert [type(record) for record in last[-6:]] == [Completion, Draw, Draw, Text, Text, Text]
    audit, shadow = house.kept.of(Draw)
    assert (audit.kind, audit.tier, audit.probability) == ("audit", None, 1.0)
    assert (shadow.kind, shadow.tier, shadow.probability) == ("shadow", "cloud", 1.0)
    texts = {text.key: text.body for text in house.kept.of(Text)}
    assert texts["answer:local"] == "from local"
    assert orjson.loads(texts["prompt"]) == [{"role": "user", "content": "12 + 30 ="}]
    assert orjson.loads(texts["options"]) == {}


def test_while_the_judge_is_on_trial_it_is_asked_where_a_shadow_fell_and_decides_nothing() -> None:
    audit, shadow = AuditTerms(rate=1.0), ShadowTerms(rate=1.0)
    trusted = policy("always_local", audit=audit, shadow=shadow)
    on_trial = trusted.segments[0].replaced(trust="closed")
    house = House(trusted.replaced(segments=(on_trial,)))
    asyncio.run(house.ask())
    assert house.actions() == ["call:local", "reply"]
    (score,) = house.kept.of(JudgeScore)
    assert (score.purpose, score.raw) == ("shadow", SURE)
    for document in (
        trusted,
        policy("always_local").replaced(segments=(on_trial,)),
    ):
        house = House(document)
        asyncio.run(house.ask())
        assert house.kept.of(JudgeScore) == []


@pytest.mark.parametrize(
    ("rival", "drawn", "judged"),
    [("always_cloud", 2, True), ("cascade", 2, True), ("always_local", 0, False)],
)
def test_a_rival_has_drawn_what_it_might_serve_otherwise(
    rival: Mode, drawn: int, judged: bool
) -> None:
    """A cascade's choice hinges on the score of the local answer: it is judged unseen."""
    quiet: dict[str, Any] = {"audit": AuditTerms(rate=0.0), "shadow": ShadowTerms(rate=0.0)}
    house = House(policy("always_local", **quiet), rivals=[Rival(policy(rival, version=2), 1.0)])
    asyncio.run(house.ask())
    assert house.actions() == ["call:local", "reply"]
    draws = house.kept.of(Draw)
    assert [(one.kind, one.tier, one.probability) for one in draws] == [
        ("audit", None, 1.0), ("shadow", "cloud", 1.0)
    ][:drawn]  # fmt: skip
    assert len(house.kept.of(JudgeScore)) == judged
    assert {score.purpose for score in house.kept.of(JudgeScore)} <= {"shadow"}


def test_a_rival_is_not_compared_where_not_all_could_have_answered() -> None:
    quiet: dict[str, Any] = {"audit": AuditTerms(rate=0.0), "shadow": ShadowTerms(rate=0.0)}
    rivals = [Rival(policy("always_local", version=2), 1.0)]
    failing = FakeTier("local", [error()], logprob=SURE)
    for house, asked in (
        (House(policy("always_local", **quiet), rivals=rivals, local=failing), question()),
        (House(policy("always_cloud", **quiet), rivals=rivals), question(model="cloud")),
    ):
        asyncio.run(house.ask(asked))
        assert house.completion().final_tier == "cloud"
        assert house.kept.of(Draw) == []


@pytest.mark.parametrize("logprob", [SURE, DOUBTFUL])
def test_an_adaptive_draws_chance_follows_from_what_else_was_recorded(logprob: float) -> None:
    draws = SegmentDraws(uniform=0.9, slope=0.1)
    document = policy("cascade_route", audit=AuditTerms(rate=0.95, segments=(draws,)))
    house = House(document, local=FakeTier("local", logprob=logprob))
    while not house.kept.of(Draw):
        ask(house)
    decision, score = house.kept.of(Decision)[-1], house.kept.of(JudgeScore)[-1]
    features = Features.from_compact(decision.features)
    (drawn,) = house.kept.of(Draw)
    assert 0.9 < drawn.probability == probability(document, draws, features, score.raw)


def test_a_shadow_can_be_asked_as_the_client_asked() -> None:
    house = House(policy(audit=AuditTerms(rate=1.0)))
    ask(house, temperature=0, max_tokens=48, user="someone", metadata={"conversation": "c"})
    (options,) = (text.body for text in house.kept.of(Text) if text.key == "options")
    assert orjson.loads(options) == {"temperature": 0, "max_tokens": 48}


@pytest.mark.parametrize(
    ("keep", "rate", "draws", "texts"),
    [("none", 1.0, 0, 0), ("sampled", 0.0, 0, 0), ("all", 0.0, 0, 3), ("all", 1.0, 1, 3)],
)
def test_text_is_kept_as_configured(keep: Keep, rate: float, draws: int, texts: int) -> None:
    house = House(policy(audit=AuditTerms(rate=rate)), keep=keep)
    ask(house)
    assert len(house.kept.of(Draw)) == draws
    assert len(house.kept.of(Text)) == texts


def test_a_tier_that_cannot_do_it_is_not_asked_and_not_shadowed() -> None:
    document = policy(shadow=ShadowTerms(rate=1.0), audit=AuditTerms(rate=1.0))
    house = House(document, local=FakeTier("local", logprob=SURE, lacks="no tool calls"))
    _, _, reply = ask(house)
    assert reply.tier == "cloud"
    assert house.local.requests == []
    (decision,) = house.kept.of(Decision)
    assert decision.eligible == ("cloud", "judge")
    assert decision.excluded == {"local": "no tool calls"}
    assert [draw.kind for draw in house.kept.of(Draw)] == ["audit"]


def test_a_pinned_tier_that_cannot_do_it_says_what_it_lacks() -> None:
    house = House(policy(), local=FakeTier("local", logprob=SURE, lacks="no tool calls"))
    said = refusal(house, model="local")
    assert (said.status, said.code) == (400, "unsupported_parameter")
    assert said.message == "local has no tool calls: leave it out, or let the policy choose"


def test_a_pinned_query_asks_its_tier_only_and_is_never_shadowed() -> None:
    house = House(policy(shadow=ShadowTerms(rate=1.0), audit=AuditTerms(rate=1.0)))
    _, _, reply = ask(house, model="local")
    assert reply.tier == "local"
    (decision,) = house.kept.of(Decision)
    assert decision.eligible == ("local", "judge")
    assert decision.excluded == {"cloud": "pinned by the request"}
    assert [draw.kind for draw in house.kept.of(Draw)] == ["audit"]


def test_an_unknown_model_is_not_found() -> None:
    refused = refusal(House(policy()), model="gpt-17")
    assert (refused.status, refused.code, refused.param) == (404, "model_not_found", "model")


def test_a_failing_tier_is_retried_once_and_then_replaced() -> None:
    house = House(policy("always_local"), local=FakeTier("local", [error()], logprob=SURE))
    _, _, reply = ask(house)
    assert reply.tier == "cloud"
    assert house.actions() == ["call:local", "call:cloud", "reply"]
    assert [(a.tier, a.index, a.finish) for a in house.kept.of(Attempt)] == [
        ("local", 0, "error"),
        ("local", 1, "error"),
        ("cloud", 2, "stop"),
    ]
    assert not house.completion().escalated


def test_a_refused_request_is_not_tried_again_on_the_same_tier() -> None:
    house = House(policy("always_local"), local=FakeTier("local", [error(status=400)]))
    ask(house)
    assert len(house.local.requests) == 1


def test_a_tier_that_asks_for_a_long_pause_is_not_waited_for() -> None:
    busy = error("overloaded", 429, retry_after_s=60.0)
    house = House(policy("always_cloud"), cloud=FakeTier("cloud", [busy]))
    _, _, reply = ask(house)
    assert (reply.tier, len(house.cloud.requests)) == ("local", 1)


def test_when_the_dearer_tier_fails_the_doubtful_answer_is_better_than_none() -> None:
    house = House(
        policy("cascade"),
        local=FakeTier("local", ["a guess"], logprob=DOUBTFUL),
        cloud=FakeTier("cloud", [error("connect", None)]),
    )
    _, _, reply = ask(house)
    assert reply.answer.text == "a guess"
    assert house.actions() == ["call:local", "judge", "call:cloud", "reply"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (error("timeout", None), 504),
        (error("connect", None), 502),
        (error("overloaded", 429, retry_after_s=7.0), 503),
        (error("status", 400), 400),
        (error("status", 401), 502),
    ],
)
def test_when_no_tier_answers_the_client_is_told_whose_fault_it_was(
    failure: TierError, status: int
) -> None:
    house = House(policy(), local=FakeTier("local", [failure]), cloud=FakeTier("cloud", [failure]))
    refused = refusal(house)
    assert refused.status == status
    assert house.completion().status == "error"
    assert house.completion().final_tier is None
    if status == 503:
        assert refused.headers == {"retry-after": "7"}


def test_when_a_dear_tier_fails_the_next_best_answers_and_all_steps_replay() -> None:
    document = pool(3, segment={"mode": "cascade", "lambda_": 0.1})
    house = House(
        document,
        local=FakeTier("local", ["from local"], logprob=DOUBTFUL),
        between=[FakeTier("dear1", [error("connect", None)])],
    )
    _, _, reply = ask(house)
    assert house.actions() == ["call:local", "judge", "call:dear1", "call:cloud", "reply"]
    assert reply.tier == "cloud"
    (decision,), steps = house.kept.of(Decision), house.kept.of(Step)
    assert replayed(document, decision, steps) == steps


def test_retries_are_at_most_a_fifth_of_the_requests_and_three() -> None:
    house = House(
        policy("always_cloud"), cloud=FakeTier("cloud", [error(), "ok"] * 200, logprob=None)
    )

    async def many() -> None:
        for _ in range(100):
            await house.ask()

    asyncio.run(many())
    assert len(house.cloud.requests) <= 1.2 * 100 + 3


def test_an_answer_without_logprobs_is_not_judged_and_the_judge_is_out() -> None:
    house = House(policy("cascade"), local=FakeTier("local", ["silent"], logprob=None))
    ask(house)
    ask(house)
    first, second = house.kept.of(Decision)
    assert "judge" in first.eligible
    assert second.excluded == {"judge": "local gives no log-probabilities"}
    assert house.actions() == ["call:local", "judge", "reply", "call:local", "reply"]


class Down(FakeTier):
    def health(self) -> TierHealth:
        return TierHealth(up=False, detail="restarting")


def test_a_tier_that_is_down_is_asked_once_and_then_rests() -> None:
    house = House(policy("always_local"), local=Down("local", [error("connect", None)]))
    ask(house)
    ask(house)
    assert len(house.local.requests) == 1
    assert house.kept.of(Decision)[1].excluded["local"] == "down: restarting"


def test_with_every_tier_resting_a_query_is_not_admitted() -> None:
    gone = [error("connect", None)]
    house = House(policy(), local=Down("local", gone), cloud=Down("cloud", gone))
    refusal(house)
    assert refusal(house).status == 503
    assert len(house.kept.of(Decision)) == 1


def test_a_final_call_is_passed_through_and_a_judged_one_is_not() -> None:
    passed, buffered = House(policy("always_cloud")), House(policy("cascade"))
    _, deltas, reply = ask(passed, stream=True)
    assert len(deltas) == len("from cloud") + 1
    assert reply.streamed
    _, deltas, reply = ask(buffered, stream=True)
    assert (deltas, reply.streamed) == ([], False)


def test_the_escalated_call_of_a_stream_is_passed_through() -> None:
    house = House(policy("cascade"), local=FakeTier("local", ["?"], logprob=DOUBTFUL))
    _, deltas, reply = ask(house, stream=True)
    assert (len(deltas), reply.tier, reply.streamed) == (len("from cloud") + 1, "cloud", True)


class Breaking(FakeTier):
    async def stream(self, request: Mapping[str, Any], deadline: float) -> Any:
        yield self._delta({"content": "half an"})
        raise error("broken", None)


def test_an_answer_that_breaks_off_is_aborted_and_never_replaced() -> None:
    house = House(policy("always_cloud"), cloud=Breaking("cloud"))
    refused = refusal(house, stream=True)
    assert refused.status == 502
    assert house.completion().status == "aborted"
    assert house.local.requests == []
    assert house.kept.of(Draw) == []


class Waiting(FakeTier):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.asked = asyncio.Event()

    async def _wait(self, timeout_s: float) -> None:
        self.asked.set()
        await super()._wait(timeout_s)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_the_call_and_pays_for_it(stream: bool) -> None:
    async def leave() -> House:
        cloud = Waiting("cloud", gate=asyncio.Event())
        house = House(policy("always_cloud", audit=AuditTerms(rate=1.0)), cloud=cloud)
        asking = asyncio.create_task(house.ask(question(stream=stream)))
        await cloud.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return house

    house = asyncio.run(leave())
    (attempt,) = house.kept.of(Attempt)
    assert (house.cloud.cancelled, attempt.finish, attempt.tokens_exact) == (1, "aborted", False)
    assert house.completion().status == "aborted"
    assert house.completion().cost_usd == attempt.cost_usd > 0
    assert house.kept.of(Draw) == []


def test_a_client_that_leaves_midstream_pays_for_what_was_said() -> None:
    async def leave() -> House:
        house = House(policy("always_cloud"))
        async with aclosing(
            house.gateway.serve(house.gateway.admit(question(stream=True)))
        ) as parts:
            for _ in range(4):
                await anext(parts)
        return house

    house = asyncio.run(leave())
    (attempt,) = house.kept.of(Attempt)
    assert (attempt.finish, attempt.completion_tokens) == ("aborted", 1)
    assert house.completion().status == "aborted"


def test_time_spent_waiting_is_not_overhead() -> None:
    class Slow(FakeTier):
        async def complete(self, request: Mapping[str, Any], deadline: float) -> Any:
            await asyncio.sleep(0.1)
            return await super().complete(request, deadline)

    house = House(policy("always_cloud"), cloud=Slow("cloud"))
    ask(house)
    completion = house.completion()
    assert completion.latency_ms >= 100
    assert completion.overhead_ms < 50


@pytest.mark.parametrize("mode", ["route", "cascade", "cascade_route", "always_cloud"])
def test_every_step_replays_bit_for_bit_from_what_was_logged(mode: Any) -> None:
    document = policy(mode, lambda_=0.15)
    local = FakeTier("local", ["a", error(), "b", error(status=400)] * 30, logprob=-0.9)
    cloud = FakeTier("cloud", ["c", error("timeout", None), "d"] * 40)
    house = House(document, local=local, cloud=cloud)

    async def many() -> None:
        for number in range(60):
            with suppress(ApiError):
                await house.ask(question(f"{number} + {number * 7} = ?" * (1 + number % 5)))

    asyncio.run(many())
    steps = house.kept.of(Step)
    assert len(steps) >= 120
    for decision in house.kept.of(Decision):
        mine = [step for step in steps if step.decision_id == decision.id]
        assert replayed(document, decision, mine) == mine


def test_features_are_those_of_the_messages() -> None:
    house = House(policy())
    ask(house)
    (decision,) = house.kept.of(Decision)
    assert Features.from_compact(decision.features) == extract(question().messages)


def test_a_category_that_the_client_names_is_a_feature() -> None:
    house = House(policy())
    ask(house, metadata={"category": "sums"})
    (decision,) = house.kept.of(Decision)
    assert Features.from_compact(decision.features) == extract(question().messages, "sums")


def test_what_happened_is_counted() -> None:
    house = House(policy("cascade"), local=FakeTier("local", ["?"], logprob=DOUBTFUL))
    ask(house)
    shown = house.telemetry.exposition()
    assert 'penstock_requests_total{status="ok",tier="cloud"} 1' in shown
    assert 'penstock_decisions_total{action="call:cloud"} 1' in shown
    assert "penstock_escalations_total 1" in shown
    assert "penstock_overhead_seconds_count 1" in shown
