"""JAX: a block of steps in one compiled `lax.scan` over resident data.

Networks with convolutions run one step per call: XLA on a CPU runs convolutions many times slower
within a loop.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from turns import Contender, take_turns, timed

DENSE_BLOCK = 25
ACTIVATIONS = {"relu": jax.nn.relu, "silu": jax.nn.silu, None: lambda x: x}
LAYOUT = ("NHWC", "HWIO", "NHWC")
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7


def init(layer: dict[str, Any], key: jax.Array) -> Any:
    """Returns the weights of a layer."""
    kind = layer["kind"]
    if kind == "residual":
        keys = jax.random.split(key, len(layer["layers"]))
        return [init(inner, key) for inner, key in zip(layer["layers"], keys, strict=True)]
    if kind == "norm":
        return [jnp.ones([layer["channels"]]), jnp.zeros([layer["channels"]])]
    if kind not in ("linear", "conv", "conv_transpose"):
        return []
    field = [] if kind == "linear" else [layer["kernel"]] * 2
    kernel = jax.nn.initializers.glorot_uniform()(key, [*field, layer["in"], layer["out"]])
    return [kernel, jnp.zeros([layer["out"]])]


def group_norm(layer: dict[str, Any], weights: Any, x: jax.Array) -> jax.Array:
    """Normalises groups of channels of each example in float32."""
    grouped = x.astype(jnp.float32).reshape(*x.shape[:3], layer["groups"], -1)
    mean = grouped.mean((1, 2, 4), keepdims=True)
    variance = grouped.var((1, 2, 4), keepdims=True)
    grouped = (grouped - mean) * lax.rsqrt(variance + 1e-5)
    return grouped.reshape(x.shape) * weights[0] + weights[1]


def apply(layer: dict[str, Any], weights: Any, x: jax.Array, dtype: Any) -> jax.Array:
    """Computes a layer of [B, H, W, C] or [B, features]."""
    kind = layer["kind"]
    if kind == "residual":
        return x + chain(layer["layers"], weights, x, dtype)
    if kind == "flatten":
        return x.reshape(len(x), -1)
    if kind == "reshape":
        return x.reshape(-1, *layer["shape"])
    if kind == "pool":
        return x.astype(jnp.float32).mean((1, 2))
    if kind == "upsample":
        return x.repeat(layer["factor"], 1).repeat(layer["factor"], 2)
    if kind == "pad":
        missing = [(0, size - have) for size, have in zip(layer["size"], x.shape[1:3], strict=True)]
        return jnp.pad(x, [(0, 0), *missing, (0, 0)])
    if kind == "crop":
        return x[:, : layer["size"][0], : layer["size"][1]]
    activation = ACTIVATIONS[layer["activation"]]
    if kind == "norm":
        return activation(group_norm(layer, weights, x).astype(dtype))
    dtype = jnp.float32 if layer["is_float32"] else dtype
    kernel, bias = (weight.astype(dtype) for weight in weights)
    x = x.astype(dtype)
    if kind == "linear":
        x = x @ kernel
    else:
        strides = [layer["stride"]] * 2
        convolve = lax.conv_general_dilated if kind == "conv" else lax.conv_transpose
        x = convolve(x, kernel, strides, "SAME", dimension_numbers=LAYOUT)
    return activation(x + bias)


def chain(layers: list[dict[str, Any]], weights: Any, x: jax.Array, dtype: Any) -> jax.Array:
    """Computes layers one after another."""
    for layer, own in zip(layers, weights, strict=True):
        x = apply(layer, own, x, dtype)
    return x


def compute_loss(weights: Any, image: jax.Array, key: jax.Array, case: dict[str, Any]) -> jax.Array:
    """Returns the mean loss of a batch, with the same model and loss as the package's."""
    dtype = jnp.dtype(case["precision"])
    encoder, decoder = case["network"]["encoder"], case["network"]["decoder"]
    image = image.astype(jnp.float32) / 255.0
    mean, raw = jnp.split(chain(encoder, weights[0], image, dtype), 2, -1)
    log_variance = 10.0 * jnp.tanh(raw / 10.0)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    logits = chain(decoder, weights[1], z, dtype).astype(jnp.float32)
    kl = 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1.0).sum(-1)
    if case["settings"]["likelihood"] == "bernoulli":
        error = (jax.nn.softplus(logits) - image * logits).sum((1, 2, 3))
    else:
        error = ((jax.nn.sigmoid(logits) - image) ** 2).mean((1, 2, 3))
    return (error + case["settings"]["kl_weight"] * kl).mean()


def update(state: Any, gradients: Any, rate: float) -> Any:
    """Returns (weights, m, v, count) after a step of Adam."""
    weights, m, v, count = state
    count = count + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradients)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradients)
    rate = rate * jnp.sqrt(1 - BETA2**count) / (1 - BETA1**count)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), weights, m, v)
    return weights, m, v, count


def build(case: dict[str, Any]) -> Contender:
    """Builds the compiled block."""
    images = jnp.asarray(np.load(case["images"]))
    networks = [case["network"]["encoder"], case["network"]["decoder"]]
    weights = [
        [init(layer, jax.random.fold_in(jax.random.key(part), i)) for i, layer in enumerate(layers)]
        for part, layers in enumerate(networks)
    ]
    is_dense = case["settings"]["network"] == "mlp"
    block = DENSE_BLOCK if is_dense else 1
    batch_size, rate = case["batch_size"], case["settings"]["learning_rate"]

    @functools.partial(jax.jit, donate_argnums=0)
    def train_block(state: Any, images: jax.Array, order: jax.Array) -> Any:
        def step(carry: Any, rows: jax.Array) -> Any:
            state, key = carry
            key, own = jax.random.split(key)
            loss, gradients = jax.value_and_grad(compute_loss)(state[0], images[rows], own, case)
            return (update(state, gradients, rate), key), loss

        return lax.scan(step, state, order)

    zeros = jax.tree.map(jnp.zeros_like, weights)
    again = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, again, jnp.zeros([])), jax.random.key(0)
    random = np.random.default_rng(0)
    parameters = sum(weight.size for weight in jax.tree.leaves(weights))

    def train(steps: int) -> float:
        nonlocal state
        for _ in range(steps // block):
            order = random.integers(0, len(images), [block, batch_size], np.int32)
            state, losses = train_block(state, images, order)
        return float(losses[-1])

    return Contender(timed(train, batch_size), parameters, block)


if __name__ == "__main__":
    take_turns({f"scan of {DENSE_BLOCK} steps (convolutions: 1)": build})
