"""The bounds of a request to the control plane, before anybody asks who sent it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from dataplane.errors import ApiError
from dataplane.wire import ClientGoneError, given, read_body, refuse

BODY_BYTES = 8 << 20  # a policy of twelve tiers, each with all its weights, has less than half


class Bounded:
    """An app whose requests have small bodies that come soon; others are refused (413, 408)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request, or what the server asks of the app itself."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive, BODY_BYTES)
        except ClientGoneError:
            return
        except ApiError as error:
            await refuse(send, error, {})
            return
        await self._app(scope, given(body, receive), send)
