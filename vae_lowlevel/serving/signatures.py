"""The signatures of an exported VAE: encode, decode, sample and reconstruct."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.serving.input_checks import check_shape, check_unit_range

Outputs = dict[str, tf.Tensor]


class ServingModel(tf.Module):
    """A VAE behind functions of fixed signature, for serving.

    Every input and output has a leading batch dimension B, which may be 0. Images are float32
    [B, H, W, C] in [0, 1]; a pixel outside, as of 8-bit values not divided by 255, is an error,
    and so is a wrong shape. Nothing is drawn at random but from the seeds of `sample`, and nothing
    is jit-compiled: an XLA program would be compiled anew for every batch size, and TensorFlow
    Serving refuses them by default.

    Args:
        model: a `VAE`, float32 throughout.

    Attributes:
        encode: image -> what the model's `describe` gives, such as `z_mean` and `z_log_var`,
            float32 [B, D] each.
        decode: z float32 [B, D] -> `image`, the mean of p(x|z).
        sample: seed int64 [B] -> `z` float32 [B, D] from the prior and its `image`. A row of z
            depends on its seed alone, bit for bit; its image too, up to float32 rounding.
        reconstruct: image -> `image`, decoded from the z that stands for it (the posterior mean).
    """

    def __init__(self, model: tf.Module) -> None:
        super().__init__(name="serving_model")
        self.model = model
        self._image = tf.TensorSpec([None, *model.image_shape], tf.float32, name="image")
        self._z = tf.TensorSpec([None, model.latent_dim], tf.float32, name="z")
        self._seed = tf.TensorSpec([None], tf.int64, name="seed")
        self.encode = tf.function(self._encode, input_signature=[self._image])
        self.decode = tf.function(self._decode, input_signature=[self._z])
        self.sample = tf.function(self._sample, input_signature=[self._seed])
        self.reconstruct = tf.function(self._reconstruct, input_signature=[self._image])

    @property
    def signatures(self) -> dict[str, Callable[..., Outputs]]:
        """What an export offers, by name."""
        return {
            "encode": self.encode,
            "decode": self.decode,
            "sample": self.sample,
            "reconstruct": self.reconstruct,
            "serving_default": self.reconstruct,
        }

    def _encode(self, image: tf.Tensor) -> Outputs:
        return _with_a_row(self.model.describe, self._checked_image(image, "encode"))

    def _decode(self, z: tf.Tensor) -> Outputs:
        return _with_a_row(self._mean_image, check_shape(z, self._z, "decode"))

    def _sample(self, seed: tf.Tensor) -> Outputs:
        words = tf.bitcast(check_shape(seed, self._seed, "sample"), tf.int32)  # [B, (low, high)]
        prior = self.model.prior()
        z = tf.map_fn(
            lambda row: prior.sample(seed=row),
            words,
            fn_output_signature=tf.TensorSpec([self.model.latent_dim], tf.float32),
        )
        return {"z": z, **_with_a_row(self._mean_image, z)}

    def _reconstruct(self, image: tf.Tensor) -> Outputs:
        def reconstruct(image: tf.Tensor) -> Outputs:
            return {"image": self.model.reconstruct(image)}

        return _with_a_row(reconstruct, self._checked_image(image, "reconstruct"))

    def _mean_image(self, z: tf.Tensor) -> Outputs:
        return {"image": self.model.decode(z).mean()}

    def _checked_image(self, image: tf.Tensor, signature: str) -> tf.Tensor:
        return check_unit_range(check_shape(image, self._image, signature), signature)


def _with_a_row(compute: Callable[[tf.Tensor], Outputs], batch: tf.Tensor) -> Outputs:
    """Computes on a batch, or on one row of zeros for an empty batch, which gives empty outputs.

    On a CPU, TensorFlow fuses convolution, bias and activation; of an empty batch the fused
    operation returns a tensor of its input's height, width and channels.
    """
    rows = tf.shape(batch)[0]
    filling = tf.zeros([tf.maximum(1 - rows, 0), *batch.shape[1:]], batch.dtype)
    outputs = compute(tf.concat([batch, filling], 0))
    return {name: value[:rows] for name, value in outputs.items()}
