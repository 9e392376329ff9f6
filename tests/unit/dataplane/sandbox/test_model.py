import hashlib
import json

import gguf

from dataplane.sandbox import MODEL_PATH, model_sha256, vocabulary
from dataplane.sandbox.gguf_writer import CHAT_TEMPLATE, RECIPE_KEY
from dataplane.sandbox.shape import Shape


def test_the_shipped_model_is_small_and_the_one_its_digest_names() -> None:
    assert MODEL_PATH.stat().st_size < 4_000_000
    assert hashlib.sha256(MODEL_PATH.read_bytes()).hexdigest() == model_sha256()


def test_the_card_describes_the_shipped_model() -> None:
    card = MODEL_PATH.with_name("MODEL_CARD.md").read_text()
    assert model_sha256() in card


def test_the_metadata_says_what_llama_cpp_must_know() -> None:
    fields, shape = gguf.GGUFReader(MODEL_PATH).fields, Shape()
    expected = {
        "general.architecture": "llama",
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.context_length": shape.context,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": list(vocabulary.PIECES),
        "tokenizer.ggml.bos_token_id": vocabulary.BOS,
        "tokenizer.ggml.eos_token_id": vocabulary.EOS,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    assert {key: fields[key].contents() for key in expected} == expected
    assert {"seed", "steps"} <= json.loads(fields[RECIPE_KEY].contents()).keys()


def test_matrices_are_halves_norms_are_floats_and_widths_suit_ggml() -> None:
    for tensor in gguf.GGUFReader(MODEL_PATH).tensors:
        wanted = "F32" if "norm" in tensor.name else "F16"
        assert tensor.tensor_type.name == wanted, tensor.name
        assert tensor.shape[0] % 32 == 0, tensor.name
