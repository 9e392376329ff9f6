"""Measures the sandbox model and writes its card: ``python -m dataplane.sandbox.model_card``."""

import argparse
import ctypes
import hashlib
import json
import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.stats import mannwhitneyu

from dataplane.sandbox import MODEL_PATH, vocabulary
from dataplane.sandbox.gguf_writer import RECIPE_KEY
from dataplane.sandbox.tasks import DIFFICULTIES, HELD_OUT_IN, MIXES, Query, draw_query

SEED = 20_000
LONGEST_ANSWER = 40
CONTEXT = 128


@dataclass(frozen=True, slots=True)
class Graded:
    """A held-out query, whether the model got it right, and its mean token log-probability."""

    query: Query
    right: bool
    logprob: float


class Reader:
    """llama.cpp on one GGUF, one sequence at a time, one thread."""

    def __init__(self, path: Path) -> None:
        self._silence = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise ValueError(f"{path} is no GGUF that llama.cpp can load; run `make train`")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = CONTEXT
        settings.n_threads = settings.n_threads_batch = 1
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._width = llama_cpp.llama_vocab_n_tokens(self._vocabulary)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of `text` after BOS; control tokens in it count only if `special`."""
        data = text.encode()
        room = len(data) + 8
        tokens = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(
            self._vocabulary, data, len(data), tokens, room, True, special
        )
        return list(tokens[:count])

    def forget(self) -> None:
        """Begin a new sequence."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Next-token logits (vocabulary,) after appending `tokens` to the sequence."""
        given = (llama_cpp.llama_token * len(tokens))(*tokens)  # the batch only points to it
        batch = llama_cpp.llama_batch_get_one(given, len(tokens))
        if code := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode returned {code}")
        row = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(row, (self._width,)).copy()

    def answer(self, text: str) -> tuple[str, float]:
        """Greedy answer to `text` and its mean token log-probability, the final EOS included."""
        self.forget()
        given = self.tokenize(f"{text}\n")
        tokens: list[int] = []
        logprobs: list[float] = []
        while len(tokens) < LONGEST_ANSWER:
            logits = self.logits(given).astype(np.float64)
            token = int(logits.argmax())
            logprobs.append(float(logits[token] - np.logaddexp.reduce(logits)))
            if token == vocabulary.EOS:
                break
            tokens.append(token)
            given = [token]
        return vocabulary.decode(tokens), math.fsum(logprobs) / len(logprobs)


def grade(reader: Reader, queries: Iterable[Query]) -> list[Graded]:
    """Let the model answer each query."""
    graded = []
    for query in queries:
        answer, logprob = reader.answer(query.text)
        graded.append(Graded(query, answer.strip() == query.answer, logprob))
    return graded


def accuracy(graded: Sequence[Graded]) -> float:
    """Share answered right."""
    return sum(one.right for one in graded) / len(graded)


def auroc(graded: Sequence[Graded]) -> float:
    """Probability that a right answer has a higher log-probability than a wrong one; nan if none.

    The Mann-Whitney statistic over the number of pairs (Hanley and McNeil 1982).
    """
    right = [one.logprob for one in graded if one.right]
    wrong = [one.logprob for one in graded if not one.right]
    if not right or not wrong:
        return math.nan
    return float(mannwhitneyu(right, wrong).statistic) / (len(right) * len(wrong))


def card(path: Path, recipe: dict[str, float], graded: Sequence[Graded]) -> str:
    """Render the model card in Markdown."""
    shown = ", ".join(f"{name} {value:g}" for name, value in recipe.items())
    mixes = ", ".join(f"{name} {_in_mix(graded, mix):.3f}" for name, mix in MIXES.items())
    return f"""# penstock-sandbox

A llama-architecture character model that answers short text tasks; the local tier of the demo.
Written by `python -m dataplane.sandbox.model_card`; do not edit.

- File: `{path.name}`, {path.stat().st_size:,} bytes, f16 matrices and f32 norms
- SHA-256: `{hashlib.sha256(path.read_bytes()).hexdigest()}`
- Recipe (`python -m dataplane.sandbox.train`): {shown}
- Data: generated by `dataplane/sandbox/tasks.py`; one problem in {HELD_OUT_IN} by hash is held out
  of training, whatever its phrasing; capitals are a closed set, all of it trained on
- Use: greedy decoding; the chat template reads the last user message only
- Licence: Apache-2.0

Measured with llama.cpp on {len(graded):,} held-out queries (seed {SEED}). AUROC: how well the mean
token log-probability of an answer, its end included, tells right from wrong.

{_table("difficulty", graded, lambda query: str(query.difficulty))}

Expected share right in each mix of the demo: {mixes}.

{_table("kind", graded, lambda query: f"{query.difficulty} {query.kind}")}
"""


def _in_mix(graded: Sequence[Graded], mix: Sequence[float]) -> float:
    levels = ([one for one in graded if one.query.difficulty == level] for level in DIFFICULTIES)
    return sum(share * accuracy(level) for share, level in zip(mix, levels, strict=True))


def _table(title: str, graded: Sequence[Graded], name: Callable[[Query], str]) -> str:
    groups: dict[str, list[Graded]] = {}
    for one in graded:
        groups.setdefault(name(one.query), []).append(one)
    rows = [_row(label, groups[label]) for label in sorted(groups)]
    head = [f"| {title} | example | n | accuracy | AUROC |", "|---|---|---|---|---|"]
    overall = f"| all | | {len(graded)} | {accuracy(graded):.3f} | {auroc(graded):.3f} |"
    return "\n".join([*head, *rows, overall])


def _row(label: str, graded: Sequence[Graded]) -> str:
    first = graded[0].query.text
    area = auroc(graded)
    shown = "" if math.isnan(area) else f"{area:.3f}"
    return f"| {label} | {first} | {len(graded)} | {accuracy(graded):.3f} | {shown} |"


def read_recipe(path: Path) -> dict[str, float]:
    """How the model was trained, from its metadata."""
    recipe: dict[str, float] = json.loads(gguf.GGUFReader(path).fields[RECIPE_KEY].contents())
    return recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the model and write the card beside it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.sandbox.model_card", description=__doc__
    )
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--queries", type=int, default=1000, help="per difficulty")
    chosen = parser.parse_args(arguments)
    try:
        reader = Reader(chosen.model)
    except ValueError as error:
        parser.error(str(error))
    console, rng = Console(), random.Random(SEED)  # noqa: S311  # reproducible, no secret
    queries = [
        draw_query(rng, level, held_out=True)
        for level in DIFFICULTIES
        for _ in range(chosen.queries)
    ]
    graded = grade(reader, track(queries, "answering", console=console))
    text = card(chosen.model, read_recipe(chosen.model), graded)
    chosen.model.with_name("MODEL_CARD.md").write_text(text)
    console.print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
