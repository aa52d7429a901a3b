"""The gradients of one batch, measured outside the training step, for histograms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.training.named_variables import named_variables
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.types import Batch, Examples, Objective, Transform, to_unit


def make_gradient_measure(
    state: TrainState,
    objective: Objective,
    transform: Transform | None,
    examples: Examples,
    strategy: tf.distribute.Strategy,
    seed: int,
) -> Callable[[int], dict[str, np.ndarray]]:
    """Makes the function that measures the gradients of the loss of one batch.

    It changes nothing that training uses: the batch and its noise are its own, and the training
    step stays the program that it is. Its memory is that of a step of `examples` without XLA.

    Args:
        state: what is trained.
        objective: whose loss is differentiated.
        transform: (batch, noise) -> batch, applied first; None for none.
        examples: the batch.
        strategy: that of `state`; each of its replicas computes the same.
        seed: of the run.

    Returns:
        step -> the gradients of the trained variables, float32 [n] for each layer, by
        `gradients/<part>/<layer>`; a variable that the loss does not depend on has none.
    """
    trained = state.trained_variables()
    names = {id(variable): name for name, variable in named_variables(state.model).items()}
    base = fold(make_seed(seed), "gradients")
    rows = len(examples)
    image, label = tf.constant(examples.image), tf.constant(examples.label)

    def compute(step: tf.Tensor) -> list[tf.Tensor | None]:
        noise = BatchNoise(fold(base, step), 0, rows, rows)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            batch = Batch(to_unit(image), label)
            if transform is not None:
                batch = transform(batch, noise)
            terms = objective(state.model, batch, noise, step, lambda x: tf.reduce_mean(x, 0))
            loss = tf.reduce_mean(terms.loss)
        return tape.gradient(loss, trained)

    @tf.function(autograph=False)
    def measure(step: tf.Tensor) -> list[tf.Tensor | None]:
        return strategy.run(compute, (step,))

    def by_layer(step: int) -> dict[str, np.ndarray]:
        layers: dict[str, list[np.ndarray]] = {}
        gradients = measure(tf.constant(step, tf.int64))
        for variable, gradient in zip(trained, gradients, strict=True):
            if gradient is not None:
                # All replicas computed the same.
                first = strategy.experimental_local_results(gradient)[0]
                layer = "/".join(names[id(variable)].split("/")[:2])
                layers.setdefault(f"gradients/{layer}", []).append(first.numpy().ravel())
        return {layer: np.concatenate(parts) for layer, parts in layers.items()}

    return by_layer
