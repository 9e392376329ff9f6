import json
from pathlib import Path

import gguf
import numpy as np

from dataplane.sandbox import gguf_writer
from dataplane.sandbox.shape import Shape

SMALL = Shape(width=32, layers=2, heads=1, hidden=64)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layered: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("query", "key", "value", "attention_out"), (32, 32)),
        **dict.fromkeys(("gate", "up"), (64, 32)),
        **dict.fromkeys(("attention_norm", "feed_norm"), (32,)),
        "down": (32, 64),
    }
    whole = {"embedding": (260, 32), "output": (260, 32), "output_norm": (32,)}
    sizes = whole | {name: (SMALL.layers, *size) for name, size in layered.items()}
    parameters = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}

    path = tmp_path / "small.gguf"
    gguf_writer.write(path, parameters, SMALL, {"seed": 4})

    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    assert len(tensors) == len(whole) + SMALL.layers * len(layered)
    assert (tensors["blk.1.ffn_down.weight"] == parameters["down"][1].astype(np.float16)).all()
    assert (tensors["blk.0.attn_norm.weight"] == parameters["attention_norm"][0]).all()
    assert (tensors["token_embd.weight"] == parameters["embedding"].astype(np.float16)).all()
    assert json.loads(reader.fields[gguf_writer.RECIPE_KEY].contents()) == {"seed": 4}
