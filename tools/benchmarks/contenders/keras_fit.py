"""Keras 3 `fit` on TensorFlow, in the fastest of several settings."""

from __future__ import annotations

import functools
import os
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from turns import Contender, take_turns

EXECUTED_STEPS = 10


def build_layer(layer: dict[str, Any]) -> keras.layers.Layer:
    """Returns the Keras layer of a description."""
    kind = layer["kind"]
    full = {"dtype": "float32"} if layer.get("is_float32") else {}
    activation = layer.get("activation")
    if kind == "linear":
        return layers.Dense(layer["out"], activation=activation, **full)
    if kind in ("conv", "conv_transpose"):
        build = layers.Conv2D if kind == "conv" else layers.Conv2DTranspose
        return build(
            layer["out"], layer["kernel"], layer["stride"], "same", activation=activation, **full
        )
    if kind == "norm":
        norm = layers.GroupNormalization(layer["groups"], epsilon=1e-5)
        return keras.Sequential([norm, layers.Activation(activation)])
    if kind == "residual":
        return Residual(layer["layers"])
    if kind == "upsample":
        return layers.UpSampling2D(layer["factor"])
    if kind == "pad":
        return PadTo(layer["size"])
    if kind == "crop":
        return CropTo(layer["size"])
    return {
        "flatten": layers.Flatten,
        "reshape": lambda: layers.Reshape(layer["shape"]),
        "pool": lambda: layers.GlobalAveragePooling2D(dtype="float32"),
    }[kind]()


class Residual(keras.layers.Layer):
    """Adds the output of a chain of layers to its input."""

    def __init__(self, chain: list[dict[str, Any]]) -> None:
        super().__init__()
        self.chain = [build_layer(layer) for layer in chain]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        residual = x
        for layer in self.chain:
            residual = layer(residual)
        return x + residual


class PadTo(keras.layers.Layer):
    """Adds zeros below and to the right."""

    def __init__(self, size: list[int]) -> None:
        super().__init__()
        self.size = size

    def call(self, x: tf.Tensor) -> tf.Tensor:
        missing = [size - have for size, have in zip(self.size, x.shape[1:3], strict=True)]
        return ops.pad(x, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])


class CropTo(keras.layers.Layer):
    """Keeps the upper left corner."""

    def __init__(self, size: list[int]) -> None:
        super().__init__(dtype="float32")
        self.size = size

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x[:, : self.size[0], : self.size[1]]


class KerasVAE(keras.Model):
    """The same model and loss as the package's."""

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__()
        self.encoder = keras.Sequential(map(build_layer, case["network"]["encoder"]))
        self.decoder = keras.Sequential(map(build_layer, case["network"]["decoder"]))
        self.noise = keras.random.SeedGenerator(0)
        self.is_bernoulli = case["settings"]["likelihood"] == "bernoulli"
        self.kl_weight = case["settings"]["kl_weight"]

    def call(self, image: tf.Tensor) -> tf.Tensor:
        image = ops.cast(image, "float32") / 255.0
        mean, raw = ops.split(ops.cast(self.encoder(image), "float32"), 2, axis=-1)
        log_variance = 10.0 * ops.tanh(raw / 10.0)
        noise = keras.random.normal(ops.shape(mean), dtype="float32", seed=self.noise)
        z = mean + ops.exp(0.5 * log_variance) * noise
        logits = ops.cast(self.decoder(z), "float32")
        kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0, -1)
        if self.is_bernoulli:
            error = ops.binary_crossentropy(image, logits, from_logits=True)
            error = ops.sum(error, [1, 2, 3])
        else:
            error = ops.mean(ops.square(ops.sigmoid(logits) - image), [1, 2, 3])
        self.add_loss(ops.mean(error + self.kl_weight * kl))
        return logits


class Clock(keras.callbacks.Callback):
    """Times a fit from the end of its first execution to the end of its last one."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.first = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.last = time.perf_counter(), batch
        self.first = self.first or self.last


def shuffled_batches(images: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Shuffles indices and gathers whole batches of rows, the fastest way in tf.data; endless."""
    resident = tf.constant(images)
    rows = tf.data.Dataset.range(len(images)).shuffle(len(images)).repeat()
    rows = rows.batch(batch_size, drop_remainder=True)
    batches = rows.map(lambda index: tf.gather(resident, index), tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def build(
    case: dict[str, Any], *, jit_compile: bool, steps_per_execution: int, feed: str
) -> Contender:
    """Compiles the model for `fit` in one setting."""
    keras.config.set_dtype_policy(
        "float32" if case["precision"] == "float32" else f"mixed_{case['precision']}"
    )
    keras.utils.set_random_seed(0)
    images = np.load(case["images"])
    batch_size = case["batch_size"]
    model = KerasVAE(case)
    model.compile(
        optimizer=keras.optimizers.Adam(case["settings"]["learning_rate"]),
        jit_compile=jit_compile,
        steps_per_execution=steps_per_execution,
    )
    if feed == "tf.data":
        data = {"x": shuffled_batches(images, batch_size)}
    else:
        data = {"x": images, "batch_size": batch_size}
    steps_per_epoch = len(images) // batch_size
    clock = Clock()

    def run(steps: int) -> tuple[int, float, float]:
        done = seconds = 0
        while done < steps:
            epoch = min(steps - done, steps_per_epoch)
            start = time.perf_counter()
            history = model.fit(**data, steps_per_epoch=epoch, verbose=0, callbacks=[clock])
            end = time.perf_counter()
            (first, first_batch), (last, last_batch) = clock.first, clock.last
            timed_steps = last_batch - first_batch
            # Leaves out what fit does before its first steps, if there are further steps to time.
            seconds += (last - first) * epoch / timed_steps if timed_steps else end - start
            done += epoch
        return done * batch_size, seconds, history.history["loss"][-1]

    model(images[:1])  # Creates the weights.
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return Contender(run, parameters, 2 * EXECUTED_STEPS)


SETTINGS = {
    "numpy, no XLA, 1 step per execution": (False, 1, "numpy"),
    f"numpy, no XLA, {EXECUTED_STEPS} steps per execution": (False, EXECUTED_STEPS, "numpy"),
    f"tf.data, no XLA, {EXECUTED_STEPS} steps per execution": (False, EXECUTED_STEPS, "tf.data"),
    f"tf.data, XLA, {EXECUTED_STEPS} steps per execution": (True, EXECUTED_STEPS, "tf.data"),
}

if __name__ == "__main__":
    take_turns(
        {
            name: functools.partial(build, jit_compile=jit, steps_per_execution=steps, feed=feed)
            for name, (jit, steps, feed) in SETTINGS.items()
        }
    )
