"""The front door: who may ask for what, and how much of it, before anything else runs."""

import logging
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from dataplane.access import Principal
from dataplane.chat import PATH, Chat
from dataplane.contract import keys
from dataplane.contract.sections import Limits
from dataplane.errors import ApiError, internal, unavailable, unrecordable
from dataplane.spool import SpoolError
from dataplane.telemetry import Telemetry
from dataplane.wire import ClientGoneError, given, header, read_body, refuse

CHAT = ("POST", PATH)
Scopes = Mapping[tuple[str, str], keys.Scope | None]
"""By method and path: the scope that a key needs; None where no key is needed."""

_PLAIN = re.compile(r"[\x21-\x7e]{1,200}")

log = logging.getLogger(__name__)


class Authenticator(Protocol):
    """Where keys are known."""

    def authenticate(self, header: str | None) -> Principal | None:
        """Whose key an `Authorization` header carries; never waits."""
        ...


class Occupancy:
    """Chats in flight, of all keys and of each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of_key: Counter[str] = Counter()
        self._total = 0

    @contextmanager
    def place(self, key_id: str) -> Iterator[None]:
        """Hold one; raises ``ApiError`` 503 where the plane is full, 429 where the key is."""
        if self._total >= self._limits.requests_in_flight:
            raise unavailable("too many requests in flight", "overloaded")
        if self._of_key[key_id] >= self._limits.concurrency:
            raise _too_many()
        self._total += 1
        self._of_key[key_id] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._of_key[key_id] -= 1
            if not self._of_key[key_id]:
                del self._of_key[key_id]


class FrontDoor:
    """Admits a request by its route's scope; chats go straight to `chat`, the rest to `plain`."""

    def __init__(
        self,
        chat: Chat,
        plain: FastAPI,
        scopes: Scopes,
        authenticator: Authenticator,
        telemetry: Telemetry,
        limits: Limits,
    ) -> None:
        self._chat = chat
        self.plain = plain
        self._scopes = scopes
        self._authenticator = authenticator
        self._telemetry = telemetry
        self._limits = limits
        self._occupancy = Occupancy(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request; other protocols are not spoken."""
        if scope["type"] != "http":
            return
        request_id = _request_id(scope)
        try:
            await self._serve(scope, receive, send, request_id)
        except ClientGoneError:
            return
        except ApiError as error:
            await self._refuse(send, error, request_id)
        except SpoolError:
            await self._refuse(send, unrecordable(), request_id)
        except Exception:
            log.exception("request %s failed", request_id)
            await self._refuse(send, internal(), request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        route = (scope["method"], scope["path"])
        principal = self._admit(route, header(scope, b"authorization"))
        body = await read_body(scope, receive, self._limits.body_bytes)
        if route != CHAT:
            inner = {**scope, "state": {"principal": principal}}
            await self._serve_plainly(inner, given(body, receive), send, request_id)
            return
        assert principal is not None
        with self._occupancy.place(principal.key_id):
            await self._chat(
                body,
                receive,
                send,
                principal=principal,
                request_id=request_id,
                conversation=header(scope, b"x-penstock-conversation"),
            )

    async def _serve_plainly(
        self, scope: Scope, receive: Receive, send: Send, request_id: str
    ) -> None:
        """Behind this door an exception has been answered, and is only logged here."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode("latin-1")),
                ]
                if message["status"] >= 400:
                    self._telemetry.refused(message["status"])
            await send(message)

        try:
            await self.plain(scope, receive, counted)
        except Exception:
            log.exception("request %s failed", request_id)

    def _admit(self, route: tuple[str, str], authorization: str | None) -> Principal | None:
        """Deny by default: a route without an entry is not served."""
        if route not in self._scopes:
            raise self._no_such(route)
        needed = self._scopes[route]
        if needed is None:
            return None
        principal = self._authenticator.authenticate(authorization)
        if principal is None:
            raise ApiError(401, "no valid API key was given", code="invalid_api_key")
        if not principal.may(needed):
            message = f"the API key lacks the scope `{needed}`"
            raise ApiError(403, message, code="insufficient_scope")
        return principal

    def _no_such(self, route: tuple[str, str]) -> ApiError:
        method, path = route
        allowed = sorted(known for known, where in self._scopes if where == path)
        if not allowed:
            return ApiError(404, "no such route", code="not_found")
        headers = {"allow": ", ".join(allowed)}
        message = f"{method} is not allowed here"
        return ApiError(405, message, code="method_not_allowed", headers=headers)

    async def _refuse(self, send: Send, error: ApiError, request_id: str) -> None:
        self._telemetry.refused(error.status)
        await refuse(send, error, {"x-request-id": request_id})


def _request_id(scope: Scope) -> str:
    """The client's own, if it can be echoed and logged as it is."""
    given_id = header(scope, b"x-request-id")
    return given_id if given_id and _PLAIN.fullmatch(given_id) else f"req_{secrets.token_hex(12)}"


def _too_many() -> ApiError:
    return ApiError(
        429,
        "too many requests of this key in flight",
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"retry-after": "1"},
    )
