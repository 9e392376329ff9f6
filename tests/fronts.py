"""A data plane's front door on fakes, asked in process or over a real socket."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from dataplane.access import Principal
from dataplane.app import Parts, create_app
from dataplane.budgets import Budgets
from dataplane.contract.keys import SCOPES, Scope
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.sections import Limits
from dataplane.front import FrontDoor
from dataplane.guarded_tier import GuardedTier
from dataplane.telemetry import Telemetry
from dataplane.tiers.base import Tier
from dataplane.tiers.fake import FakeTier
from dataplane.trail import Keep
from tests.policies import SURE, FixedPolicies, KeptRecords, policy


class FixedKeys:
    """A key for every scope, named like it, and `all` with all of them."""

    def authenticate(self, header: str | None) -> Principal | None:
        """`Bearer <scope>` or `Bearer all`."""
        name = (header or "").removeprefix("Bearer ")
        known: Mapping[str, frozenset[Scope]] = {one: frozenset({one}) for one in SCOPES}
        scopes = {**known, "all": SCOPES, "nothing": frozenset()}.get(name)
        return None if scopes is None else Principal("tenant-1", f"key-{name}", scopes)


class Front:
    """The application, and what it wrote down."""

    def __init__(
        self,
        document: PolicyDocument | None = None,
        *,
        local: Tier | None = None,
        cloud: Tier | None = None,
        keep: Keep = "sampled",
        limits: Limits | None = None,
        timeout_s: float = 5.0,
        budgets: Budgets | None = None,
    ) -> None:
        self.local = local or FakeTier("local", ["from local"], logprob=SURE)
        self.cloud = cloud or FakeTier("cloud", ["from cloud"], logprob=None)
        self.kept = KeptRecords()
        self.telemetry = Telemetry()
        self.budgets = budgets or Budgets()
        tiers = {tier.name: GuardedTier(tier, timeout_s) for tier in (self.local, self.cloud)}
        parts = Parts(
            tiers,
            FixedPolicies(document or policy()),
            self.kept,
            FixedKeys(),
            self.telemetry,
            self.budgets,
            readiness=lambda: {"ready": True},
        )
        self.app: FrontDoor = create_app(
            parts, limits=limits or Limits(), keep=keep, timeout_s=timeout_s
        )

    def ask(
        self, method: str, path: str, *, key: str | None = "all", **given: Any
    ) -> httpx.Response:
        """One request in process, on a loop of its own."""
        return asyncio.run(self.request(method, path, key=key, **given))

    async def request(
        self, method: str, path: str, *, key: str | None = "all", **given: Any
    ) -> httpx.Response:
        """One request in process."""
        headers = {**given.pop("headers", {})}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers, **given)

    def chat(self, text: str = "1 + 1 =", **fields: Any) -> httpx.Response:
        """One chat in process."""
        return self.ask("POST", "/v1/chat/completions", json=chat(text, **fields))


def chat(text: str = "1 + 1 =", **fields: Any) -> dict[str, Any]:
    """A chat's body."""
    return {"model": "penstock", "messages": [{"role": "user", "content": text}], **fields}


@contextmanager
def served(app: FrontDoor) -> Iterator[str]:
    """The application on a free port of loopback, in a thread; gives its base URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        listening.listen()
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
