"""What changes from one policy to another, in words."""

from collections.abc import Iterator

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy

NUMBERS = {
    "routing_threshold": "routing threshold",
    "judge_cutoff": "judge cutoff",
    "lambda_": "lambda",
}
WHOLE = {
    "objective": "objective",
    "tiers": "tiers or their prices",
    "estimators": "estimators of p_hat",
    "judge": "what the judge's scores say",
    "audit": "audits",
    "shadow": "shadows",
    "cost_unit_usd": "unit of cost",
    "step_limits": "step limits",
    "trust": "terms of trust",
}


def differences(before: PolicyDocument, after: PolicyDocument) -> list[str]:
    """A line a difference, those of segments first; empty where both decide alike.

    Who wrote them, when, and why is no difference.
    """
    return [*_of_segments(before, after), *_of_the_whole(before, after)]


def _of_segments(before: PolicyDocument, after: PolicyDocument) -> Iterator[str]:
    known = {each.name: each for each in before.segments}
    for segment in after.segments:
        was = known.pop(segment.name, None)
        if was is None:
            yield f"segment {segment.name}: new, {segment.mode}"
        else:
            yield from (f"segment {segment.name}: {said}" for said in _of_segment(was, segment))
    yield from (f"segment {name}: gone" for name in known)


def _of_segment(was: SegmentPolicy, now: SegmentPolicy) -> Iterator[str]:
    if was.mode != now.mode:
        yield f"{was.mode} -> {now.mode}"
    if was.trust != now.trust:
        yield f"trust {was.trust} -> {now.trust}"
    for field, name in NUMBERS.items():
        old, new = getattr(was, field), getattr(now, field)
        if old != new:
            yield f"{name} {old:.4g} -> {new:.4g}"
    if was.certificate != now.certificate:
        yield f"certified cutoff {_held(was)} -> {_held(now)}"
    rest = set(SegmentPolicy.model_fields) - {*NUMBERS, "mode", "trust", "certificate", "name"}
    if any(getattr(was, field) != getattr(now, field) for field in rest):
        yield "calibration and what dear tiers mend and spoil, refitted"


def _held(segment: SegmentPolicy) -> str:
    return f"{segment.certificate.score:.4g}" if segment.certificate else "none"


def _of_the_whole(before: PolicyDocument, after: PolicyDocument) -> Iterator[str]:
    for field, name in WHOLE.items():
        old, new = getattr(before, field), getattr(after, field)
        if old == new:
            continue
        rates = [getattr(each, "rate", None) for each in (old, new)]
        if None not in rates and rates[0] != rates[1]:
            yield f"{name}: {rates[0]:.1%} -> {rates[1]:.1%}"
        else:
            yield f"{name}: others"
