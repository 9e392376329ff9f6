"""One HTTP server that answers: requests out, bytes back, every failure a `TierError`.

httpx's transport alone, without its `AsyncClient`: no redirects, cookies, proxies or
environment, and a fraction of the time per request.
"""

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from ssl import SSLContext
from typing import Any, cast

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from dataplane.contract.forbidden import is_forbidden
from dataplane.tiers.addresses import GuardedResolver
from dataplane.tiers.base import ErrorKind, TierError, TierUnusableError

MAX_BODY_BYTES = 32 * 2**20
_MAX_ERROR_BYTES = 64 * 2**10
_MAX_RETRY_AFTER_S = 86_400.0
_OVERLOADED = frozenset({429, 503, 529})
_FAILURES = (httpx.HTTPError, aiohttp.ClientError, OSError)


class Upstream:
    """A server at an http(s) base URL, or at the root of `unix:/path`.

    `name` stands for it in errors. Connections idle for `keepalive_s` are closed: keep that
    below the server's own limit, or a request may meet a connection that has just gone. A
    base URL that cannot be, or must not be called, is a `TierUnusableError`.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        connect_timeout_s: float = 5.0,
        keepalive_s: float = 4.0,
        max_connections: int = 512,
    ) -> None:
        self._name = name
        self._where = base_url
        socket = base_url.removeprefix("unix:") if base_url.startswith("unix:") else None
        self._base = _checked(name, "http://localhost" if socket else base_url.rstrip("/"))
        self._urls: dict[str, httpx.URL] = {}
        self._headers = httpx.Headers(
            [("accept-encoding", "identity"), ("content-type", "application/json"), *headers]
        )
        self._extensions = {"timeout": {"connect": connect_timeout_s}}
        context = httpx.create_ssl_context()
        session = partial(_session, socket, context, keepalive_s, max_connections)
        self._transport = AiohttpTransport(verify=context, client=session)

    @asynccontextmanager
    async def open(
        self, path: str, body: bytes | None, deadline: float
    ) -> AsyncIterator[httpx.Response]:
        """A 2xx response whose body is still to be read; leaving closes it.

        `path` is below the base URL; without a `body` it is a GET. Raises `TierError`.
        """
        response = await self._send(path, body, deadline)
        try:
            if not response.is_success:
                raise await self._refusal(response, deadline)
            yield response
        finally:
            await response.aclose()

    async def _send(self, path: str, body: bytes | None, deadline: float) -> httpx.Response:
        request = httpx.Request(
            "GET" if body is None else "POST",
            self._url(path),
            headers=self._headers,
            content=body,
            extensions=self._extensions,
        )
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await self._transport.handle_async_request(request)
        except TimeoutError as error:
            raise self._error("timeout", "no response within the deadline") from error
        except _FAILURES as error:
            raise self._failed(error) from error

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = self._base.copy_with(path=self._base.path.rstrip("/") + path)
        return self._urls[path]

    async def chunks(
        self, response: httpx.Response, deadline: float, idle_s: float = math.inf
    ) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; two chunks are at most `idle_s` apart. Raises `TierError`."""
        if "content-encoding" in response.headers:
            raise self.broken("compresses its answers though asked not to")
        arriving = cast(AsyncGenerator[bytes, None], aiter(response.stream))  # type: ignore[arg-type]  # async, since the transport is
        async with aclosing(arriving) as source:
            while True:
                try:
                    async with asyncio.timeout(min(idle_s, deadline - time.monotonic())):
                        chunk = await anext(source)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise self._error("timeout", "stopped sending within the deadline") from error
                except _FAILURES as error:
                    raise self._failed(error) from error
                yield chunk

    async def read(
        self, response: httpx.Response, deadline: float, limit: int = MAX_BODY_BYTES
    ) -> bytes:
        """The whole body, at most `limit` bytes. Raises `TierError`."""
        body = bytearray()
        async with aclosing(self.chunks(response, deadline)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise self.broken(f"sent more than {limit} bytes")
        return bytes(body)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def broken(self, what: str) -> TierError:
        """An answer that cannot be used."""
        return self._error("broken", what)

    def _error(self, kind: ErrorKind, what: str) -> TierError:
        return TierError(kind, f"{self._name}: {what}")

    def _failed(self, error: Exception) -> TierError:
        cause = error.__cause__ or error
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return self._error("connect", f"cannot connect to {self._where}; is it up?")
        return self._error("broken", f"the connection was lost ({type(cause).__name__})")

    async def _refusal(self, response: httpx.Response, deadline: float) -> TierError:
        status = response.status_code
        code = error_code(await self._error_body(response, deadline))
        return TierError(
            "overloaded" if status in _OVERLOADED else "status",
            f"{self._name}: answered {status}{f' ({code})' if code else ''}",
            status=status,
            code=code,
            retry_after_s=retry_after_s(response.headers),
        )

    async def _error_body(self, response: httpx.Response, deadline: float) -> bytes:
        try:
            return await self.read(response, min(deadline, time.monotonic() + 1), _MAX_ERROR_BYTES)
        except TierError:
            return b""


def retry_after_s(headers: httpx.Headers) -> float | None:
    """Seconds of `Retry-After` (a number or a date, RFC 9110 section 10.2.3), at most a day."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value) if value.strip().isdigit() else _until(value)
    except ValueError:
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)


def _until(date: str) -> float:
    when = parsedate_to_datetime(date)
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()


def error_code(body: bytes) -> str | None:
    """The `error.code` of an OpenAI error body, if it is a plain word: nothing else is let out."""
    try:
        code = orjson.loads(body)["error"]["code"]
    except (ValueError, TypeError, KeyError):
        return None
    plain = isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code)
    return code if plain else None


def _checked(name: str, base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise TierUnusableError(f"{name}: {base_url} is no URL ({error}); correct it") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise TierUnusableError(f"{name}: {base_url} is no http or https URL; correct it")
    if is_forbidden(url.host):
        raise TierUnusableError(
            f"{name}: {base_url} is a link-local or metadata address; give the provider's own"
        )
    return url


def _session(
    socket: str | None, context: SSLContext, keepalive_s: float, max_connections: int
) -> aiohttp.ClientSession:
    pool: dict[str, Any] = {"keepalive_timeout": keepalive_s, "limit": max_connections}
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(socket, **pool)
        if socket
        else aiohttp.TCPConnector(ssl=context, resolver=GuardedResolver(), **pool)
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
