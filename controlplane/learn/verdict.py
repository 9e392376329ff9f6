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
MODES: tuple[Mode, ...] = ("route", "cascade", "cascade_route")
SURE = 2.0  # standard errors
SAME = 0.005  # of cost
LITTLE = 0.005  # of quality


def verdict(advice: Advice) -> str:
    """What to serve, and why."""
    best = advice.option(advice.mode)
    if best is None:
        return f"nothing to advise yet: {advice.labels:.0f} labels count, too few for any mode"
    head = "; ".join(filter(None, [_head(advice, best), _others(advice)]))
    return " ".join(filter(None, [f"{head}.", _why(advice), _latency(advice)]))


def dissent(advice: Advice, served: Mode) -> str:
    """What a policy that serves another mode says of it; empty where it serves the advised one."""
    best, now = advice.option(advice.mode), advice.option(served)
    if best is None or now is None or best.mode == served:
        return ""
    return f"adviser: {_head(advice, best)}; {_other(now)}"


def _head(advice: Advice, best: Option) -> str:
    offered = any(each.mode in JUDGING for each in advice.options)
    silent = ", do not judge" if offered and best.mode not in JUDGING else ""
    close = ", within a percent of cascade routing" if _close_to_free(advice) else ""
    return (
        f"{CALLED[best.mode]}{silent}: {_plain(best.cost)} of always-cloud's cost at quality "
        f"{advice.quality:.3f}{close}"
    )


def _close_to_free(advice: Advice) -> bool:
    free = advice.option("cascade_route")
    if free is None or advice.mode == "cascade_route" or not free.reaches:
        return False
    return abs(free.dearer.value) <= CLOSE


def _others(advice: Advice) -> str:
    """The other modes; not those that were told already, nor the cloud, whose cost is the unit."""
    told = {advice.mode} | ({"cascade_route"} if _close_to_free(advice) else set())
    others = [each for each in advice.options if each.mode not in told]
    said = [_other(each) for each in others if each.mode != "always_cloud" or not each.reaches]
    if not advice.judged:
        return ", ".join([*said, "no answer was judged, so no cascade is compared"])
    missing = [mode for mode in MODES if advice.option(mode) is None]
    return ", ".join(said + [f"{CALLED[mode]} is not identified" for mode in missing])


def _other(other: Option) -> str:
    called, dearer = CALLED[other.mode], other.dearer
    if not other.reaches:
        return f"{called} stops at quality {other.quality:.3f}"
    if abs(dearer.value) < SAME:
        return f"{called} costs the same"
    unsure = "" if abs(dearer.value) > SURE * dearer.se else ", within the error"
    return f"{called} would cost {100 * dearer.value:+.0f} % (+- {100 * dearer.se:.0f}{unsure})"


def _why(advice: Advice) -> str:
    if advice.prompt is None:
        return ""
    said = (
        "Over a coin that spends as much, knowing the prompt is worth "
        f"{_points(advice.prompt)} points of quality"
    )
    if advice.answer is None:
        return f"{said}."
    which = _teller(advice.prompt, advice.answer)
    return f"{said}, knowing its answer's score too {_points(advice.answer)}: {which}."


def _teller(prompt: Figure, answer: Figure) -> str:
    if max(prompt.value, answer.value) < LITTLE:
        return "neither tells much"
    more = answer.value - prompt.value
    if abs(more) <= SURE * max(answer.se, prompt.se):
        return "neither clearly tells more"
    return "the answer's score tells more" if more > 0 else "the prompt tells more"


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
