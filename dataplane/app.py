"""The data plane as one ASGI application: the front door, the chat route, the plain routes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.api import SCOPES, Served, plain
from dataplane.budgets import Budgets
from dataplane.chat import Chat
from dataplane.contract.sections import Limits
from dataplane.front import Authenticator, FrontDoor
from dataplane.gateway import Gateway, Policies, Recording
from dataplane.guarded_tier import GuardedTier
from dataplane.shadow import Shadows
from dataplane.telemetry import Telemetry
from dataplane.trail import Keep


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of. `readiness` is what `/readyz` shows; it never waits."""

    tiers: Mapping[str, GuardedTier]
    policies: Policies
    recording: Recording
    authenticator: Authenticator
    telemetry: Telemetry
    budgets: Budgets
    readiness: Callable[[], dict[str, Any]]


def create_app(
    parts: Parts,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    keep: Keep = "sampled",
    timeout_s: float = 120.0,
) -> FrontDoor:
    """Put the parts together; starting and stopping them is the caller's."""
    tiers, policies, recording = parts.tiers, parts.policies, parts.recording
    gateway = Gateway(tiers, policies, recording, parts.telemetry, keep=keep, timeout_s=timeout_s)
    shadows = Shadows(tiers, policies, recording, keep=keep, timeout_s=timeout_s)
    served = Served(gateway, shadows, recording, parts.telemetry, parts.readiness, policies)
    return FrontDoor(
        Chat(gateway, parts.budgets, max_tokens=limits.max_tokens),
        plain(served),
        SCOPES,
        parts.authenticator,
        parts.telemetry,
        limits,
    )
