"""The signatures of an export: what a model can do, as functions of fixed inputs and outputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.serving.input_checks import CheckedFunction, make_inputs
from vae_lowlevel.serving.model_functions import ModelFunctions
from vae_lowlevel.serving.pictures import CHANNELS
from vae_lowlevel.serving.scores import choose_score
from vae_lowlevel.types import Model

Outputs = dict[str, tf.Tensor]
Label = tf.Tensor | None


def encode(serving: ServingModel, image: tf.Tensor, label: Label = None) -> Outputs:
    """Returns `ConditionedModel.describe`, such as `z_mean` and `z_log_var`, float32 [B, ...]."""
    return serving.functions.describe(image, label)


def decode(serving: ServingModel, z: tf.Tensor, label: Label = None) -> Outputs:
    """Returns `image`, the mean of p(x|z)."""
    return {"image": serving.functions.decode(z, label)}


def sample(serving: ServingModel, seed: tf.Tensor, label: Label = None) -> Outputs:
    """Returns `z` float32 [B, D] from the prior, or from the `sampler`, and its `image`.

    A row of z depends on its seed alone, bit for bit; its image too, up to float32 rounding.
    """
    return sample_with_temperature(serving, seed, tf.ones_like(seed, tf.float32), label)


def sample_with_temperature(
    serving: ServingModel, seed: tf.Tensor, temperature: tf.Tensor, label: Label = None
) -> Outputs:
    """Samples as `sample` does, with the scale times the temperature, at least 0."""
    words = tf.bitcast(seed, tf.int32)  # [B, (low, high)]
    # Computed once per request: a learned prior may run a network.
    density = serving.model.prior() if serving.sampler is None else serving.sampler()
    z = tf.map_fn(
        lambda row: serving.model.tempered(density, row[1]).sample(seed=row[0]),
        (words, temperature),
        fn_output_signature=tf.TensorSpec([serving.model.latent_dim], tf.float32),
    )
    return {"z": z, **decode(serving, z, label)}


def reconstruct(serving: ServingModel, image: tf.Tensor, label: Label = None) -> Outputs:
    """Returns `image`, decoded from the z that represents each image."""
    return {"image": serving.functions.reconstruct(image, label)}


def score(serving: ServingModel, image: tf.Tensor, label: Label = None) -> Outputs:
    """Returns `score_terms`, float32 [B], and bool [B]: `is_anomaly`, score > threshold."""
    terms = serving.functions.score(image, label)
    return {**terms, "is_anomaly": terms["anomaly_score"] > serving.anomaly_threshold}


def interpolate(
    serving: ServingModel, image_a: tf.Tensor, image_b: tf.Tensor, label: Label = None
) -> Outputs:
    """Returns `image` [B, T, H, W, C], decoded from points on the line between two z."""
    steps = serving.interpolation_steps
    start = serving.functions.embed(image_a, label)[:, None]
    end = serving.functions.embed(image_b, label)[:, None]
    weight = tf.linspace(0.0, 1.0, steps)[:, None]
    z = tf.reshape((1.0 - weight) * start + weight * end, [-1, serving.model.latent_dim])
    image = serving.functions.decode(z, None if label is None else tf.repeat(label, steps))
    return {"image": tf.reshape(image, [-1, steps, *serving.model.image_shape])}


# Name -> function and inputs. A conditional model takes `label` in addition, as the last input.
# `sample*` are for models with a prior, `*_bytes` for images of 1 or 3 channels.
SIGNATURES = {
    "encode": (encode, ("image",)),
    "decode": (decode, ("z",)),
    "sample": (sample, ("seed",)),
    "sample_with_temperature": (sample_with_temperature, ("seed", "temperature")),
    "reconstruct": (reconstruct, ("image",)),
    "score": (score, ("image",)),
    "interpolate": (interpolate, ("image_a", "image_b")),
    "encode_bytes": (encode, ("image_bytes",)),
    "reconstruct_bytes": (reconstruct, ("image_bytes",)),
    "score_bytes": (score, ("image_bytes",)),
}
DEFAULT = "reconstruct"


class ServingModel(tf.Module):
    """A model with the `SIGNATURES` it can have, for serving.

    Every input and output has a leading batch dimension B, which may be 0. Images are float32
    [B, H, W, C] in [0, 1], z is float32 [B, D], `seed` int64 [B], `temperature` float32 [B] and
    `label` int32 [B], -1 for an unknown class; `image_bytes` is string [B], PNG or JPEG files of
    H x W pixels. The graph refuses other shapes and values, such as 8-bit pixels that were not
    divided by 255. Nothing is random except through the seeds of a request.

    By default nothing is compiled by XLA: a program would be compiled again for every batch size,
    and TensorFlow Serving refuses such models unless it is configured to allow them.

    Each signature is also a method of what `tf.saved_model.load` returns.

    Args:
        model: the model, built outside any strategy's scope.
        sampler: a `tf.Module`; called, it returns the distribution over float32 [D] from which z is
            sampled. None for the model's prior.
        anomaly_score: which of `scores.ANOMALY_SCORES` the output `anomaly_score` is; None for the
            default. `bias_corrected` is computed with the weights that the model has now.
        anomaly_threshold: `anomaly_score` above which an image is an anomaly; infinity for "never".
        interpolation_steps: T, images of `interpolate`, both ends included.
        jit_compile: compile the networks within the signatures with XLA.

    Attributes:
        anomaly_score: the name of the score.
        anomaly_threshold: float32 scalar, a variable of the export. Assign it before saving, after
            measuring the scores of normal images with this model.
        functions: what the signatures compute with the model.

    Raises:
        ConfigError: the model does not have this score.
    """

    def __init__(
        self,
        model: Model,
        *,
        sampler: tf.Module | None = None,
        anomaly_score: str | None = None,
        anomaly_threshold: float = math.inf,
        interpolation_steps: int = 8,
        jit_compile: bool = False,
    ) -> None:
        super().__init__(name="serving_model")
        self.model = model
        self.sampler = sampler
        self.interpolation_steps = interpolation_steps
        self.anomaly_threshold = tf.Variable(
            anomaly_threshold, trainable=False, dtype=tf.float32, name="anomaly_threshold"
        )
        self.anomaly_score = choose_score(model, anomaly_score)
        self.functions = ModelFunctions(
            model, anomaly_score=self.anomaly_score, jit_compile=jit_compile
        )
        inputs = make_inputs(model)
        labels = ("label",) if model.num_classes else ()
        self._names = _names_for(model)
        for name in self._names:
            function, input_names = SIGNATURES[name]
            declared = [inputs[key] for key in (*input_names, *labels)]
            checked = CheckedFunction(name, functools.partial(function, self), declared)
            specs = [given.spec for given in declared]
            setattr(self, name, tf.function(checked, input_signature=specs, autograph=False))

    @property
    def signatures(self) -> dict[str, Callable[..., Outputs]]:
        """The `tf.function` of each signature, by name."""
        functions = {name: getattr(self, name) for name in self._names}
        return {**functions, "serving_default": functions[DEFAULT]}

    def save(self, folder: str) -> None:
        """Writes a SavedModel of the signatures, the weights and the anomaly threshold.

        The functions are saved as they were traced. Given a `tf.function`, `tf.saved_model.save`
        traces it once more, which takes longer than everything else it does.
        """
        traced = {name: given.get_concrete_function() for name, given in self.signatures.items()}
        saved = tf.Module(name=self.name)
        saved.model, saved.sampler = self.model, self.sampler
        saved.anomaly_threshold = self.anomaly_threshold
        for name in self._names:
            setattr(saved, name, traced[name])
        tf.saved_model.save(saved, folder, signatures=traced)


def _names_for(model: Model) -> list[str]:
    """Returns the signatures that a model can have."""
    return [
        name
        for name in SIGNATURES
        if (model.has_prior or not name.startswith("sample"))
        and (model.image_shape[2] in CHANNELS or not name.endswith("_bytes"))
    ]
