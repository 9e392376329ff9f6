"""Errors in OpenAI's shape, so that one client reads both planes."""

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from controlplane.audit.tasks import (
    InvalidVerdictError,
    LabelError,
    TaskExpiredError,
    UnknownTaskError,
)
from controlplane.gates import NotEarnedError
from controlplane.proposals import RefusedError
from controlplane.registry import ConflictError
from dataplane.contract.errors import OperatorError

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}

LABEL_STATUSES: dict[type[Exception], int] = {
    UnknownTaskError: 404,
    TaskExpiredError: 410,
    InvalidVerdictError: 400,
}


def body(status: int, message: str, code: str | None = None) -> JSONResponse:
    """``{"error": {message, type, param, code}}`` with that status."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status)


def install(app: FastAPI) -> None:
    """Answer every error of this app in that shape."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(LabelError, _label)
    app.add_exception_handler(OperatorError, _operator)
    app.add_exception_handler(psycopg.OperationalError, _away)
    app.add_exception_handler(Exception, _unexpected)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return body(error.status_code, str(error.detail))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return body(400, f"{where or 'body'}: {first['msg']}", "invalid_value")


async def _label(_: Request, error: Exception) -> JSONResponse:
    code = type(error).__name__.removesuffix("Error")
    return body(LABEL_STATUSES.get(type(error), 409), str(error), _snake(code))


async def _operator(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RefusedError):
        return body(400, str(error), "refused")
    return body(409 if isinstance(error, ConflictError | NotEarnedError) else 503, str(error))


async def _away(_: Request, __: Exception) -> JSONResponse:
    return body(503, "the database does not answer: try again")


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return body(500, "the control plane failed on this request: see its log")


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
