"""Errors that a client sees, in OpenAI's shape."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request that is not answered: HTTP status, OpenAI's error object, further headers.

    The message goes to the client: it never quotes an upstream, a key or a prompt.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        said = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": said}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the body cannot be served as it stands."""
    return ApiError(400, message, param=param, code=code)


def too_large(limit_bytes: int) -> ApiError:
    """413: more than the configured limit; the rest of the body is not read."""
    message = f"the request body is larger than {limit_bytes} bytes"
    return ApiError(413, message, code="request_too_large", headers={"connection": "close"})


def too_slow(limit_s: float) -> ApiError:
    """408: the body did not come in time."""
    message = f"the request body did not come within {limit_s:g} s"
    return ApiError(408, message, code="request_timeout", headers={"connection": "close"})


def over_budget(message: str) -> ApiError:
    """429: nothing that this key may still pay for; a client need not try again."""
    kind = "insufficient_quota"
    return ApiError(429, message, kind=kind, code=kind, headers={"x-should-retry": "false"})


def budget_behind() -> ApiError:
    """429: the key may spend more, but this plane has not got hold of it yet."""
    return ApiError(
        429,
        "the key's budget is not at hand here yet: try again",
        kind="rate_limit_error",
        code="budget_not_at_hand",
        headers={"retry-after": "1"},
    )


def unavailable(message: str, code: str, retry_after_s: float = 1.0) -> ApiError:
    """503: nothing is wrong with the request; try again."""
    headers = {"retry-after": str(max(1, round(retry_after_s)))}
    return ApiError(503, message, kind="server_error", code=code, headers=headers)


def unrecordable() -> ApiError:
    """503: the spool takes no more, and the operator chose to refuse rather than to forget."""
    return unavailable("queries cannot be recorded now", "recording_unavailable")


def upstream_failed(message: str) -> ApiError:
    """502: no tier gave an answer."""
    return ApiError(502, message, kind="server_error", code="upstream_error")


def timed_out() -> ApiError:
    """504: no tier answered in time."""
    message = "no tier answered within the deadline"
    return ApiError(504, message, kind="server_error", code="timeout")


def internal() -> ApiError:
    """500: a fault of ours; its trace is in the log, not in the answer."""
    return ApiError(500, "internal error", kind="server_error", code="internal_error")
