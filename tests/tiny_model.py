"""GGUF files of seeded random weights: llama architecture, SPM tokenizer with byte tokens.

The tiny one loads in milliseconds. The slow one takes milliseconds for a token, so that a test
can step in before it has finished. Neither ends by itself at temperature 0.
"""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

HEADS, CONTEXT = 2, 512
CONTROL = ("<unk>", "<s>", "</s>")
MERGING = ("<", "/", "s", ">", "</", "s>")
"""Pieces from which SPM can merge the spelling of a control token."""

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
    write_model(path, width=512, feed=2048, layers=4)
    return path


def write_model(path: Path, *, width: int = 32, feed: int = 64, layers: int = 1) -> None:
    """Write a model of these sizes."""
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, width, feed, layers)
    _tokenizer(writer)
    _weights(writer, width, feed, layers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pieces() -> Sequence[str]:
    """The vocabulary, by token id."""
    return (*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *MERGING)


def _describe(writer: gguf.GGUFWriter, width: int, feed: int, layers: int) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_vocab_size(len(pieces()))


def _tokenizer(writer: gguf.GGUFWriter) -> None:
    normal, unknown, control, byte = 1, 2, 3, 6
    types = [unknown, control, control, *[byte] * 256, *[normal] * (1 + len(MERGING))]
    scores = [0.0] * len(CONTROL) + [0.0] * 256 + [-1.0] * (1 + len(MERGING))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(pieces()))
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _weights(writer: gguf.GGUFWriter, width: int, feed: int, layers: int) -> None:
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(pieces()), width), "output": (len(pieces()), width)}
    norms = ["output_norm"]
    for layer in range(layers):
        attention = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (width, width))
        feeding = {"ffn_gate": (feed, width), "ffn_up": (feed, width), "ffn_down": (width, feed)}
        shapes |= {f"blk.{layer}.{name}": s for name, s in (attention | feeding).items()}
        norms += [f"blk.{layer}.{name}" for name in ("attn_norm", "ffn_norm")]
    for name, shape in shapes.items():
        weights = rng.normal(0, 0.3 * (32 / width) ** 0.5, shape).astype(np.float32)
        if name == "output":
            weights[CONTROL.index("</s>")] = 0  # never the likeliest
        writer.add_tensor(f"{name}.weight", weights)
    for name in norms:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
