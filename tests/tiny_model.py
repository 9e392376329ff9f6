"""A GGUF of random weights that loads in milliseconds: llama architecture, one layer, SPM bytes."""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

WIDTH, FEED, HEADS, CONTEXT = 32, 64, 2, 512
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
    write_tiny_model(path)
    return path


def write_tiny_model(path: Path, *, template: str | None = TEMPLATE, seed: int = 0) -> None:
    """Write a model of seeded random weights."""
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer)
    _tokenizer(writer, template)
    _weights(writer, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pieces() -> Sequence[str]:
    """The vocabulary, by token id."""
    return (*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *MERGING)


def _describe(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(pieces()))


def _tokenizer(writer: gguf.GGUFWriter, template: str | None) -> None:
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
    if template is not None:
        writer.add_chat_template(template)


def _weights(writer: gguf.GGUFWriter, rng: np.random.Generator) -> None:
    shapes = {
        "token_embd": (len(pieces()), WIDTH),
        "output": (len(pieces()), WIDTH),
        "blk.0.attn_q": (WIDTH, WIDTH),
        "blk.0.attn_k": (WIDTH, WIDTH),
        "blk.0.attn_v": (WIDTH, WIDTH),
        "blk.0.attn_output": (WIDTH, WIDTH),
        "blk.0.ffn_gate": (FEED, WIDTH),
        "blk.0.ffn_up": (FEED, WIDTH),
        "blk.0.ffn_down": (WIDTH, FEED),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
