"""The plain routes, and the one table that says which scope each route needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from dataplane import chat
from dataplane.access import Principal
from dataplane.canary import CanaryCall, CanaryEnding, judge
from dataplane.contract import keys
from dataplane.contract.exposition import MEDIA_TYPE
from dataplane.errors import ApiError, internal, unrecordable
from dataplane.feedback import Feedback, outcome, truth
from dataplane.gateway import Gateway, Policies, Recording
from dataplane.query import VIRTUAL_MODEL
from dataplane.shadow import ShadowCall, ShadowEnding, Shadows
from dataplane.spool import SpoolError
from dataplane.telemetry import Telemetry

SCOPES: dict[tuple[str, str], keys.Scope | None] = {
    ("POST", chat.PATH): "inference",
    ("GET", "/v1/models"): "inference",
    ("POST", "/v1/feedback"): "feedback",
    ("POST", "/v1/outcomes"): "label",
    ("POST", "/v1/shadow"): "admin",
    ("POST", "/v1/canary"): "admin",
    ("GET", "/metrics"): "read",
    ("GET", "/openapi.json"): None,
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
}
"""Every route that is served, with the scope that it needs; None: no key is asked for."""

TITLE = "Penstock data plane"


@dataclass(frozen=True, slots=True)
class Served:
    """What the plain routes are about. `readiness` is what `/readyz` shows; never waits."""

    gateway: Gateway
    shadows: Shadows
    recording: Recording
    telemetry: Telemetry
    readiness: Callable[[], dict[str, Any]]
    policies: Policies


def plain(served: Served) -> FastAPI:
    """The application behind the front door, which has checked keys, scopes and sizes."""
    api = FastAPI(title=TITLE, openapi_url=None, docs_url=None, redoc_url=None)
    _state(api, served)
    _inference(api, served)
    _answer_in_openais_shape(api)
    return api


def document(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's routes, the chat route, and each one's scope."""
    schema = get_openapi(title=TITLE, version="1", routes=api.routes)
    schema["paths"][chat.PATH] = {"post": dict(chat.OPERATION)}
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(chat.schemas())
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for (method, path), scope in SCOPES.items():
        operation = schema["paths"][path][method.lower()]
        operation["security"] = [] if scope is None else [{"key": [scope]}]
    return schema


def _state(api: FastAPI, served: Served) -> None:
    """Routes for machines that watch."""

    @api.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/readyz", summary="Whether queries can be answered")
    async def readyz() -> JSONResponse:
        found = served.readiness()
        return JSONResponse(found, status_code=200 if found["ready"] else 503)

    @api.get("/metrics", summary="Counters, for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        text = served.telemetry.exposition()
        return PlainTextResponse(text, media_type=MEDIA_TYPE)

    @api.get("/openapi.json", summary="This document")
    async def openapi() -> JSONResponse:
        return JSONResponse(document(api))


def _inference(api: FastAPI, served: Served) -> None:
    """Routes for those who ask, and for those who learn from it."""

    @api.get("/v1/models", summary="The tiers, and the model that lets the policy decide")
    async def models() -> dict[str, Any]:
        names = [VIRTUAL_MODEL, *served.gateway.tiers]
        return {"object": "list", "data": [_model(name) for name in names]}

    @api.post("/v1/feedback", summary="Say how good an answer was", status_code=202)
    async def feedback(said: Feedback, request: Request) -> dict[str, str]:
        principal: Principal = request.state.principal
        record = outcome(said, principal.key_id)
        served.recording.record(record)
        return {"id": str(record.id)}

    @api.post("/v1/outcomes", summary="Say what came of an answer, as a fact", status_code=202)
    async def outcomes(told: Feedback, request: Request) -> dict[str, str]:
        principal: Principal = request.state.principal
        record = truth(told, principal.key_id)
        served.recording.record(record)
        return {"id": str(record.id)}

    @api.post("/v1/shadow", summary="Let a silent tier answer a drawn query, unseen")
    async def shadow(call: ShadowCall) -> ShadowEnding:
        return await served.shadows.answer(call)

    @api.post("/v1/canary", summary="Whether the judge would keep an answer that says nothing")
    async def canary(call: CanaryCall) -> CanaryEnding:
        return judge(call, served.policies)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "penstock"}


def _answer_in_openais_shape(api: FastAPI) -> None:
    """Every refusal looks alike, whoever says it."""

    @api.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:]) or None
        message = f"{param}: {first['msg']}" if param else first["msg"]
        return _shown(ApiError(422, message, param=param))

    @api.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        return _shown(ApiError(error.status_code, str(error.detail)))

    @api.exception_handler(ApiError)
    async def failed(_request: Request, error: ApiError) -> JSONResponse:
        return _shown(error)

    @api.exception_handler(SpoolError)
    async def unrecorded(_request: Request, _error: SpoolError) -> JSONResponse:
        return _shown(unrecordable())

    @api.exception_handler(Exception)
    async def broken(_request: Request, _error: Exception) -> JSONResponse:
        return _shown(internal())


def _shown(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)
