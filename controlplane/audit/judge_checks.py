"""What there is to say of a judge beside its accuracy: canaries, position, price and kinship."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from scipy.special import stdtrit

from controlplane import canaries
from controlplane.canaries import Canaries
from controlplane.connection import Connection
from controlplane.sql import SQL
from controlplane.stats import Interval
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import CertifiedCutoff

FAMILIES = {
    "gpt": "OpenAI", "o1": "OpenAI", "o3": "OpenAI", "o4": "OpenAI", "chatgpt": "OpenAI",
    "claude": "Anthropic", "gemini": "Google", "gemma": "Google", "llama": "Meta",
    "mistral": "Mistral", "mixtral": "Mistral", "ministral": "Mistral", "codestral": "Mistral",
    "qwen": "Alibaba", "qwq": "Alibaba", "deepseek": "DeepSeek", "phi": "Microsoft",
    "command": "Cohere", "grok": "xAI", "yi": "01.AI", "nova": "Amazon",
}  # fmt: skip
OWN_CONFIDENCE = ("logprob",)  # judges that are the local tier's own doubt
ONE_ANSWER = "not applicable: it judges one answer at a time, never two against each other"


@dataclass(frozen=True, slots=True)
class Cost:
    """USD a verdict: the mean over the judge's calls, or what the policy states without one."""

    calls: int
    usd: Interval


@dataclass(frozen=True, slots=True)
class Checks:
    """``kin`` are the tiers of the judge's own family, ``warning`` what that means.

    ``position``: whether the order of two answers moves it, or why that cannot be asked.
    """

    canaries: Canaries
    position: str
    cost: Cost
    kin: tuple[str, ...]
    warning: str | None
    certificate: CertifiedCutoff | None


def of(connection: Connection, live: PolicyDocument) -> dict[str, Checks]:
    """By segment of the live policy."""
    judge = live.judge.judge
    models = {row["tier"]: row["model"] for row in connection.execute(SQL["models_of_tiers"])}
    judging = [row["model"] for row in connection.execute(SQL["judging_models"])]
    kin = kindred(judge, judging, models, live.local.name)
    shared = canaries.of(connection, judge), ONE_ANSWER, _cost(connection, live)
    warning = warn(judge, kin)
    return {each.name: Checks(*shared, kin, warning, each.certificate) for each in live.segments}


def kindred(
    judge: str, judging: list[str], models: Mapping[str, str], local: str
) -> tuple[str, ...]:
    """The tiers whose model is of the judge's family, by name.

    >>> kindred("llm", ["gpt-4o-mini"], {"local": "Qwen2-7B", "cloud": "gpt-4o"}, "local")
    ('cloud',)
    """
    if judge in OWN_CONFIDENCE:
        return (local,)
    families = {family(model) for model in judging}
    return tuple(tier for tier, model in models.items() if family(model) in families)


def family(model: str) -> str:
    """Who made a model, as far as its name tells; else the name's first word.

    >>> family("meta-llama/Llama-3.1-8B-Instruct"), family("gpt-4o"), family("acme-7b.gguf")
    ('Meta', 'OpenAI', 'acme')
    """
    words = re.findall(r"[a-z]+\d?|\d+", model.rsplit("/", 1)[-1].lower())
    for word in words:
        known = FAMILIES.get(word) or FAMILIES.get(word.rstrip("0123456789"))
        if known:
            return known
    return words[0] if words else model


def warn(judge: str, kin: tuple[str, ...]) -> str | None:
    """What it means that the judge is of a tier's family; None where it is of none."""
    if judge in OWN_CONFIDENCE:
        return f"it is {kin[0]}'s own confidence: what that tier is sure of and wrong, it accepts"
    if not kin:
        return None
    return f"it is of the family of {', '.join(kin)}: models prefer what their own kind would say"


def _cost(connection: Connection, live: PolicyDocument) -> Cost:
    row = connection.execute(SQL["judging_cost"]).fetchone()
    if not row or not row["calls"]:
        stated = live.judge.cost_usd
        return Cost(0, Interval(stated, stated, stated))
    calls, mean = int(row["calls"]), float(row["mean"])
    student = float(stdtrit(max(calls - 1, 1), 0.975))
    reach = student * float(row["sd"]) / sqrt(calls)
    return Cost(calls, Interval(mean, max(mean - reach, 0.0), mean + reach))
