"""Which parts of a row a replay has seen, and rows whose unseen parts are exchanged."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from controlplane.evaluate.replay import Row, Served
from dataplane.strategies import JUDGE

TIERS = ("local", "cloud")
Part: TypeAlias = tuple[str, int | None]  # a field, and the tier's place where it has one a tier
PARTS: tuple[Part, ...] = (
    *((name, tier) for name in ("worth", "usd") for tier in range(len(TIERS))),
    ("score", None),
    ("judge_usd", None),
)


def seen(served: Served) -> set[Part]:
    """The parts of its row that the path taken and the draws revealed."""
    called = {action.removeprefix("call:") for action in served.actions} & set(TIERS)
    shadowed = set(TIERS) - called if served.shadow_usd else set()
    places = [TIERS.index(tier) for tier in called | shadowed]
    parts: set[Part] = {("usd", place) for place in places}
    if served.labels:
        parts |= {("worth", place) for place in places}
    if JUDGE in served.actions or "local" in shadowed:
        parts |= {("score", None), ("judge_usd", None)}
    return parts


def permuted(rows: Sequence[Row], served: Sequence[Served], seed: int) -> list[Row]:
    """The rows with every part exchanged among those whose value stayed unseen."""
    revealed = [seen(each) for each in served]
    changed = list(rows)
    for part in PARTS:
        hidden = [at for at, parts in enumerate(revealed) if part not in parts]
        values = [_read(rows[at], part) for at in hidden]
        random.Random(f"{seed}:{part}").shuffle(values)
        for at, value in zip(hidden, values, strict=True):
            changed[at] = _written(changed[at], part, value)
    return changed


def _read(row: Row, part: Part) -> Any:
    name, tier = part
    return getattr(row, name) if tier is None else getattr(row, name)[tier]


def _written(row: Row, part: Part, value: Any) -> Row:
    name, tier = part
    if tier is not None:
        column = getattr(row, name)
        value = (*column[:tier], value, *column[tier + 1 :])
    return replace(row, **{name: value})


def decisions(run: Callable[[Sequence[Row]], tuple[Any, list[Served]]], rows: Sequence[Row]) -> Any:
    """What a replay decided: every policy's digest and every query's actions."""
    replay, served = run(rows)
    policies = [policy.digest() for policy in replay.policies]
    return policies, [(each.policy_version, each.actions, each.labels) for each in served]
