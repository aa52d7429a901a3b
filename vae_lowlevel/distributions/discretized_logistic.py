"""The logistic distribution on the 256 grey levels."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

LEVELS = 256


class DiscretizedLogistic(tfd.Distribution):
    """P(x = k / 255): the mass of Logistic(loc, scale) in the bin of level k, k = 0 ... 255.

    A bin extends half a level to both sides; the bins of 0 and 1 extend to infinity. Let a and b be
    the upper and lower edge, as distances from loc in units of the scale. Then

        P = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).

    The product is computed, in logarithms: no two close numbers are subtracted, however far x is
    from loc. At level 255, a is infinity; at level 0, b is minus infinity.

    Args:
        loc: float32, in units of the [0, 1] range.
        scale: float32, greater than 0; broadcasts with `loc`.
        name: of the distribution.

    References:
        Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016.
        Salimans et al., "PixelCNN++", 2017, eq. 2 (the edges).
    """

    def __init__(
        self, loc: tf.Tensor, scale: tf.Tensor, name: str = "discretized_logistic"
    ) -> None:
        parameters = dict(locals())
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=False,
            parameters=parameters,
            name=name,
        )
        self.loc = tf.convert_to_tensor(loc, tf.float32)
        self.scale = tf.convert_to_tensor(scale, tf.float32)

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType, num_classes: int | None = None) -> dict:
        del dtype, num_classes
        properties = tfp.util.ParameterProperties
        return {"loc": properties(), "scale": properties()}

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        level = tf.math.round(x * (LEVELS - 1))
        upper = ((level + 0.5) / (LEVELS - 1) - self.loc) / self.scale
        lower = ((level - 0.5) / (LEVELS - 1) - self.loc) / self.scale
        below_upper, above_lower = tf.math.log_sigmoid(upper), tf.math.log_sigmoid(-lower)
        # a - b, computed directly: the difference of the two rounded edges would be less accurate.
        width = 1.0 / ((LEVELS - 1) * self.scale)
        within = below_upper + above_lower + tfp.math.log1mexp(width)
        at_top = tf.where(level >= LEVELS - 1, above_lower, within)
        return tf.where(level <= 0, below_upper, at_top)

    def _mean(self) -> tf.Tensor:
        """Returns the mean of the logistic clipped to [0, 1], float32 in [0, 1].

        It is scale (softplus(loc / scale) - softplus((loc - 1) / scale)). The mean over the levels
        approximates this integral by the midpoint rule; for scales of at least exp(-5) they differ
        by less than a hundredth of a level.
        """
        loc, scale = self.loc, self.scale
        mean = scale * (tf.math.softplus(loc / scale) - tf.math.softplus((loc - 1.0) / scale))
        return tf.clip_by_value(mean, 0.0, 1.0)

    def _sample_n(self, n: int, seed: tf.Tensor | None = None) -> tf.Tensor:
        drawn = tfd.Logistic(self.loc, self.scale).sample(n, seed=seed)
        return tf.math.round(tf.clip_by_value(drawn, 0.0, 1.0) * (LEVELS - 1)) / (LEVELS - 1)
