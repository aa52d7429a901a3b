"""The signatures of an export: what a model can do, as functions of fixed inputs and outputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from vae_lowlevel.serving.input_checks import (
    check_at_least_zero,
    check_equal_rows,
    check_finite,
    check_shape,
    check_unit_range,
)
from vae_lowlevel.serving.pictures import CHANNELS, decode_pictures

Outputs = dict[str, tf.Tensor]


class ServingModel(tf.Module):
    """A VAE behind functions of fixed signature, for serving.

    Every input and output has a leading batch dimension B, which may be 0. Images are float32
    [B, H, W, C] in [0, 1]; a pixel outside, as of 8-bit values not divided by 255, is an error,
    and so is a wrong shape. Nothing is drawn at random but from the seeds of a request.

    By default nothing is jit-compiled: an XLA program is compiled anew for every batch size, and
    TensorFlow Serving refuses them unless it is told to allow them.

    Each signature is also a method of what `tf.saved_model.load` returns.

    Args:
        model: a `VAE`.
        anomaly_threshold: `anomaly_score` above which an image is an anomaly, a variable of the
            export; infinite for "never".
        interpolation_steps: T, images of `interpolate`, both ends included.
        jit_compile: compile the networks within the signatures with XLA.

    Attributes:
        signatures: what an export offers, by name:
            `encode`: image -> `z_mean`, `z_log_var`, float32 [B, D] each.
            `decode`: z float32 [B, D] -> `image`, the mean of p(x|z).
            `sample`: seed int64 [B] -> `z` float32 [B, D] from the prior and its `image`. A row of
                z depends on its seed alone, bit for bit; its image too, up to float32 rounding.
            `sample_with_temperature`: seed, temperature float32 [B] >= 0 -> as `sample`, from the
                prior with its scale times the temperature; 1 gives `sample`.
            `reconstruct`: image -> `image`, decoded from the posterior mean.
            `score`: image -> float32 [B]: `distortion`, -log p(x|z) at the posterior mean, `rate`,
                KL(q(z|x) || p(z)), `elbo` = -(distortion + rate), in nats, and `anomaly_score` =
                -elbo; bool [B]: `is_anomaly`, anomaly_score > threshold.
            `interpolate`: image_a, image_b -> `image` [B, T, H, W, C], decoded from points on the
                line between the posterior means.
            `encode_bytes`, `reconstruct_bytes`, `score_bytes`: image_bytes string [B], PNG or JPEG
                files of H x W pixels -> as without `_bytes`; for C of 1 or 3.
            `serving_default`: `reconstruct`.
    """

    def __init__(
        self,
        model: tf.Module,
        *,
        anomaly_threshold: float = math.inf,
        interpolation_steps: int = 8,
        jit_compile: bool = False,
    ) -> None:
        super().__init__(name="serving_model")
        self.model = model
        self.interpolation_steps = interpolation_steps
        self.anomaly_threshold = tf.Variable(
            anomaly_threshold, trainable=False, dtype=tf.float32, name="anomaly_threshold"
        )
        self._jit_compile = jit_compile

        def image(name: str) -> tf.TensorSpec:
            return tf.TensorSpec([None, *model.image_shape], tf.float32, name=name)

        z = tf.TensorSpec([None, model.latent_dim], tf.float32, name="z")
        seed = tf.TensorSpec([None], tf.int64, name="seed")
        temperature = tf.TensorSpec([None], tf.float32, name="temperature")
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")

        self._names: list[str] = []
        self._offer("encode", self._encode, image("image"))
        self._offer("decode", self._decode, z)
        self._offer("sample", self._sample, seed)
        self._offer("sample_with_temperature", self._sample, seed, temperature)
        self._offer("reconstruct", self._reconstruct, image("image"))
        self._offer("score", self._score, image("image"))
        self._offer("interpolate", self._interpolate, image("image_a"), image("image_b"))
        if model.image_shape[2] in CHANNELS:
            self._offer("encode_bytes", self._encode, image_bytes)
            self._offer("reconstruct_bytes", self._reconstruct, image_bytes)
            self._offer("score_bytes", self._score, image_bytes)

    @property
    def signatures(self) -> dict[str, Callable[..., Outputs]]:
        """What an export offers, by name."""
        functions = {name: getattr(self, name) for name in self._names}
        return {**functions, "serving_default": self.reconstruct}

    def _offer(self, name: str, compute: Callable[..., Outputs], *specs: tf.TensorSpec) -> None:
        """Makes `compute`, on inputs that were checked, a signature and a method of this name."""
        signature = CheckedInputs(name, compute, specs, self.model.image_shape)
        setattr(self, name, tf.function(signature, input_signature=specs, autograph=False))
        self._names.append(name)

    def _encode(self, image: tf.Tensor) -> Outputs:
        def encode(image: tf.Tensor) -> Outputs:
            posterior = self.model.encode(image)
            log_var = 2.0 * tf.math.log(posterior.stddev())
            return {"z_mean": posterior.mean(), "z_log_var": log_var}

        return self._with_a_row(encode, image)

    def _decode(self, z: tf.Tensor) -> Outputs:
        def decode(z: tf.Tensor) -> Outputs:
            return {"image": self.model.decode(z).mean()}

        return self._with_a_row(decode, z)

    def _sample(self, seed: tf.Tensor, temperature: tf.Tensor | None = None) -> Outputs:
        words = tf.bitcast(seed, tf.int32)  # [B, (low, high)]
        if temperature is None:
            temperature = tf.ones_like(seed, tf.float32)
        # Made once: a learned prior may run a network.
        prior = self.model.prior()
        z = tf.map_fn(
            lambda row: self.model.tempered(prior, row[1]).sample(seed=row[0]),
            (words, temperature),
            fn_output_signature=tf.TensorSpec([self.model.latent_dim], tf.float32),
        )
        return {"z": z, **self._decode(z)}

    def _reconstruct(self, image: tf.Tensor) -> Outputs:
        def reconstruct(image: tf.Tensor) -> Outputs:
            return {"image": self.model.reconstruct(image)}

        return self._with_a_row(reconstruct, image)

    def _score(self, image: tf.Tensor) -> Outputs:
        def score(image: tf.Tensor) -> Outputs:
            posterior = self.model.encode(image)
            distortion = -self.model.decode(posterior.mean()).log_prob(image)
            rate = tf.reduce_sum(self.model.kl_per_dimension(posterior), -1)
            return {"distortion": distortion, "rate": rate}

        terms = self._with_a_row(score, image)
        anomaly_score = terms["distortion"] + terms["rate"]
        return {
            **terms,
            "elbo": -anomaly_score,
            "anomaly_score": anomaly_score,
            "is_anomaly": anomaly_score > self.anomaly_threshold,
        }

    def _interpolate(self, image_a: tf.Tensor, image_b: tf.Tensor) -> Outputs:
        start = self._encode(image_a)["z_mean"][:, None]
        end = self._encode(image_b)["z_mean"][:, None]
        weight = tf.linspace(0.0, 1.0, self.interpolation_steps)[:, None]
        z = (1.0 - weight) * start + weight * end
        image = self._decode(tf.reshape(z, [-1, self.model.latent_dim]))["image"]
        steps_and_image = [self.interpolation_steps, *self.model.image_shape]
        return {"image": tf.reshape(image, [-1, *steps_and_image])}

    def _with_a_row(self, compute: Callable[..., Outputs], *batches: tf.Tensor) -> Outputs:
        """Computes on a batch, or on one row of zeros for an empty batch, for empty outputs.

        On a CPU, TensorFlow fuses convolution, bias and activation; of an empty batch the fused
        operation returns a tensor of its input's height, width and channels.
        """
        rows = tf.shape(batches[0])[0]
        filled = []
        for batch in batches:
            filling = tf.zeros([tf.maximum(1 - rows, 0), *batch.shape[1:]], batch.dtype)
            filled.append(tf.concat([batch, filling], 0))
        if self._jit_compile:
            # Not the whole signature: XLA leaves assertions out and draws other random numbers.
            compute = tf.function(compute, jit_compile=True)
        return {name: value[:rows] for name, value in compute(*filled).items()}


class CheckedInputs:
    """A function of a signature: fails by name on inputs that do not fit, then computes.

    An object rather than a closure: `tf.function` counts the tracings of one piece of code, and
    would warn of too many.

    Args:
        name: of the signature, for the messages.
        compute: on the checked inputs; pictures arrive as float32 [B, H, W, C].
        specs: names, shapes and dtypes of the inputs.
        image_shape: (H, W, C), for pictures.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[..., Outputs],
        specs: Sequence[tf.TensorSpec],
        image_shape: tuple[int, int, int],
    ) -> None:
        self.__name__ = name
        # tf.function takes from here the names of the inputs as keywords.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(spec.name, kind) for spec in specs]
        )
        self._compute = compute
        self._specs = specs
        self._image_shape = image_shape

    def __call__(self, *inputs: tf.Tensor) -> Outputs:
        """Returns the outputs, or fails by name where the inputs do not fit."""
        pairs = zip(inputs, self._specs, strict=True)
        checked = [self._check(value, spec) for value, spec in pairs]
        return self._compute(*check_equal_rows(checked, self._specs, self.__name__))

    def _check(self, value: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
        value = check_shape(value, spec, self.__name__)
        if spec.name == "image_bytes":
            return decode_pictures(value, self._image_shape, self.__name__)
        if spec.name in ("image", "image_a", "image_b"):
            return check_unit_range(value, spec, self.__name__)
        if spec.name == "temperature":
            return check_at_least_zero(value, spec, self.__name__)
        return check_finite(value, spec, self.__name__) if spec.name == "z" else value
