"""The signatures of an export: what a model can do, as functions of fixed inputs and outputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.serving.input_checks import CheckedInputs, Outputs
from vae_lowlevel.serving.pictures import CHANNELS
from vae_lowlevel.serving.scores import score_terms

# Draws of the posterior that `score` averages, where the KL has no closed form.
SCORE_DRAWS = 16


class ServingModel(tf.Module):
    """A model behind functions of fixed signature, for serving.

    Every input and output has a leading batch dimension B, which may be 0. Images are float32
    [B, H, W, C] in [0, 1]; a pixel outside, as of 8-bit values not divided by 255, is an error,
    and so is a wrong shape. Nothing is drawn at random but from the seeds of a request.

    What a model can do decides what it offers: one without a prior has no `sample`, and a
    conditional one takes `label` int32 [B] in every signature, beside what it takes otherwise: the
    class, or -1 if it is not known.

    By default nothing is jit-compiled: an XLA program is compiled anew for every batch size, and
    TensorFlow Serving refuses them unless it is told to allow them.

    Each signature is also a method of what `tf.saved_model.load` returns.

    Args:
        model: a `VAE`, or another of `models`.
        anomaly_threshold: `anomaly_score` above which an image is an anomaly, a variable of the
            export; infinite for "never".
        interpolation_steps: T, images of `interpolate`, both ends included.
        jit_compile: compile the networks within the signatures with XLA.

    Attributes:
        signatures: what an export offers, by name:
            `encode`: image -> what the model's `describe` gives, float32 [B, ...] each: `z_mean`
                and `z_log_var`, or what else its posterior has.
            `decode`: z float32 [B, D] -> `image`, the mean of p(x|z).
            `sample`: seed int64 [B] -> `z` float32 [B, D] from the prior and its `image`. A row of
                z depends on its seed alone, bit for bit; its image too, up to float32 rounding.
            `sample_with_temperature`: seed, temperature float32 [B] >= 0 -> as `sample`, from the
                prior with its scale times the temperature; 1 gives `sample`.
            `reconstruct`: image -> `image`, decoded from the z that stands for it.
            `score`: image -> float32 [B]: `distortion`, `rate`, `elbo`, `anomaly_score`, as
                `score_terms` has them; bool [B]: `is_anomaly`, anomaly_score > threshold.
            `interpolate`: image_a, image_b -> `image` [B, T, H, W, C], decoded from points on the
                line between the z that stand for them.
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
        shape = [SCORE_DRAWS, model.latent_dim]
        self._score_noise = tf.random.stateless_normal(shape, [0, 0]).numpy()
        self._jit_compile = jit_compile
        self._label = ()
        if hasattr(model, "num_classes"):
            self._label = (tf.TensorSpec([None], tf.int32, name="label"),)

        def image(name: str) -> tf.TensorSpec:
            return tf.TensorSpec([None, *model.image_shape], tf.float32, name=name)

        z = tf.TensorSpec([None, model.latent_dim], tf.float32, name="z")
        seed = tf.TensorSpec([None], tf.int64, name="seed")
        temperature = tf.TensorSpec([None], tf.float32, name="temperature")
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")

        self._names: list[str] = []
        self._offer("encode", self._encode, image("image"))
        self._offer("decode", self._decode, z)
        if hasattr(model, "prior"):
            self._offer("sample", self._sample, seed)
            self._offer("sample_with_temperature", self._sample_with_temperature, seed, temperature)
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
        specs += self._label
        signature = CheckedInputs(name, compute, specs, self.model)
        setattr(self, name, tf.function(signature, input_signature=specs, autograph=False))
        self._names.append(name)

    def _encode(self, image: tf.Tensor, *label: tf.Tensor) -> Outputs:
        return self._compute(lambda model, image: model.describe(image), image, *label)

    def _decode(self, z: tf.Tensor, *label: tf.Tensor) -> Outputs:
        return self._compute(lambda model, z: {"image": model.decode(z).mean()}, z, *label)

    def _sample(self, seed: tf.Tensor, *label: tf.Tensor) -> Outputs:
        return self._sample_with_temperature(seed, tf.ones_like(seed, tf.float32), *label)

    def _sample_with_temperature(
        self, seed: tf.Tensor, temperature: tf.Tensor, *label: tf.Tensor
    ) -> Outputs:
        words = tf.bitcast(seed, tf.int32)  # [B, (low, high)]
        # Made once: a learned prior may run a network.
        prior = self.model.prior()
        z = tf.map_fn(
            lambda row: self.model.tempered(prior, row[1]).sample(seed=row[0]),
            (words, temperature),
            fn_output_signature=tf.TensorSpec([self.model.latent_dim], tf.float32),
        )
        return {"z": z, **self._decode(z, *label)}

    def _reconstruct(self, image: tf.Tensor, *label: tf.Tensor) -> Outputs:
        def reconstruct(model: tf.Module, image: tf.Tensor) -> Outputs:
            return {"image": model.reconstruct(image)}

        return self._compute(reconstruct, image, *label)

    def _score(self, image: tf.Tensor, *label: tf.Tensor) -> Outputs:
        def score(model: tf.Module, image: tf.Tensor) -> Outputs:
            return score_terms(model, image, tf.constant(self._score_noise))

        terms = self._compute(score, image, *label)
        return {**terms, "is_anomaly": terms["anomaly_score"] > self.anomaly_threshold}

    def _interpolate(self, image_a: tf.Tensor, image_b: tf.Tensor, *label: tf.Tensor) -> Outputs:
        def embed(model: tf.Module, image: tf.Tensor) -> Outputs:
            return {"z": model.embed(image)}

        start, end = (
            self._compute(embed, image, *label)["z"][:, None] for image in (image_a, image_b)
        )
        weight = tf.linspace(0.0, 1.0, self.interpolation_steps)[:, None]
        z = tf.reshape((1.0 - weight) * start + weight * end, [-1, self.model.latent_dim])
        label = [tf.repeat(rows, self.interpolation_steps) for rows in label]
        image = self._decode(z, *label)["image"]
        shape = [-1, self.interpolation_steps, *self.model.image_shape]
        return {"image": tf.reshape(image, shape)}

    def _compute(
        self, compute: Callable[[tf.Module, tf.Tensor], Outputs], *batches: tf.Tensor
    ) -> Outputs:
        """Computes on a batch with the model, or on batch and labels with the model given them."""

        def with_model(batch: tf.Tensor, *label: tf.Tensor) -> Outputs:
            return compute(self.model.conditioned_on(*label) if label else self.model, batch)

        return self._with_a_row(with_model, *batches)

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
