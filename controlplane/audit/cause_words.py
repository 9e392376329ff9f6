"""What drifted, in a sentence with its figures."""

from collections.abc import Collection
from math import isnan

from controlplane.audit.cause import CAUSES, Cause, Look


def named(causes: Collection[Cause], look: Look) -> str:
    """That these causes are borne out, and that the others are not."""
    found = [FOUND[cause](look) for cause in CAUSES if cause in causes]
    rest = [AS_BEFORE[cause](look) for cause in CAUSES if cause not in causes]
    return "; ".join([*found, *rest])


def unnamed(look: Look | None) -> str:
    """That no cause is borne out, and by what."""
    if look is None:
        return "too few labels from before to compare with"
    return "; ".join(AS_BEFORE[cause](look) for cause in CAUSES)


def _mix(look: Look) -> str:
    easier = "easier" if look.mix.mean[0] > 0 else "harder"
    return f"the mix of queries got {easier}: {_ranked(look)}"


def _ranked(look: Look) -> str:
    rank = 0.5 + float(look.mix.mean[0])
    return (
        f"p_hat ranks at {rank:.2f} of that of before, on average "
        f"({look.queries} queries, {_p('mix', look)})"
    )


def _local(look: Look) -> str:
    weaker = "weaker" if look.answers.shift.mean[0] < 0 else "better"
    return f"the local tier got {weaker}: {_answered(look)}"


def _answered(look: Look) -> str:
    told = look.answers
    if not told.labels:
        return "no label yet"
    return (
        f"it answers {told.right:.0%} right where {told.expected:.0%} was expected of these "
        f"queries ({told.labels} labels, {_p('local', look)})"
    )


def _judge(look: Look) -> str:
    return f"the judge changed: {_told_apart(look)}"


def _told_apart(look: Look) -> str:
    before, after = look.answers.aurocs
    if isnan(before) or isnan(after):
        return f"too few labels for an AUROC ({_p('judge', look)})"
    return f"its AUROC is {after:.2f}, and was {before:.2f} ({_p('judge', look)})"


def _p(cause: Cause, look: Look) -> str:
    p = look.p_value(cause)
    return "p < .0001" if p < 1e-4 else f"p = {p:.2g}"


FOUND = {"mix": _mix, "local": _local, "judge": _judge}
AS_BEFORE = {
    "mix": lambda look: f"the mix of queries is not shown to differ: {_ranked(look)}",
    "local": lambda look: f"the local tier is not shown to differ: {_answered(look)}",
    "judge": lambda look: f"the judge is not shown to differ: {_told_apart(look)}",
}
