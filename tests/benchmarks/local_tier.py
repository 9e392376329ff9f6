"""How fast the engine answers, and the memory it takes: ``python -m tests.benchmarks.local_tier``.

Time does not hang on what weights say: the model is SIMULATED, seeded noise in the shape of a
Llama, its weights in 8 bits, some 32,000 pieces in its vocabulary. It is served as the gateway
serves it, by the engine's process over its socket, once for each of ``--gpu-layers``.

*First token*: from a request's first byte to the first piece of its answer. *Token*: between two
pieces of an answer that is alone, and tokens a second of as many answers at once as there are
slots. *Free again*: from a client's leaving, amid its prompt, to its slot's being free.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.benchmarks.command import report
from tests.benchmarks.figure import Figure, table
from tests.engines import Connection, Engine, running
from tests.tiny_model import Shape, write_model

WORDS, CONTEXT = 32_000, 2048
SHAPES = {
    "1b": Shape(2048, 5632, 22, 32, 4, CONTEXT, WORDS, quantised=True),
    "8b": Shape(4096, 14336, 32, 32, 8, CONTEXT, WORDS, quantised=True),
}
PROMPTS = (64, 512, 1900)  # tokens, but for the few of the template
ANSWER = 96  # tokens
REPEATS = 5
READY_S = 300.0


def measured(model: Path, slots: int, threads: int, gpu_layers: int) -> dict[str, Figure]:
    """The figures of one engine."""
    options = {"context": CONTEXT, "slots": slots, "threads": threads, "gpu_layers": gpu_layers}
    began_s = time.perf_counter()
    with running(model, READY_S, **options) as engine:
        named = {"ready": _figure([time.perf_counter() - began_s], "s")}
        engine.chat()  # the first answer of a process loads what the others find
        for tokens in PROMPTS:
            named[f"first_token_{tokens}"] = _figure(_repeated(_first, engine, tokens), "s")
        named["token"] = _figure(_repeated(_pace, engine), "s")
        named["tokens_together"] = _figure(
            _repeated(_together, engine, slots), "tokens/s", "higher"
        )
        named["free_again"] = _figure(_repeated(_leaving, engine), "s")
        health = engine.request("GET", "/health")[1]
    memory = {"rss": health["memory_rss_bytes"], "gpu": health["gpu_memory_used_bytes"] or 0}
    sizes = {f"{name}_bytes": _figure([size], "bytes") for name, size in memory.items()}
    return named | sizes


def _figure(values: Sequence[float], unit: str, better: str = "lower") -> Figure:
    """Their median, lowest and highest."""
    return Figure(float(np.median(values)), unit, better, min(values), max(values), len(values))


def _repeated(measure: Callable[..., float], *asked: Any) -> list[float]:
    return [measure(*asked) for _ in range(REPEATS)]


def _body(tokens: int, answer: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": "x" * tokens}]
    return {"messages": messages, "max_tokens": answer, "temperature": 0, "stream": True}


def _arrivals(engine: Engine, prompt: int, answer: int) -> Iterator[float]:
    """Seconds from the request on at which each piece of an answer came."""
    connection = Connection(engine.path)
    began_s = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(_body(prompt, answer)))
    try:
        for line in connection.getresponse():
            if b'"content":"' in line and b'"content":""' not in line:
                yield time.perf_counter() - began_s
    finally:
        connection.close()


def _first(engine: Engine, prompt: int) -> float:
    return next(_arrivals(engine, prompt, 1))


def _pace(engine: Engine) -> float:
    """Seconds between two pieces of an answer that is alone."""
    arrived = list(_arrivals(engine, PROMPTS[0], ANSWER))
    return (arrived[-1] - arrived[0]) / (len(arrived) - 1)


def _together(engine: Engine, slots: int) -> float:
    """Tokens a second of ``slots`` answers at once."""
    began_s = time.perf_counter()
    with ThreadPoolExecutor(slots) as callers:
        usages = callers.map(lambda _: _usage(engine), range(slots))
        return sum(usages) / (time.perf_counter() - began_s)


def _usage(engine: Engine) -> int:
    body = _body(PROMPTS[0], ANSWER) | {"stream": False}
    return int(
        engine.request("POST", "/v1/chat/completions", body)[1]["usage"]["completion_tokens"]
    )


def _leaving(engine: Engine) -> float:
    """Seconds until a slot is free whose client left amid its prompt."""
    with engine.leaving(_body(PROMPTS[-1], 1)):
        pass
    began_s = time.perf_counter()
    engine.wait_until_idle(60)
    return time.perf_counter() - began_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; 0 once measured."""
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.local_tier", description=__doc__
    )
    made.add_argument("--shape", choices=SHAPES, default="1b", help="of the model")
    made.add_argument("--gpu-layers", type=int, nargs="+", default=[0], help="on the GPU; -1: all")
    made.add_argument("--slots", type=int, default=4, help="answers at once")
    made.add_argument("--threads", type=int, default=1, help="of the processor")
    made.add_argument("--json", help="write the figures to FILE, - for standard output")
    given = made.parse_args(arguments)
    with TemporaryDirectory(prefix="penstock-model-") as folder:
        model = Path(folder) / "noise.gguf"
        write_model(model, SHAPES[given.shape])
        named: dict[str, Figure] = {}
        for layers in given.gpu_layers:
            found = measured(model, given.slots, given.threads, layers)
            named |= {f"{given.shape}_layers{layers}_{name}": each for name, each in found.items()}
            sys.stderr.write(table(found) + "\n")
    report(named, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
