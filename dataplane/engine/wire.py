"""Events of a generation as OpenAI's JSON objects."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from dataplane.engine.generation import Candidate, Finished, Piece, Sampled
from dataplane.engine.request import RequestError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """The frame around one request's objects."""

    model: str
    logprobs: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, pieces: Iterable[Piece], finished: Finished) -> Json:
        """The whole answer as one object."""
        pieces = list(pieces)
        choice = {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "".join(piece.text for piece in pieces),
                "refusal": None,
            },
            "logprobs": self._logprobs(token for piece in pieces for token in piece.tokens),
            "finish_reason": finished.reason,
        }
        return {**self._frame("chat.completion"), "choices": [choice], **_ending(finished)}

    def opening(self) -> Json:
        """The first chunk: who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def delta(self, piece: Piece) -> Json:
        """A chunk of text."""
        return self._chunk({"content": piece.text}, logprobs=self._logprobs(piece.tokens))

    def closing(self, finished: Finished, *, include_usage: bool) -> list[Json]:
        """The last chunks: why it ended, then (if asked) usage and timings without a choice."""
        end = self._chunk({}, finish=finished.reason)
        if not include_usage:
            return [{**end, "timings": asdict(finished.timings)}]
        usage = {**self._frame("chat.completion.chunk"), "choices": [], **_ending(finished)}
        return [{**end, "usage": None}, usage]

    def _chunk(self, delta: Json, *, finish: str | None = None, logprobs: Any = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}

    def _frame(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _logprobs(self, tokens: Iterable[Sampled]) -> Json | None:
        if not self.logprobs:
            return None
        content = [
            {**_candidate(token), "top_logprobs": [_candidate(other) for other in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}


def error(refused: RequestError) -> Json:
    """OpenAI's error object."""
    kind = "invalid_request_error" if refused.status < 429 else "server_error"
    body = {
        "message": str(refused),
        "type": "rate_limit_error" if refused.status == 429 else kind,
        "param": refused.param,
        "code": refused.code,
    }
    return {"error": body}


def _ending(finished: Finished) -> Json:
    prompt, completion = finished.prompt_tokens, finished.completion_tokens
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return {"usage": usage, "timings": asdict(finished.timings)}


def _candidate(candidate: Candidate) -> Json:
    piece = candidate.piece
    return {
        "token": piece.decode(errors="replace"),
        "logprob": candidate.logprob,
        "bytes": list(piece),
    }
