"""Messages to prompt tokens, through the model's own chat template.

The template comes from a file and runs in a sandbox. User text never enters it: a placeholder
stands for each content, and the content is tokenised apart, so that it cannot spell a control
token of the template.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn, Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dataplane.contract.weights import ModelError


class Vocabulary(Protocol):
    """What a template needs of a model."""

    @property
    def bos(self) -> int | None:
        """The token that begins a text, if the model wants one."""

    def metadata(self, key: str) -> str | None:
        """A value of the model file."""

    def special_text(self, name: str) -> str:
        """The spelling of `bos` or `eos`."""

    def tokenise_template(self, text: str) -> list[int]:
        """Tokens of trusted text, control tokens included."""

    def tokenise_text(self, text: str) -> list[int]:
        """Tokens of untrusted text, never a control token."""


class PromptError(Exception):
    """The model's template does not take these messages; the text says why."""


class ChatTemplate:
    """The chat template of one model. Raises `ModelError` if it has none."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        source = vocabulary.metadata("tokenizer.chat_template")
        if not source:
            raise ModelError(
                "model has no tokenizer.chat_template; serve an instruction-tuned GGUF"
            )
        self._vocabulary = vocabulary
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ModelError(f"model's chat template does not parse: {error}") from error
        self._names = {f"{name}_token": vocabulary.special_text(name) for name in ("bos", "eos")}

    def tokens(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Prompt tokens of messages (`role`, `content`), up to where the answer begins.

        Raises `PromptError`.
        """
        nonce = secrets.token_hex(8)
        stand_ins = [
            {**message, "content": f"\ue000{nonce}.{index}\ue001"}
            for index, message in enumerate(messages)
        ]
        parts = re.split(f"\ue000{nonce}\\.(\\d+)\ue001", self._render(stand_ins))
        tokens: list[int] = []
        for place, part in enumerate(parts):
            if place % 2:
                tokens += self._vocabulary.tokenise_text(messages[int(part)]["content"])
            elif part:
                tokens += self._vocabulary.tokenise_template(part)
        return self._begin(tokens)

    def _render(self, messages: list[dict[str, str]]) -> str:
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, **self._names
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise PromptError(f"the model's chat template refuses: {error}") from error

    def _begin(self, tokens: list[int]) -> list[int]:
        bos = self._vocabulary.bos
        return tokens if bos is None or tokens[:1] == [bos] else [bos, *tokens]


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now(UTC).strftime(pattern)
