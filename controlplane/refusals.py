"""Errors in OpenAI's shape, so that one client reads both planes."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from controlplane.audit.tasks import InvalidVerdictError, LabelError, TaskExpiredError, UnknownTaskError
from controlplane.registry import ConflictError

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


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
    app.add_exception_handler(ConflictError, _conflict)
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
    statuses = {UnknownTaskError: 404, TaskExpiredError: 410, InvalidVerdictError: 400}
    code = type(error).__name__.removesuffix("Error")
    return body(statuses.get(type(error), 409), str(error), _snake(code))


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    return body(409, str(error), "conflict")


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    return body(500, "the control plane failed on this request: see its log")


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
