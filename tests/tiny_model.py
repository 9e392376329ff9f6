"""GGUF files of seeded random weights: llama architecture, SPM tokenizer with byte tokens.

The tiny one loads in milliseconds. The slow one takes milliseconds for a token, so that a test
can step in before it has finished. Neither ends by itself at temperature 0.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

GPU_LAYERS = int(os.environ.get("PENSTOCK_GPU_LAYERS", "0"))
"""How many layers the engines of tests hold on a GPU; see CONTRIBUTING.md."""

CONTROL = ("<unk>", "<s>", "</s>")
MERGING = ("<", "/", "s", ">", "</", "s>")
"""Pieces from which SPM can merge the spelling of a control token."""

EVEN = (127 * 128 / 3) ** 0.5  # standard deviation of whole numbers, even from -127 to 127

Bytes: TypeAlias = NDArray[np.uint8]

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] }}: {{ message['content'] }}{{ eos_token }}"
    "{% endfor %}"
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the tiny model; its vocabulary merges `</s>` if nobody prevents it."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_model(path)
    return path


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the slow model."""
    path = tmp_path_factory.mktemp("model") / "slow.gguf"
    write_model(path, Shape(width=512, feed=2048, layers=4))
    return path


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model. ``kv_heads`` of its ``heads`` have keys and values of their own.

    ``words`` are pieces beside those of ``pieces``; ``quantised``: to 8 bits, llama.cpp's Q8_0.
    """

    width: int = 32
    feed: int = 64
    layers: int = 1
    heads: int = 2
    kv_heads: int = 2
    context: int = 512
    words: int = 0
    quantised: bool = False


def write_model(path: Path, shape: Shape | None = None) -> None:
    """Write a model of this shape; none, the tiny one."""
    shape = shape or Shape()
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, shape)
    _tokenizer(writer, shape.words)
    _weights(writer, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pieces(words: int = 0) -> Sequence[str]:
    """The vocabulary, by token id; so many words that no text is parted into."""
    unused = (f"<{number}>" for number in range(words))
    return (*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *MERGING, *unused)


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("tiny")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(len(pieces(shape.words)))


def _tokenizer(writer: gguf.GGUFWriter, words: int) -> None:
    normal, unknown, control, byte = 1, 2, 3, 6
    plain = 1 + len(MERGING) + words
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(pieces(words)))
    writer.add_token_scores([0.0] * (len(CONTROL) + 256) + [-1.0] * plain)
    writer.add_token_types([unknown, control, control, *[byte] * 256, *[normal] * plain])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _weights(writer: gguf.GGUFWriter, shape: Shape) -> None:
    rng, spread = np.random.default_rng(0), 0.3 * (32 / shape.width) ** 0.5
    for name, size in _matrices(shape).items():
        if shape.quantised:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(f"{name}.weight", _quantised(rng, spread, size), raw_dtype=kind)
            continue
        weights = rng.normal(0, spread, size).astype(np.float32)
        if name == "output":
            weights[CONTROL.index("</s>")] = 0  # never the likeliest
        writer.add_tensor(f"{name}.weight", weights)
    norms = [f"blk.{at}.{name}" for at in range(shape.layers) for name in ("attn_norm", "ffn_norm")]
    for name in ("output_norm", *norms):
        writer.add_tensor(f"{name}.weight", np.ones(shape.width, np.float32))


def _matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    width, vocabulary = shape.width, len(pieces(shape.words))
    shared = (shape.kv_heads * width // shape.heads, width)
    layer = {
        "attn_q": (width, width),
        "attn_k": shared,
        "attn_v": shared,
        "attn_output": (width, width),
        "ffn_gate": (shape.feed, width),
        "ffn_up": (shape.feed, width),
        "ffn_down": (width, shape.feed),
    }
    ends = {"token_embd": (vocabulary, width), "output": (vocabulary, width)}
    every = range(shape.layers)
    return ends | {f"blk.{at}.{name}": size for at in every for name, size in layer.items()}


def _quantised(rng: np.random.Generator, spread: float, size: tuple[int, int]) -> Bytes:
    """Blocks of 32 signed bytes, even over their range, after the half-precision number that each
    is times.
    """
    rows, columns = size
    drawn = rng.integers(-127, 128, (rows, columns // 32, 32), dtype=np.int8).view(np.uint8)
    scale = np.full((rows, columns // 32, 1), spread / EVEN, np.float16).view(np.uint8)
    return np.concatenate([scale, drawn], axis=-1).reshape(rows, -1)
