"""What changes from one policy to another, in words."""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy, TierTerms

NUMBERS = {
    "routing_threshold": "routing threshold",
    "judge_cutoff": "judge cutoff",
    "lambda_": "lambda",
}
WHOLE = {
    "objective": "objective",
    "estimators": "estimators of p_hat",
    "judge": "what the judge's scores say",
    "audit": "audits",
    "shadow": "shadows",
    "cost_unit_usd": "unit of cost",
    "step_limits": "step limits",
    "trust": "terms of trust",
}
REFITTED = "refitted"
PLAIN = float | int | str | None


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
        if old != new:
            yield f"{name}: {_changed(old, new)}"
    yield from _of_tiers(before.tiers, after.tiers)


def _of_tiers(before: Sequence[TierTerms], after: Sequence[TierTerms]) -> Iterator[str]:
    known = {each.name: each for each in before}
    for tier in after:
        was = known.pop(tier.name, None)
        if was is None:
            yield f"tier {tier.name}: new"
        elif was != tier:
            yield f"tier {tier.name}: {_of_tier(was, tier)}"
    yield from (f"tier {name}: gone" for name in known)


def _of_tier(was: TierTerms, now: TierTerms) -> str:
    factors = {"cost_factor": now.cost_factor, "category_factors": now.category_factors}
    if was.replaced(**factors) != now:
        return _changed(was, now)
    usual = f"{was.cost_factor:.4g} -> {now.cost_factor:.4g}"
    return f"what a call costs, as measured: {usual} times what its terms have"


def _changed(old: object, new: object) -> str:
    """Numbers and words of terms one by one, and of all else only that it is fitted anew."""
    if isinstance(old, float) and isinstance(new, float):
        return f"{old:.4g} -> {new:.4g}"
    if not isinstance(old, BaseModel) or not isinstance(new, BaseModel):
        return REFITTED
    if type(old) is not type(new):
        return f"{_kind(old)} -> {_kind(new)}"
    both = ((field, getattr(old, field), getattr(new, field)) for field in type(old).model_fields)
    said = [
        f"{_named(field)}{_told(field, was)} -> {_told(field, now)}"
        for field, was, now in both
        if was != now and isinstance(was, PLAIN) and isinstance(now, PLAIN)
    ]
    return ", ".join(said) or REFITTED


def _kind(terms: BaseModel) -> str:
    return str(getattr(terms, "kind", type(terms).__name__))


def _named(field: str) -> str:
    return "" if field == "rate" else f"{field} "


def _told(field: str, value: float | str | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, str | bool):
        return str(value)
    return f"{value:.1%}" if field == "rate" else f"{value:.4g}"
