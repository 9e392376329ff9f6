"""Trains the sandbox's local model from nothing: ``python -m dataplane.sandbox.train``.

Next-token prediction on answers only, over freshly drawn problems of the training split. Muon
(K. Jordan et al., 2024, "Muon: an optimizer for hidden layers") for the layers' matrices, AdamW
for the rest; a warm-up, a plateau, then a linear descent to zero. One core is enough, and the same
seed on the same machine gives the same weights.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from dataplane.sandbox import MODEL_PATH, corpus, gguf_writer, network
from dataplane.sandbox.network import Parameters
from dataplane.sandbox.shape import Shape

LOG_EVERY = 100

Step = Callable[
    [Parameters, optax.OptState, corpus.Batch], tuple[Parameters, optax.OptState, jax.Array]
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines the weights, the code and the task set apart."""

    seed: int = 0
    data_seed: int = 1
    steps: int = 1000
    rows: int = 64
    length: int = 64
    matrix_rate: float = 0.02
    other_rate: float = 0.008
    warmup_steps: int = 30
    descent: float = 0.5


def train(recipe: Recipe, shape: Shape, console: Console) -> Parameters:
    """Train from nothing by `recipe`, logging the loss per answer token."""
    parameters = network.initial(jax.random.key(recipe.seed), shape)
    optimizer = _optimizer(recipe, parameters)
    state = optimizer.init(parameters)
    step = _step(optimizer, shape)
    losses: list[jax.Array] = []
    with Progress(
        *Progress.get_default_columns()[:3],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("training", total=recipe.steps)
        batches = corpus.batches(recipe.data_seed, recipe.rows, recipe.length)
        for number, batch in zip(range(1, recipe.steps + 1), batches, strict=False):
            parameters, state, loss = step(parameters, state, batch)
            losses.append(loss)
            progress.advance(task)
            if number % LOG_EVERY == 0 or number == recipe.steps:
                console.print(f"step {number:>5}  loss {np.mean(losses):.4f}")
                losses.clear()
    return parameters


def _optimizer(recipe: Recipe, parameters: Parameters) -> optax.GradientTransformation:
    by_row = contrib.MuonDimensionNumbers(reduction_axis=2, output_axis=1)
    return contrib.muon(
        _schedule(recipe, recipe.matrix_rate),
        adam_learning_rate=_schedule(recipe, recipe.other_rate),
        adam_b2=0.98,
        muon_weight_dimension_numbers={
            name: by_row if value.ndim == 3 else None for name, value in parameters.items()
        },
    )


def _schedule(recipe: Recipe, peak: float) -> optax.Schedule:
    descent = int(recipe.steps * recipe.descent)
    return optax.join_schedules(
        (
            optax.linear_schedule(0.0, peak, recipe.warmup_steps),
            optax.constant_schedule(peak),
            optax.linear_schedule(peak, 0.0, descent),
        ),
        (recipe.warmup_steps, recipe.steps - descent),
    )


def _step(optimizer: optax.GradientTransformation, shape: Shape) -> Step:
    def loss(
        parameters: Parameters,
        tokens: jax.Array,
        targets: jax.Array,
        weights: jax.Array,
        segments: jax.Array,
    ) -> jax.Array:
        logits = network.logits(parameters, shape, tokens, segments)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return jnp.sum(each * weights) / jnp.sum(weights)

    def update(
        parameters: Parameters, state: optax.OptState, *batch: jax.Array
    ) -> tuple[Parameters, optax.OptState, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(parameters, *batch)
        change, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, change), state, value

    compiled = jax.jit(update)
    return lambda parameters, state, batch: compiled(
        parameters, state, batch.tokens, batch.targets, batch.weights, batch.segments
    )


def save(path: Path, parameters: Parameters, shape: Shape, recipe: Recipe) -> str:
    """Write the GGUF and its ``.sha256`` beside it; returns the digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: np.asarray(value) for name, value in parameters.items()}
    gguf_writer.write(path, weights, shape, asdict(recipe))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    return digest


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write the model; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dataplane.sandbox.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--seed", type=int, default=Recipe().seed, help="of the first weights")
    parser.add_argument("--out", type=Path, default=MODEL_PATH)
    chosen = parser.parse_args(arguments)
    console, shape = Console(), Shape()
    recipe = Recipe(seed=chosen.seed, steps=chosen.steps)
    parameters = train(recipe, shape, console)
    digest = save(chosen.out, parameters, shape, recipe)
    console.print(f"{chosen.out}  {chosen.out.stat().st_size:,} bytes  sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
