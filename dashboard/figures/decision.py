"""Figures of one decision: what the control plane tells of it, as it happened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import pandas as pd

from dashboard.units import latency, share, usd

Told: TypeAlias = Mapping[str, Any]  # as `GET /v1/decisions/{id}` answers

CALL = "call:"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: ``when`` after the arrival, or at what time; plain words."""

    when: str
    what: str
    words: str


def timeline(told: Told) -> list[Moment]:
    """From the arrival to the last that was learned of the answer."""
    records = told["records"]
    return [
        *_arrival(records["decision"], told["beliefs"]),
        *_steps(records, told["beliefs"]),
        *_end(records["completion"]),
        *_later(records),
    ]


def _arrival(decision: Mapping[str, Any], beliefs: Mapping[str, Any] | None) -> Iterator[Moment]:
    words = (
        f"request {decision['request_id']} of tenant {decision['tenant']}, segment "
        f"{decision['segment']}, {decision['features'].get('chars', 0):,} characters in "
        f"{len(decision['features'].get('buckets', ())):,} features"
    )
    if decision["conversation"]:
        words += f", conversation {decision['conversation']}"
    yield Moment("0 ms", "arrived", words)
    for name, reason in decision["excluded"].items():
        yield Moment("0 ms", "excluded", f"{name}: {reason}")
    if beliefs is None:
        return
    believed = ", ".join(
        f"{tier} {share(right)} right (p_hat {beliefs['p_hat'][tier]:.3f}) for about "
        f"{usd(beliefs['expected_usd'][tier])}"
        for tier, right in beliefs["right"].items()
    )
    yield Moment("0 ms", "believed", f"{believed}, before any answer")


def _steps(records: Mapping[str, Any], beliefs: Mapping[str, Any] | None) -> Iterator[Moment]:
    waiting = [each for each in records["attempts"] if each["purpose"] == "serve"]
    waiting.sort(key=lambda each: int(each["index"]))
    elapsed = 0.0
    for step in records["steps"]:
        yield Moment(_after(elapsed), "decided", _choice(step))
        action = step["action"]
        tier = action.removeprefix(CALL) if action.startswith(CALL) else None
        while tier is not None and waiting and waiting[0]["tier"] == tier:
            attempt = waiting.pop(0)
            elapsed += attempt["latency_ms"]
            yield Moment(_after(elapsed), _ended(attempt), _call(attempt))
        if action == "judge":
            yield from _scores(records, "serve", _after(elapsed), beliefs)
    for attempt in waiting:  # of a record without steps
        elapsed += attempt["latency_ms"]
        yield Moment(_after(elapsed), _ended(attempt), _call(attempt))


def _after(elapsed_ms: float) -> str:
    return f"+{latency(elapsed_ms)}"


def _choice(step: Mapping[str, Any]) -> str:
    """The action, what it was worth beside the others, and how certain it was."""
    worth = step["values"]
    said = _action(step["action"])
    if len(worth) > 1:
        listed = ", ".join(
            f"{_action(action)} {value:.4f}" if value is not None else _action(action)
            for action, value in sorted(worth.items(), key=lambda each: -(each[1] or 0.0))
        )
        said += f"; worth: {listed}"
    if step["threshold"] is not None:
        of = "cutoff" if step["state"]["score"] is not None else "threshold on p_hat"
        said += f"; {of} {step['threshold']:.4f}"
    return f"{said}; propensity {step['propensity']:.3g}"


def _action(action: str) -> str:
    return f"call {action.removeprefix(CALL)}" if action.startswith(CALL) else action


def _ended(attempt: Mapping[str, Any]) -> str:
    return f"{attempt['tier']} {'failed' if attempt['error'] else 'answered'}"


def _call(attempt: Mapping[str, Any]) -> str:
    said = [
        f"model {attempt['model']}",
        f"{attempt['prompt_tokens']:,} + {attempt['completion_tokens']:,} tokens"
        + ("" if attempt["tokens_exact"] else " (estimated)"),
        usd(attempt["cost_usd"]),
        f"took {latency(attempt['latency_ms'])}",
    ]
    if attempt["ttft_ms"] is not None:
        said.append(f"first token after {latency(attempt['ttft_ms'])}")
    if attempt["tokens_per_s"] is not None:
        said.append(f"{attempt['tokens_per_s']:.0f} tokens/s")
    said.append(f"error: {attempt['error']}" if attempt["error"] else f"end: {attempt['finish']}")
    return ", ".join(said)


def _scores(
    records: Mapping[str, Any], purpose: str, when: str, beliefs: Mapping[str, Any] | None
) -> Iterator[Moment]:
    for score in records["judge_scores"]:
        if score["purpose"] != purpose:
            continue
        words = f"{score['judge']} gave {score['raw']:.4f}: {share(score['calibrated'], 1)} right"
        if purpose == "serve" and beliefs and beliefs["cutoff"] is not None:
            below = score["raw"] < beliefs["cutoff"]
            words += f", {'below' if below else 'not below'} the cutoff {beliefs['cutoff']:.4f}"
        yield Moment(when, "judged", words)


def _end(completion: Mapping[str, Any] | None) -> Iterator[Moment]:
    if completion is None:
        yield Moment("", "unknown end", "no completion was recorded: it counts as no reward")
        return
    when, status = _after(completion["latency_ms"]), completion["status"]
    took, own = (latency(completion[name]) for name in ("latency_ms", "overhead_ms"))
    spent = f"{usd(completion['cost_usd'])}, {took}, of which {own} were our own"
    if status != "ok":
        words = f"{completion['error'] or 'no reason was recorded'}; {spent}"
        yield Moment(when, "failed" if status == "error" else "client went away", words)
        return
    escalated = " after an escalation" if completion["escalated"] else ""
    yield Moment(when, "served", f"the answer of {completion['final_tier']}{escalated}; {spent}")


def _later(records: Mapping[str, Any]) -> Iterator[Moment]:
    for draw in records["draws"]:
        what = "an audit" if draw["kind"] == "audit" else f"a shadow of {draw['tier']}"
        sake = f", for the sake of v{draw['rival']}" if draw["rival"] else ""
        chance = share(draw["probability"], 1)
        yield Moment("at the end", "drawn", f"for {what}, a chance of {chance}{sake}")
    for attempt in records["attempts"]:
        if attempt["purpose"] not in ("serve", "judge"):
            yield Moment("unseen", f"{attempt['purpose']}: {_ended(attempt)}", _call(attempt))
    yield from _scores(records, "shadow", "unseen", None)
    for outcome in records["outcomes"]:
        yield Moment(
            _time(outcome["observed_at"]), "told",
            f"{outcome['key']} is worth {outcome['value']:g}, says {outcome['labeller']} "
            f"({outcome['source'].replace('_', ' ')})",
        )  # fmt: skip
    for label in records["labels"]:
        yield Moment(
            _time(label["settled_at"]), "label settled",
            f"{label['key']} is worth {label['value']:g} ({label['basis']} word)",
        )  # fmt: skip


def _time(iso: str) -> str:
    return f"{iso[:10]} {iso[11:19]} UTC"


def values(told: Told) -> pd.DataFrame:
    """What each action was worth, by column: step, action, value, chosen; where several were."""
    rows = [
        {
            "step": f"{place}. {_action(step['action'])}",
            "action": _action(action),
            "value": value,
            "chosen": "chosen" if action == step["action"] else "not chosen",
        }
        for place, step in enumerate(told["records"]["steps"], 1)
        if len(step["values"]) > 1
        for action, value in step["values"].items()
        if value is not None
    ]
    return pd.DataFrame(rows, columns=["step", "action", "value", "chosen"])


def calls(told: Told) -> pd.DataFrame:
    """Every call with what it used and cost, by column as the records have them."""
    columns = [
        "purpose", "index", "tier", "model", "prompt_tokens", "completion_tokens", "cost_usd",
        "latency_ms", "ttft_ms", "tokens_per_s", "finish", "error",
    ]  # fmt: skip
    rows = [{name: each[name] for name in columns} for each in told["records"]["attempts"]]
    frame = pd.DataFrame(rows, columns=columns)
    named = frame["purpose"].astype(str) + ": " + frame["tier"].astype(str)
    numbers = frame.groupby(["purpose", "tier"]).cumcount() + 1
    again = frame.duplicated(["purpose", "tier"], keep=False)
    frame.insert(0, "call", named.where(~again, named + " " + numbers.astype(str)))
    return frame.drop(columns="index")


def others(told: Told) -> pd.DataFrame:
    """What other policies would have done with it, a row each, in words."""
    rows = [
        {
            "policy": f"{each['name']}, v{each['version']}"
            if not each["name"].startswith("always")
            else each["name"],
            "would serve": each["tier"] or "not known: it hinges on a score nobody saw",
            "judged": "yes" if each["judged"] else "no",
            "the same answer": "" if each["tier"] is None else "yes" if each["same"] else "no",
            "P(right), as it believes": each["right"],
            "cost (USD)": each["usd"],
        }
        for each in told["alternatives"]
    ]
    return pd.DataFrame(rows)


def bins(judge: Mapping[str, Any], marked: Sequence[float | None]) -> pd.DataFrame:
    """The judge's table of right and of wrong answers: lo, hi (raw scores), share, answer.

    The outermost bins, which may reach far beyond all scores, end a little beyond the scores that
    stand for them and what else is ``marked``.
    """
    raw, known = judge["raw"], [each for each in marked if each is not None]
    margin = (raw[-1] - raw[0]) * 0.1
    low = max(judge["lowest"], min([raw[0], *known]) - margin)
    high = min(judge["highest"], max([raw[-1], *known]) + margin)
    spans = list(pairwise([low, *judge["edges"], high]))
    rows = [
        {"lo": lo, "hi": hi, "share": value, "answer": answer}
        for answer, name in (("right", "f1"), ("wrong", "f0"))
        for (lo, hi), value in zip(spans, judge[name], strict=True)
    ]
    return pd.DataFrame(rows, columns=["lo", "hi", "share", "answer"])


def served_score(told: Told) -> float | None:
    """The score that it was served by, or that a shadow brought to light."""
    scores = sorted(told["records"]["judge_scores"], key=lambda each: str(each["purpose"]))
    return next((float(each["raw"]) for each in scores), None)


def simulated(told: Told) -> list[str]:
    """Names that say themselves that what they name is no real thing."""
    records = told["records"]
    names = {f"model {each['model']}" for each in records["attempts"]}
    names |= {f"labeller {each['labeller']}" for each in records["outcomes"]}
    return sorted(name for name in names if "simulated" in name.lower())
