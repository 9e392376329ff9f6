"""The parameters of the audit's draws, as the next policy states them.

A part of the rate is drawn uniformly, the rest where labels are worth most; the scale is set on
recent traffic so that the mean keeps to the rate, and the rate to the budget (decision 013). All of
it is decided before the queries come that it draws, by nothing that a label tells of them.
"""

from collections.abc import Collection, Mapping

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, SegmentDraws, ShadowTerms
from dataplane.strategies import Queries, probabilities
from dataplane.strategies.interest import interest

LEAST = 0.01  # probability of any query, where the rate is not less
RATIO = 4.0  # of the greatest probability to the least: rare labels weigh as much more
SLACK = 0.1  # share by which the mean may leave the rate before new terms are worth a policy
DIGITS = 6


def at_rate(audit: AuditTerms, rate: float, names: Collection[str]) -> AuditTerms:
    """The same terms at another rate: the segments of these names, each uniformly, within what its
    budget leaves.
    """
    if not rate:
        return audit.replaced(rate=rate, segments=())
    limited = (each for each in audit.segments if each.most < 1 and each.segment in names)
    segments = (each.replaced(uniform=min(rate, each.most), slope=0.0) for each in limited)
    return audit.replaced(rate=rate, segments=tuple(segments))


def drawing(policy: PolicyDocument, seen: Queries, floor: float) -> AuditTerms:
    """The terms under which a share ``floor`` of its audits, or more, is drawn uniformly.

    They are of the policy's first segment, whose recent queries were ``seen``; the others stay as
    they were. No query is drawn less often than shadows are, so that these are labelled.
    """
    segment, audit = policy.segments[0], policy.audit
    draws, mean = audit.of(segment.name), audit.mean(segment.name)
    if draws is None or not len(seen.chars):
        return audit
    usual = float(interest(policy, segment, seen, draws.width).mean())
    least = max(
        floor * mean, mean / (1 + (RATIO - 1) * usual), min(mean, max(LEAST, policy.shadow.rate))
    )
    if least >= mean:
        return audit
    slope = round(min((mean - least) / usual, 1 - mean), DIGITS)
    spread = draws.replaced(uniform=round(mean - slope * usual, DIGITS), slope=slope)
    others = (each for each in audit.segments if each.segment != segment.name)
    return audit.replaced(segments=(spread, *others))


def keeps(policy: PolicyDocument, seen: Queries) -> bool:
    """Whether the mean over the first segment's recent queries is still about its rate."""
    name = policy.segments[0].name
    draws, mean = policy.audit.of(name), policy.audit.mean(name)
    if draws is None or not draws.slope or not len(seen.chars):
        return True
    found = float(probabilities(policy, draws, seen).mean())
    return abs(found - mean) <= SLACK * mean


def within(shadow: ShadowTerms, audit: AuditTerms, segment: str) -> ShadowTerms:
    """Shadows no more often than the audit labels them."""
    return shadow.replaced(rate=min(shadow.rate, audit.mean(segment)))


def rationed(policy: PolicyDocument, most: Mapping[str, float]) -> PolicyDocument:
    """The same policy with what the budget leaves each segment, its draws scaled to keep to it.

    Where nothing is audited there is nothing to ration.
    """
    if not policy.audit.rate:
        return policy
    drawn = (_rationed(policy.audit, name, share) for name, share in most.items())
    segments = tuple(each for each in drawn if each.slope or each.most < 1)
    audit, shadow = policy.audit.replaced(segments=segments), policy.shadow
    for name in most:
        shadow = within(shadow, audit, name)
    return policy.model_copy(update={"audit": audit, "shadow": shadow})


def _rationed(audit: AuditTerms, segment: str, most: float) -> SegmentDraws:
    was = audit.of(segment)
    assert was is not None
    scale = min(audit.rate, most) / audit.mean(segment)
    uniform = min(was.uniform * scale, most)
    return was.replaced(most=most, uniform=uniform, slope=min(was.slope * scale, 1 - uniform))


def moved(before: AuditTerms, after: AuditTerms) -> bool:
    """Whether the mean of any segment moves by enough to be worth a policy of its own."""
    names = {each.segment for each in (*before.segments, *after.segments)}
    means = ((before.mean(name), after.mean(name)) for name in names)
    return any(abs(now - then) > SLACK * then for then, now in means)
