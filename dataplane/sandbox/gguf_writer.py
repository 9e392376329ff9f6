"""Writes the sandbox model as GGUF: matrices f16, norms f32, tokenizer and chat template inside."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from dataplane.sandbox import vocabulary
from dataplane.sandbox.shape import Shape

CHAT_TEMPLATE = (
    "{%- for message in messages if message['role'] == 'user' -%}"
    "{%- if loop.last -%}{{- message['content'] -}}{%- endif -%}"
    "{%- endfor -%}{{- '\\n' -}}"
)
"""Renders the last user message and a line feed, and no control token: the tokenizer adds BOS.

So everything it renders may be tokenised as plain text, and nothing in it can be a control token.
"""
_LAYER_NAMES: Mapping[str, str] = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "attention_out": "attn_output",
    "feed_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_TOP_NAMES: Mapping[str, str] = {
    "embedding": "token_embd",
    "output_norm": "output_norm",
    "output": "output",
}


RECIPE_KEY = "penstock.recipe"
"""Metadata: how the model was trained, as JSON."""


def write(
    path: Path,
    parameters: Mapping[str, NDArray[np.float32]],
    shape: Shape,
    recipe: Mapping[str, float],
) -> None:
    """Write the model; `parameters` by name as `network.initial` shapes them."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string(RECIPE_KEY, json.dumps(recipe))
    _add_shape(writer, shape)
    _add_tokenizer(writer)
    for name, value in _tensors(parameters):
        writer.add_tensor(name, value.astype(np.float32 if "norm" in name else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any, shape: Shape) -> None:
    writer.add_name("penstock-sandbox")
    writer.add_license("Apache-2.0")
    writer.add_description("Character model of short text tasks, for the Penstock sandbox")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.rms_epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)


def _add_tokenizer(writer: Any) -> None:
    kinds = (
        [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
        + [gguf.TokenType.BYTE] * 256
        + [gguf.TokenType.NORMAL]
    )
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.PIECES)
    writer.add_token_scores([0.0] * len(vocabulary.PIECES))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(vocabulary.UNKNOWN)
    writer.add_bos_token_id(vocabulary.BOS)
    writer.add_eos_token_id(vocabulary.EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _tensors(
    parameters: Mapping[str, NDArray[np.float32]],
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, ours in _TOP_NAMES.items():
        yield f"{ours}.weight", parameters[name]
    for name, ours in _LAYER_NAMES.items():
        for layer, value in enumerate(parameters[name]):
            yield f"blk.{layer}.{ours}.weight", value
