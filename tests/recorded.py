"""What a query leaves in the spool, frame by frame as the gateway appends it."""

from dataplane.contract.records import (
    Attempt,
    Completion,
    Decision,
    Draw,
    JudgeScore,
    Record,
    Step,
    StepState,
    Text,
    millisecond,
    new_decision_id,
)


def admission() -> tuple[Decision, Step]:
    """The frame of an admitted query; what it holds is what Postgres and COPY find hard."""
    decision_id = new_decision_id()
    decision = Decision(
        id=decision_id,
        at=millisecond(decision_id),
        tenant="a\ttenant\\n",
        request_id='"r"\n\\.',
        policy_version=1,
        feature_version=1,
        features={"chars": 12, "buckets": [1, 2, 3], "weight": 0.1 + 0.2},
        segment="default",
        eligible=("local", 'cl"o,u}d'),
        excluded={"other": "over\\budget"},
        seed=(1 << 63) - 1,
    )
    step = Step(
        decision_id=decision.id,
        at=decision.at,
        index=0,
        state=StepState(),
        pmf={"call:local": 1.0},
        action="call:local",
        propensity=1.0,
        threshold=-1e-300,
        values={"call:local": 0.1},
    )
    return decision, step


def attempt(of: Decision) -> tuple[Attempt, JudgeScore]:
    """The frame of an answered and judged call."""
    called = Attempt(
        decision_id=of.id,
        at=of.at,
        index=0,
        tier="local",
        model="tiny",
        purpose="serve",
        prompt_tokens=20,
        completion_tokens=4,
        tokens_exact=True,
        cost_usd=1.1e-6,
        latency_ms=17.3,
        finish="stop",
    )
    score = JudgeScore(
        decision_id=of.id,
        at=of.at,
        index=0,
        purpose="serve",
        judge="logprob",
        tier="local",
        raw=-0.1,
        bin=7,
        calibrated=0.9,
    )
    return called, score


def completion(of: Decision) -> tuple[Completion, Draw, Text]:
    """The frame of a query's end, drawn for an audit."""
    end = Completion(
        decision_id=of.id,
        at=of.at,
        final_tier="local",
        escalated=False,
        cost_usd=1.1e-6,
        latency_ms=18.0,
        overhead_ms=0.7,
        status="ok",
    )
    draw = Draw(decision_id=of.id, at=of.at, kind="audit", probability=0.1)
    text = Text(decision_id=of.id, at=of.at, key="prompt", body='[{"role": "user"}]\\\n\t')
    return end, draw, text


def query() -> list[tuple[Record, ...]]:
    """All frames of one query: seven records."""
    admitted = admission()
    return [admitted, attempt(admitted[0]), completion(admitted[0])]
