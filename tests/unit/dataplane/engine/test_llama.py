"""llama.cpp's own promises that the scheduler rests on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dataplane.engine.llama import AbortedError, Context, Model
from tests.tiny_model import GPU_LAYERS

PROMPT = [1, *range(60, 100)]
OTHER = [1, *range(200, 220)]
CLOSE = 2e-2 if GPU_LAYERS else 5e-3  # CUDA multiplies in half precision, by the shape of a batch


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Iterator[Model]:
    model = Model(tiny_model, gpu_layers=GPU_LAYERS)
    yield model
    model.close()


@pytest.fixture
def context(model: Model) -> Iterator[Context]:
    context = Context(model, length=256, slots=2, batch_tokens=64)
    yield context
    context.close()


def logits_after(context: Context, tokens: Sequence[int], slot: int = 0) -> NDArray[np.float32]:
    context.forget(slot)
    index = context.add(slot, 0, tokens, sample=True)
    context.decode()
    return context.logits(index).copy()


def test_a_prompt_in_chunks_beside_another_is_the_same_prompt(context: Context) -> None:
    alone, other = logits_after(context, PROMPT), logits_after(context, OTHER)
    context.forget(0)
    context.forget(1)
    context.add(0, 0, PROMPT[:30], sample=False)
    context.add(1, 0, OTHER[:20], sample=False)
    context.decode()
    last = context.add(0, 30, PROMPT[30:], sample=True)
    last_other = context.add(1, 20, OTHER[20:], sample=True)
    context.decode()
    assert context.logits(last) == pytest.approx(alone, abs=CLOSE)
    assert context.logits(last_other) == pytest.approx(other, abs=CLOSE)


def test_an_aborted_step_can_be_taken_back_and_repeated(context: Context) -> None:
    before = logits_after(context, PROMPT)
    context.forget(0)
    context.add(0, 0, PROMPT[:10], sample=False)
    context.decode()
    context.abort()
    context.add(0, 10, PROMPT[10:], sample=True)
    with pytest.raises(AbortedError):
        context.decode()
    context.forget(0, 10)
    context.resume()
    index = context.add(0, 10, PROMPT[10:], sample=True)
    context.decode()
    assert context.logits(index) == pytest.approx(before, abs=CLOSE)


def test_a_batch_knows_its_room(context: Context) -> None:
    assert context.room == 64
    context.add(0, 0, PROMPT, sample=False)
    assert context.room == 64 - len(PROMPT)
    context.decode()
    assert context.room == 64


def test_pieces_are_the_bytes_of_tokens(model: Model) -> None:
    assert model.piece(3 + 0xC3) == b"\xc3"
    assert model.piece(259) == b" "
    assert model.piece(2) == b""
    assert (model.bos, model.special_text("eos"), model.trained_context) == (1, "</s>", 512)
    assert model.metadata("general.name") == "tiny"
    assert model.metadata("no.such.key") is None
