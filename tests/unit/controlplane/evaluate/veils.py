"""Which parts of a row a replay has seen, and rows whose unseen parts are exchanged."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from controlplane.evaluate.replay import Row, Served
from dataplane.strategies import JUDGE

FIELDS = ("local", "cloud", "score", "local_usd", "cloud_usd", "judge_usd")


def seen(served: Served) -> set[str]:
    """The fields of its row that the path taken and the draws revealed."""
    called = {action.removeprefix("call:") for action in served.actions} & {"local", "cloud"}
    shadowed = {"local", "cloud"} - called if served.shadow_usd else set()
    fields = {f"{tier}_usd" for tier in called | shadowed}
    if served.labels:
        fields |= called | shadowed
    if JUDGE in served.actions or "local" in shadowed:
        fields |= {"score", "judge_usd"}
    return fields


def permuted(rows: Sequence[Row], served: Sequence[Served], seed: int) -> list[Row]:
    """The rows with every field exchanged among those whose value stayed unseen."""
    revealed = [seen(each) for each in served]
    changed = list(rows)
    for field in FIELDS:
        hidden = [at for at, fields in enumerate(revealed) if field not in fields]
        values = [getattr(rows[at], field) for at in hidden]
        random.Random(f"{seed}:{field}").shuffle(values)
        for at, value in zip(hidden, values, strict=True):
            changed[at] = replace(changed[at], **{field: value})
    return changed


def decisions(run: Callable[[Sequence[Row]], tuple[Any, list[Served]]], rows: Sequence[Row]) -> Any:
    """What a replay decided: every policy's digest and every query's actions."""
    replay, served = run(rows)
    policies = [policy.digest() for policy in replay.policies]
    return policies, [(each.policy_version, each.actions, each.labels) for each in served]
