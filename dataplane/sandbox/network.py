"""The sandbox model as llama.cpp computes it: a small llama-architecture transformer, in JAX."""

import jax
import jax.numpy as jnp

from dataplane.sandbox.shape import Shape

Parameters = dict[str, jax.Array]
"""Weights by name, each matrix (outputs, inputs), those of the layers stacked first by layer."""


def initial(key: jax.Array, shape: Shape) -> Parameters:
    """Draw the starting weights: normal, scaled by fan-in; what a layer adds starts at zero."""
    width, hidden, layers = shape.width, shape.hidden, shape.layers
    drawn = {
        "embedding": (shape.vocabulary, width),
        "query": (layers, width, width),
        "key": (layers, width, width),
        "value": (layers, width, width),
        "gate": (layers, hidden, width),
        "up": (layers, hidden, width),
    }
    keys = jax.random.split(key, len(drawn))
    return {
        name: jax.random.normal(one, size) * width**-0.5
        for one, (name, size) in zip(keys, drawn.items(), strict=True)
    } | {
        "attention_out": jnp.zeros((layers, width, width)),
        "down": jnp.zeros((layers, width, hidden)),
        "output": jnp.zeros((shape.vocabulary, width)),
        "attention_norm": jnp.ones((layers, width)),
        "feed_norm": jnp.ones((layers, width)),
        "output_norm": jnp.ones(width),
    }


def logits(
    parameters: Parameters, shape: Shape, tokens: jax.Array, segments: jax.Array
) -> jax.Array:
    """Next-token logits (rows, length, vocabulary) of packed `tokens` (rows, length).

    A token attends to itself and earlier tokens of its own segment.
    """
    top = ("embedding", "output", "output_norm")
    layers = {name: value for name, value in parameters.items() if name not in top}
    length = tokens.shape[1]
    mask = jnp.tril(jnp.ones((length, length), bool))
    mask = mask & (segments[:, :, None] == segments[:, None, :])
    turns = _turns(shape, length)

    def layer(x: jax.Array, weights: Parameters) -> tuple[jax.Array, None]:
        x = x + _attention(_rms(x, weights["attention_norm"], shape), weights, shape, mask, turns)
        return x + _feed(_rms(x, weights["feed_norm"], shape), weights), None

    x, _ = jax.lax.scan(layer, parameters["embedding"][tokens], layers, unroll=shape.layers)
    return _rms(x, parameters["output_norm"], shape) @ parameters["output"].T


def _rms(x: jax.Array, scale: jax.Array, shape: Shape) -> jax.Array:
    mean_square = jnp.mean(x * x, axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(mean_square + shape.rms_epsilon) * scale


def _turns(shape: Shape, length: int) -> tuple[jax.Array, jax.Array]:
    pairs = jnp.arange(0, shape.head_width, 2) / shape.head_width
    angles = jnp.arange(length)[:, None] * shape.rope_base**-pairs
    return jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]


def _rope(x: jax.Array, turns: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotate neighbouring pairs (2i, 2i + 1), as llama.cpp does for this architecture."""
    cos, sin = turns
    even, odd = x[..., ::2], x[..., 1::2]
    return jnp.stack((even * cos - odd * sin, even * sin + odd * cos), axis=-1).reshape(x.shape)


def _attention(
    x: jax.Array,
    weights: Parameters,
    shape: Shape,
    mask: jax.Array,
    turns: tuple[jax.Array, jax.Array],
) -> jax.Array:
    heads = (*x.shape[:2], shape.heads, shape.head_width)
    query, key, value = ((x @ weights[name].T).reshape(heads) for name in ("query", "key", "value"))
    scores = jnp.einsum("bqhd,bkhd->bhqk", _rope(query, turns), _rope(key, turns))
    scores = jnp.where(mask[:, None], scores * shape.head_width**-0.5, -jnp.inf)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)
    return mixed.reshape(x.shape) @ weights["attention_out"].T


def _feed(x: jax.Array, weights: Parameters) -> jax.Array:
    return (jax.nn.silu(x @ weights["gate"].T) * (x @ weights["up"].T)) @ weights["down"].T
