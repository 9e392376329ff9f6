"""Advice in words: a sentence or two with the figures."""

from controlplane.learn.advise import CLOSE, Advice, Figure, Option
from dataplane.contract.terms import Mode

CALLED: dict[Mode, str] = {
    "route": "routing",
    "cascade": "cascading",
    "cascade_route": "cascade routing",
    "always_cloud": "always the cloud",
    "always_local": "always the local tier",
}
JUDGING = ("cascade", "cascade_route")
SURE = 2.0  # standard errors


def verdict(advice: Advice) -> str:
    """What to serve, and why."""
    best = advice.option(advice.mode)
    if best is None:
        return f"nothing to advise yet: {advice.labels:.0f} labels count, too few for any mode"
    said = [f"{_head(advice, best)}; {_others(advice)}.", _why(advice), _latency(advice)]
    return " ".join(each for each in said if each)


def dissent(advice: Advice, served: Mode) -> str:
    """What a policy that serves another mode says of it; empty where it serves the advised one."""
    best, now = advice.option(advice.mode), advice.option(served)
    if best is None or now is None or best.mode == served:
        return ""
    return f"adviser: {_head(advice, best)}; {_other(now)}"


def _head(advice: Advice, best: Option) -> str:
    offered = any(each.mode in JUDGING for each in advice.options)
    silent = ", do not judge" if offered and best.mode not in JUDGING else ""
    free = advice.option("cascade_route")
    close = (
        ", within a percent of cascade routing"
        if free and free.mode != best.mode and abs(free.dearer.value) <= CLOSE
        else ""
    )
    return (
        f"{CALLED[best.mode]}{silent}: {_plain(best.cost)} of always-cloud's cost at quality "
        f"{advice.quality:.3f}{close}"
    )


def _others(advice: Advice) -> str:
    others = [each for each in advice.options if each.mode != advice.mode]
    missing = [mode for mode in CALLED if mode != "always_local" and not advice.option(mode)]
    said = [_other(each) for each in others]
    said += [f"{CALLED[mode]} is not identified" for mode in missing]
    return ", ".join(said)


def _other(other: Option) -> str:
    called = CALLED[other.mode]
    if not other.reaches:
        return f"{called} stops at quality {other.quality:.3f}"
    dearer = other.dearer
    unsure = "" if abs(dearer.value) > SURE * dearer.se else ", within the error"
    return f"{called} would cost {100 * dearer.value:+.0f} % (+- {100 * dearer.se:.0f}{unsure})"


def _why(advice: Advice) -> str:
    if advice.prompt is None:
        return ""
    said = (
        "Over a coin with as many cloud calls, knowing the prompt is worth "
        f"{_points(advice.prompt)} points of quality"
    )
    if advice.answer is None:
        return f"{said}."
    more = advice.answer.value - advice.prompt.value
    clear = abs(more) > SURE * max(advice.answer.se, advice.prompt.se)
    which = "the answer's score tells more" if more > 0 else "the prompt tells more"
    told = which if clear else "neither clearly tells more"
    return f"{said}, knowing its answer's score too {_points(advice.answer)}: {told}."


def _latency(advice: Advice) -> str:
    route, cascade = advice.option("route"), advice.option("cascade")
    if not (route and cascade) or route.latency_s is None or cascade.latency_s is None:
        return ""
    added = cascade.latency_s - route.latency_s
    return f"A cascade waits {added:+.2f} s a query against routing's {route.latency_s:.2f} s."


def _plain(figure: Figure) -> str:
    return f"{figure.value:.2f} +- {figure.se:.2f}"


def _points(figure: Figure) -> str:
    return f"{100 * figure.value:+.1f} +- {100 * figure.se:.1f}"
