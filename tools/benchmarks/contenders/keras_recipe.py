"""Trains by a recipe with Keras `fit` and writes the loss on the test set.

python keras_recipe.py CASE.json LOSS.json
"""

from __future__ import annotations

import keras
import numpy as np
from keras_fit import EXECUTED_STEPS, KerasVAE, shuffled_batches
from recipe import Recipe, main


class WarmUp(keras.callbacks.Callback):
    """Sets the KL weight before each execution."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.step = recipe, 0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.model.kl_weight.assign(self.recipe.kl_weight(self.step))
        self.step += EXECUTED_STEPS


def train(recipe: Recipe, train_images: np.ndarray, test_images: np.ndarray) -> float:
    """Returns the loss on the test set."""
    keras.config.set_dtype_policy(
        "float32" if recipe.precision == "float32" else f"mixed_{recipe.precision}"
    )
    keras.utils.set_random_seed(recipe.seed)
    model = KerasVAE(recipe.case)
    model.kl_weight = keras.Variable(0.0, trainable=False, dtype="float32")
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate, recipe.steps, recipe.final_fraction
    )
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate,
            *recipe.betas,
            recipe.epsilon,
            use_ema=recipe.ema_decay is not None,
            ema_momentum=recipe.ema_decay or 0.99,
        ),
        # XLA is slow at convolutions on a CPU.
        jit_compile=recipe.is_dense,
        steps_per_execution=EXECUTED_STEPS,
    )
    model(train_images[:1])  # Creates the weights.
    batches = shuffled_batches(train_images, recipe.batch_size)
    model.fit(batches, steps_per_epoch=recipe.steps, verbose=0, callbacks=[WarmUp(recipe)])
    model.kl_weight.assign(recipe.kl_weight(recipe.steps))
    return model.evaluate(test_images, batch_size=500, verbose=0)


if __name__ == "__main__":
    main(train)
