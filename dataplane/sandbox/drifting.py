"""The local model before and after a SIMULATED drift: ``python -m dataplane.sandbox.drifting``.

OpenAI-compatible over HTTP on loopback. The real model answers in an engine of its own; from a POST
to ``/drift`` on, its answers or its log-probabilities are changed by ``dataplane.sandbox.drift``.
"""

import argparse
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dataplane.sandbox import MODEL_PATH, drift, lifeline, model_sha256
from dataplane.sandbox.drift import Drift
from dataplane.sandbox.scoring import SLOTS
from dataplane.tiers.base import Answer, Tier, TierError
from dataplane.tiers.local import LocalTier
from dataplane.tiers.process import EngineOptions

DEADLINE_S = 60.0
BUSY = 503


class Drifting:
    """Answers chats by a tier, which it starts and closes; ``drifted``: whether it has."""

    def __init__(self, tier: Tier, kind: Drift, seed: int) -> None:
        self._tier = tier
        self._kind: Drift = kind
        self._seed = seed
        self.drifted = False

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/drift", self.drift, methods=["POST"]),
                Route("/health", self.health),
            ],
            exception_handlers={TierError: _failed},
            lifespan=self._lifespan,
        )

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - the framework's shape
        """It answers, and so does the engine."""
        return _json({"status": "ok", "drifted": self.drifted}, 200 if self._up else BUSY)

    async def drift(self, request: Request) -> Response:
        """From now on everything is otherwise."""
        self.drifted = True
        return await self.health(request)

    async def chat(self, request: Request) -> Response:
        """Answer one chat, in one piece."""
        body = orjson.loads(await request.body())
        answer = await self._tier.complete(body, time.monotonic() + DEADLINE_S)
        text, confidence = answer.text, None
        if self.drifted:
            query = str(body["messages"][-1]["content"])
            text, confidence = drift.changed(self._kind, self._seed, query, answer.text)
        return _json(_completion(answer, text, confidence))

    @property
    def _up(self) -> bool:
        return self._tier.health().up

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await self._tier.start()
        try:
            yield
        finally:
            await self._tier.close()


def _completion(answer: Answer, text: str, confidence: float | None) -> dict[str, Any]:
    """OpenAI's object; a mean log-probability, where one is given, is that of every token."""
    known = answer.logprobs or ()
    logprobs = known if confidence is None else [confidence] * len(known)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": {"content": [{"token": "", "logprob": one} for one in logprobs]},
        "finish_reason": answer.finish,
    }
    used = answer.usage
    return {
        "id": "chatcmpl-local",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "total_tokens": used.prompt_tokens + used.completion_tokens,
        },
    }


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, TierError)
    said = {"message": str(error), "type": "server_error", "param": None, "code": error.code}
    return _json({"error": said}, error.status or BUSY)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.sandbox.drifting", description=__doc__
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--drift", choices=get_args(Drift), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine-log", type=Path, required=True)
    lifeline.add_option(parser)
    chosen = parser.parse_args(arguments)
    if chosen.watch_stdin:
        lifeline.end_with_stdin()
    options = EngineOptions(MODEL_PATH, model_sha256(), context=128, slots=SLOTS)
    tier = LocalTier("local", MODEL_PATH.stem, options, log=chosen.engine_log)
    app = Drifting(tier, chosen.drift, chosen.seed).app()
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
