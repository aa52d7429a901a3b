"""The sparse autoencoder."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class SparseCode(tf.Module):
    """Maps the encoder's output to a code by an activation, and the code to activities.

    | activation | code | activity in [0, 1] |
    |---|---|---|
    | sigmoid | (0, 1) | code |
    | tanh | (-1, 1) | (1 + code) / 2 |
    | relu | [0, inf) | 1 - exp(-code) |
    | softplus | (0, inf) | 1 - exp(-code) |

    The Bernoulli penalty needs activities in [0, 1]. For an unbounded code, 1 - exp(-code) is the
    probability that a Poisson count of rate `code` is not 0. It is about equal to a small code, and
    at most 1.

    Args:
        latent_dim: D.
        activation: one of the above.

    Attributes:
        parameter_size: number of encoder outputs it needs, D.

    References:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011, sec. 3 (sigmoid and tanh).
    """

    def __init__(self, latent_dim: int, activation: str) -> None:
        super().__init__(name="sparse_code")
        self.parameter_size = latent_dim
        self._activation, self._activity = _ACTIVATIONS[activation]

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """Maps features [B, D] to the code, float32 [B, D]."""
        return self._activation(tf.cast(features, tf.float32))

    def activity(self, code: tf.Tensor) -> tf.Tensor:
        """Maps codes float32 [B, D] to activities in [0, 1]."""
        return self._activity(code)


_ACTIVATIONS = {
    "sigmoid": (tf.math.sigmoid, tf.identity),
    "tanh": (tf.math.tanh, lambda code: 0.5 * (1.0 + code)),
    "relu": (tf.nn.relu, lambda code: -tf.math.expm1(-code)),
    "softplus": (tf.math.softplus, lambda code: -tf.math.expm1(-code)),
}


class SparseAutoencoder(tf.Module):
    """A deterministic code of an image, and the likelihood of the image given its code.

    It follows `types.Model` and, because it takes no labels, also `types.ConditionedModel`. There
    is no prior over codes, so it does not have `prior` and `sample`.

    Args:
        image_shape: (H, W, C).
        latent_dim: D, the number of units of the code.
        encoder: image [B, H, W, C] -> features [B, D].
        code: features [B, D] -> code [B, D].
        decoder: code [B, D] -> likelihood parameters [B, H, W, K].
        likelihood: parameters [B, H, W, K] -> distribution over [B, H, W, C].
    """

    num_classes = 0
    has_prior = False

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        encoder: Callable[[tf.Tensor], tf.Tensor],
        code: SparseCode,
        decoder: Callable[[tf.Tensor], tf.Tensor],
        likelihood: Callable[[tf.Tensor], tfd.Distribution],
    ) -> None:
        super().__init__(name="sparse_autoencoder")
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.code = code
        self.decoder = decoder
        self.likelihood = likelihood

    def encode(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the code, float32 [B, D], for image float32 [B, H, W, C] in [0, 1]."""
        return self.code(self.encoder(image))

    def embed(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the code, float32 [B, D]."""
        return self.encode(image)

    def describe(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the `code`, float32 [B, D], by name."""
        return {"code": self.encode(image)}

    def decode(self, code: tf.Tensor) -> tfd.Distribution:
        """Returns p(x|code) over float32 [B, H, W, C] for code float32 [B, D]."""
        return self.likelihood(self.decoder(code))

    def activity(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the activity of each unit, float32 [B, D] in [0, 1]."""
        return self.code.activity(code)

    def reconstruct(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the mean image of the code, float32 [B, H, W, C]."""
        return self.decode(self.encode(image)).mean()

    def conditioned_on(self, label: tf.Tensor | None) -> SparseAutoencoder:
        """Returns the model itself, because it takes no labels."""
        del label
        return self
