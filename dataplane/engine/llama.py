"""llama.cpp behind two nouns: a Model (weights and vocabulary) and a Context (its memory).

Neither is thread-safe. The log-probability of a token comes from the logits of the step that
sampled it, so nothing needs llama.cpp's `logits_all`.
"""

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import llama_cpp
from numpy.typing import NDArray

from dataplane.contract.weights import ModelError

_WARNING = 3
_ERROR = 4
_ABORTED = 2


def _log(level: int, text: bytes, _: object) -> None:
    if _WARNING <= level <= _ERROR:
        sys.stderr.write(text.decode(errors="replace"))


_log_callback = llama_cpp.llama_log_callback(_log)


class AbortedError(Exception):
    """A decode was stopped by `Context.abort`; what it had computed must be forgotten."""


class DecodeError(Exception):
    """llama.cpp could not decode a batch."""


class Model:
    """Weights and vocabulary of one GGUF file.

    `gpu_layers` are held in GPU memory, negative means all. Raises `ModelError`.
    """

    def __init__(self, path: Path, *, gpu_layers: int = 0) -> None:
        llama_cpp.llama_log_set(_log_callback, None)
        llama_cpp.llama_backend_init()
        if gpu_layers and not llama_cpp.llama_supports_gpu_offload():
            raise ModelError(
                f"gpu_layers is {gpu_layers}, and this llama.cpp finds no GPU: "
                "build it for yours (docs/local-tier.md), or set gpu_layers to 0"
            )
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        handle = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not handle:
            raise ModelError(f"model {path}: llama.cpp cannot load it; is it a complete GGUF?")
        self.handle = handle
        self._vocab = llama_cpp.llama_model_get_vocab(handle)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self.trained_context = int(llama_cpp.llama_model_n_ctx_train(handle))
        self._pieces: dict[int, bytes] = {}

    def metadata(self, key: str) -> str | None:
        """The value of a GGUF key as text, None if the file has no such key."""
        size = 1024
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode(errors="replace")
            size = length + 1

    @property
    def bos(self) -> int | None:
        """The token that begins a text, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_bos(self._vocab)
        return int(llama_cpp.llama_vocab_bos(self._vocab)) if wanted else None

    def special_text(self, name: str) -> str:
        """How the vocabulary spells its `bos` or `eos` token, "" if it has none."""
        lookup = {"bos": llama_cpp.llama_vocab_bos, "eos": llama_cpp.llama_vocab_eos}[name]
        token = int(lookup(self._vocab))
        spelled = llama_cpp.llama_vocab_get_text(self._vocab, token) if token >= 0 else b""
        return (spelled or b"").decode(errors="replace")

    def ends(self, token: int) -> bool:
        """Whether `token` ends a generation."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def is_control(self, token: int) -> bool:
        """Whether `token` steers the model instead of spelling text."""
        return bool(llama_cpp.llama_vocab_is_control(self._vocab, token)) or self.ends(token)

    def piece(self, token: int) -> bytes:
        """The bytes `token` spells: perhaps part of a character, nothing for a control token."""
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._spell(token)
        return found

    def _spell(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def tokenise_template(self, text: str) -> list[int]:
        """Tokens of text we trust: the spelling of a control token becomes that token."""
        return self._tokenise(text, parse_special=True)

    def tokenise_text(self, text: str) -> list[int]:
        """Tokens of text we do not trust: never a control token.

        `parse_special=False` is not enough: an SPM vocabulary with the pieces `</` and `s>`
        merges the text `</s>` into the control token of that name.
        """
        tokens = self._tokenise(text, parse_special=False)
        if not any(map(self.is_control, tokens)):
            return tokens
        by_character = (self._tokenise(character, parse_special=False) for character in text)
        return [token for few in by_character for token in few if not self.is_control(token)]

    def _tokenise(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode(errors="replace")
        room = len(data) + 8
        while True:
            tokens = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(
                self._vocab, data, len(data), tokens, room, False, parse_special
            )
            if count >= 0:
                return tokens[:count]
            room = -count

    def close(self) -> None:
        """Free the weights; every Context must be closed before."""
        llama_cpp.llama_model_free(self.handle)


class Context:
    """The memory of up to `slots` sequences of `length` tokens each, and one batch.

    A step is: `add` tokens, `decode`, read `logits`. `abort` may be called from any thread.
    """

    def __init__(
        self,
        model: Model,
        *,
        length: int,
        slots: int,
        batch_tokens: int = 512,
        threads: int = 1,
    ) -> None:
        self.length = length
        self.slots = slots
        self.batch_tokens = max(batch_tokens, slots)
        self._vocabulary_size = model.vocabulary_size
        self._abort, abort_if_set = _flag()
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = length * slots
        params.n_seq_max = slots
        params.n_batch = params.n_ubatch = self.batch_tokens
        params.n_outputs_max = slots
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        params.abort_callback = abort_if_set
        params.abort_callback_data = ctypes.addressof(self._abort)
        handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not handle:
            raise ModelError(
                f"no memory for {slots} slots of {length} tokens; lower --slots or --context"
            )
        self._handle = handle
        self._memory = llama_cpp.llama_get_memory(handle)
        self._batch = llama_cpp.llama_batch_init(self.batch_tokens, 0, 1)
        self._batch.n_tokens = 0

    @property
    def room(self) -> int:
        """How many tokens the batch still takes."""
        return self.batch_tokens - int(self._batch.n_tokens)

    def add(self, slot: int, position: int, tokens: Sequence[int], *, sample: bool) -> int:
        """Put `tokens` of a sequence into the batch, at most `room` of them.

        With `sample`, the last one will have logits. Returns its index in the batch.
        """
        batch = self._batch
        index = start = int(batch.n_tokens)
        for index, token in enumerate(tokens, start):
            batch.token[index] = token
            batch.pos[index] = position + index - start
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = slot
            batch.logits[index] = 0
        batch.logits[index] = sample
        batch.n_tokens = start + len(tokens)
        return index

    def decode(self) -> None:
        """Compute the batch and empty it. Raises `AbortedError` or `DecodeError`."""
        result = llama_cpp.llama_decode(self._handle, self._batch)
        self._batch.n_tokens = 0
        if result == _ABORTED:
            raise AbortedError
        if result != 0:
            raise DecodeError(f"llama_decode returned {result}")

    def logits(self, index: int) -> NDArray[np.float32]:
        """Logits (vocabulary,) after the token at `index` of the last batch, until the next."""
        pointer: Any = llama_cpp.llama_get_logits_ith(self._handle, index)
        row = (ctypes.c_float * self._vocabulary_size).from_address(
            ctypes.addressof(pointer.contents)
        )
        return np.ctypeslib.as_array(row)

    def forget(self, slot: int, position: int = 0) -> None:
        """Drop a sequence's memory from `position` on."""
        llama_cpp.llama_memory_seq_rm(self._memory, slot, position, -1)

    def abort(self) -> None:
        """Stop the running decode, or the next one, until `resume`."""
        self._abort[0] = b"\x01"

    def resume(self) -> None:
        """Allow decoding again."""
        self._abort[0] = b"\x00"

    def close(self) -> None:
        """Free the memory and the batch."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._handle)


def _flag() -> tuple[ctypes.Array[ctypes.c_char], Any]:
    """A byte, and a C function that is true while it is set.

    llama.cpp asks between any two operations. A Python callback would wait for the interpreter
    lock each time; C's own `strlen` of a one-character string needs none.
    """
    strlen = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)
    return ctypes.create_string_buffer(2), strlen
