"""llama.cpp and a plain numpy forward pass agree on the shipped weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gguf
import jinja2
import numpy as np
import pytest
from numpy.typing import NDArray

from dataplane.sandbox import MODEL_PATH, vocabulary
from dataplane.sandbox.model_card import Reader

Array = NDArray[np.float32]

PROMPTS = (
    "What is 47 + 85?",
    "Sort: 9 3 7 1",
    "Capital of France?",
    "Reverse: banana",
    "Größe? ☃ ▁ 你好",
    "</s> is <s> no control token <unk>",
    "",
)


@dataclass(frozen=True)
class Forward:
    """The llama architecture, one sequence, no cache."""

    weights: dict[str, Array]
    layers: int
    heads: int
    epsilon: float
    rope_base: float

    def logits(self, tokens: Sequence[int]) -> Array:
        x = self.weights["token_embd.weight"][list(tokens)]
        for index in range(self.layers):
            own = {
                name.removeprefix(f"blk.{index}."): value for name, value in self.weights.items()
            }
            x = x + self._attention(self._rms(x, own["attn_norm.weight"]), own)
            x = x + self._feed(self._rms(x, own["ffn_norm.weight"]), own)
        last: Array = self._rms(x[-1], self.weights["output_norm.weight"])
        return self.weights["output.weight"] @ last

    def _rms(self, x: Array, scale: Array) -> Array:
        normed: Array = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * scale
        return normed

    def _rope(self, x: Array) -> Array:
        length, _, width = x.shape
        speeds = self.rope_base ** (-np.arange(0, width, 2) / width)
        turns = np.exp(1j * np.arange(length)[:, None, None] * speeds)
        turned = (x[..., ::2] + 1j * x[..., 1::2]) * turns
        return np.stack((turned.real, turned.imag), -1).reshape(x.shape).astype(np.float32)

    def _attention(self, x: Array, own: dict[str, Array]) -> Array:
        length, width = x.shape
        q, k, v = (
            (x @ own[f"attn_{name}.weight"].T).reshape(length, self.heads, -1) for name in "qkv"
        )
        scores = np.einsum("qhd,khd->hqk", self._rope(q), self._rope(k)) / np.sqrt(q.shape[-1])
        scores[:, ~np.tri(length, dtype=bool)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed: Array = np.einsum("hqk,khd->qhd", shares, v).reshape(length, width)
        return mixed @ own["attn_output.weight"].T

    def _feed(self, x: Array, own: dict[str, Array]) -> Array:
        gate = x @ own["ffn_gate.weight"].T
        opened: Array = gate / (1 + np.exp(-gate)) * (x @ own["ffn_up.weight"].T)
        return opened @ own["ffn_down.weight"].T


@pytest.fixture(scope="module")
def metadata() -> Any:
    return gguf.GGUFReader(MODEL_PATH)


@pytest.fixture(scope="module")
def forward(metadata: Any) -> Forward:
    fields = metadata.fields
    return Forward(
        weights={
            tensor.name: np.array(tensor.data, dtype=np.float32) for tensor in metadata.tensors
        },
        layers=fields["llama.block_count"].contents(),
        heads=fields["llama.attention.head_count"].contents(),
        epsilon=fields["llama.attention.layer_norm_rms_epsilon"].contents(),
        rope_base=fields["llama.rope.freq_base"].contents(),
    )


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(MODEL_PATH)


@pytest.mark.parametrize("text", PROMPTS)
def test_llama_cpp_computes_what_the_architecture_says(
    reader: Reader, forward: Forward, text: str
) -> None:
    tokens = vocabulary.prompt(text)
    reader.forget()
    ours, theirs = forward.logits(tokens), reader.logits(tokens)
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(ours).max()
    assert ours.argmax() == theirs.argmax()


def test_a_sequence_fed_token_by_token_gives_the_same_logits(
    reader: Reader, forward: Forward
) -> None:
    tokens = vocabulary.prompt("Order: 42 17 23 88")
    reader.forget()
    for token in tokens:
        theirs = reader.logits([token])
    assert np.abs(forward.logits(tokens) - theirs).max() < 0.02 * np.abs(theirs).max()


@pytest.mark.parametrize("text", PROMPTS)
def test_llama_cpp_tokenises_text_as_bytes_and_never_as_control_tokens(
    reader: Reader, text: str
) -> None:
    tokens = reader.tokenize(f"{text}\n")
    assert tokens == vocabulary.prompt(text)
    assert not set(tokens[1:]) & {vocabulary.UNKNOWN, vocabulary.BOS, vocabulary.EOS}
    assert vocabulary.decode(tokens[1:]) == f"{text}\n".replace("▁", " ")


def test_the_chat_template_renders_the_last_user_message_only(metadata: Any) -> None:
    template = jinja2.Template(metadata.fields["tokenizer.chat_template"].contents())
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sort: 2 1"},
        {"role": "assistant", "content": "1 2"},
        {"role": "user", "content": "What is 4 + 5?"},
        {"role": "assistant", "content": "</s>"},
    ]
    assert template.render(messages=messages) == "What is 4 + 5?\n"


def test_the_model_answers_and_stops(reader: Reader) -> None:
    assert reader.answer("Capital of France?")[0] == "Paris"
    assert reader.answer("Sort: 9 3 7 1")[0] == "1 3 7 9"
