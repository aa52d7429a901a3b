"""Normalising flows: the steps, the TFP bijector made of them, and a Gaussian transformed by it.

A step is a pair of functions: `forward(x) -> (y, log |det dy/dx|)` and `inverse(y) -> (x, log
|det dx/dy|)`, over float32 [..., D] with log-determinants float32 [...].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.bounds import soft_clip

tfb = tfp.bijectors
tfd = tfp.distributions

WithLogDet = tuple[tf.Tensor, tf.Tensor]


class FlowStep(Protocol):
    """An invertible map; both directions also return their log-determinant."""

    def forward(self, x: tf.Tensor) -> WithLogDet:
        """Returns y and log |det dy/dx|."""

    def inverse(self, y: tf.Tensor) -> WithLogDet:
        """Returns x and log |det dx/dy|."""


# A gate starts at sigmoid(2) = 0.88, nearly open: a new step changes its input little.
GATE_OFFSET = 2.0


class AutoregressiveStep:
    """One step of an inverse autoregressive flow, with the gate of an LSTM.

    forward: y_i = g_i x_i + (1 - g_i) m_i with g = sigmoid(s + 2) and (m, s) = network(x, context),
    where m_i and s_i depend on x_1 ... x_(i-1); log |det dy/dx| = sum_i log g_i.

    The inverse needs D evaluations of the network, one after another; training does not use it.

    Args:
        network: (x [..., B, D], context [B, H]) -> m, s [..., B, D], autoregressive.
        context: float32 [B, H], features of the image.

    References:
        Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016,
        eq. 9 to 13 and algorithm 1.
    """

    def __init__(
        self,
        network: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        context: tf.Tensor,
    ) -> None:
        self._network = network
        self._context = context

    def forward(self, x: tf.Tensor) -> WithLogDet:
        """Returns y [..., B, D] and log |det dy/dx| [..., B]; one evaluation of the network."""
        shift, gate, log_gate = self._shift_and_gate(x)
        return gate * x + (1.0 - gate) * shift, tf.reduce_sum(log_gate, -1)

    def inverse(self, y: tf.Tensor) -> WithLogDet:
        """Returns x [..., B, D] and log |det dx/dy| [..., B]; D evaluations of the network.

        The i-th evaluation computes x_i; the entries before it no longer change.
        """

        def improve(x: tf.Tensor) -> tf.Tensor:
            shift, gate, _ = self._shift_and_gate(x)
            return (y - (1.0 - gate) * shift) / gate

        (x,) = tf.while_loop(
            lambda x: True,
            lambda x: (improve(x),),
            (improve(y),),
            maximum_iterations=y.shape[-1] - 1,
        )
        return x, -tf.reduce_sum(self._shift_and_gate(x)[2], -1)

    def _shift_and_gate(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        shift, raw = self._network(x, self._context)
        raw = raw + GATE_OFFSET
        return shift, tf.math.sigmoid(raw), tf.math.log_sigmoid(raw)


# A coupling scales a dimension by at most exp(2).
LOG_SCALE_BOUND = 2.0


class CouplingStep:
    """One affine coupling: the second half of the vector, scaled and shifted given the first.

    forward: y = [a, b exp(s(a)) + t(a)] for x = [a, b], with s in (-2, 2);
    log |det dy/dx| = sum s(a). The inverse takes as long.

    Args:
        network: a [N, D // 2] -> t and s before its bound, joined, [N, 2 (D - D // 2)].

    References:
        Dinh, Sohl-Dickstein, Bengio, "Density Estimation Using Real NVP", 2017, eq. 4 to 8.
    """

    def __init__(self, network: Callable[[tf.Tensor], tf.Tensor]) -> None:
        self._network = network

    def forward(self, x: tf.Tensor) -> WithLogDet:
        """Returns y [..., D] and log |det dy/dx| [...]."""
        first, second, shift, log_scale = self._split(x)
        second = second * tf.math.exp(log_scale) + shift
        return tf.concat([first, second], -1), tf.reduce_sum(log_scale, -1)

    def inverse(self, y: tf.Tensor) -> WithLogDet:
        """Returns x [..., D] and log |det dx/dy| [...]."""
        first, second, shift, log_scale = self._split(y)
        second = (second - shift) * tf.math.exp(-log_scale)
        return tf.concat([first, second], -1), -tf.reduce_sum(log_scale, -1)

    def _split(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        features = x.shape[-1]
        first, second = tf.split(x, [features // 2, features - features // 2], -1)
        # A single draw has no batch dimension, but the network needs one.
        parameters = self._network(tf.reshape(first, [-1, first.shape[-1]]))
        shift, raw = (
            tf.reshape(part, tf.shape(second)) for part in tf.split(parameters, 2, axis=-1)
        )
        return first, second, shift, soft_clip(raw, LOG_SCALE_BOUND)


class Flow(tfb.Bijector):
    """Applies steps one after another and reverses the order of the dimensions between them.

    TFP computes a value and its log-determinant by two calls, but one evaluation of the networks
    returns both. The latest input and output are therefore kept with their log-determinant, and
    recognised by either tensor object: the log_prob of a draw does not compute the inverse. For any
    other tensor the flow is evaluated again.

    Args:
        steps: one or more.
        name: of the bijector.
    """

    def __init__(self, steps: Sequence[FlowStep], name: str = "flow") -> None:
        parameters = dict(locals())
        super().__init__(
            forward_min_event_ndims=1, dtype=tf.float32, parameters=parameters, name=name
        )
        self._steps = tuple(steps)
        self._latest = _Pair(None, None, None)

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._pair_of_input(x).y

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        return self._pair_of_output(y).x

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return self._pair_of_input(x).log_det

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        return -self._pair_of_output(y).log_det

    def _pair_of_input(self, x: tf.Tensor) -> _Pair:
        if x is not self._latest.x:
            y, log_det = _compose([step.forward for step in self._steps], x)
            self._latest = _Pair(x, y, log_det)
        return self._latest

    def _pair_of_output(self, y: tf.Tensor) -> _Pair:
        if y is not self._latest.y:
            x, log_det = _compose([step.inverse for step in reversed(self._steps)], y)
            self._latest = _Pair(x, y, -log_det)
        return self._latest


class _Pair(NamedTuple):
    """y = flow(x) with log |det dy/dx|."""

    x: tf.Tensor | None
    y: tf.Tensor | None
    log_det: tf.Tensor | None


def _compose(maps: Sequence[Callable[[tf.Tensor], WithLogDet]], value: tf.Tensor) -> WithLogDet:
    """Applies maps one after another and reverses the order of the dimensions between them."""
    first, *rest = maps
    value, log_det = first(value)
    for transform in rest:
        value, step_log_det = transform(tf.reverse(value, [-1]))
        log_det += step_log_det
    return value, log_det


class FlowDistribution(tfd.TransformedDistribution):
    """A diagonal Gaussian, or another distribution, transformed by a flow.

    Args:
        base: over [..., D].
        flow: bijector over [..., D].

    Attributes:
        base: as given.
        flow: as given.
        bijector: for a Gaussian base, from standard normal noise to a draw: the base's scale and
            shift, then the flow. For another base the flow alone.
    """

    def __init__(self, base: tfd.Distribution, flow: tfb.Bijector) -> None:
        parameters = dict(locals())
        noise, bijector = base, flow
        if isinstance(base, tfd.MultivariateNormalDiag):
            noise, bijector = base.distribution, tfb.Chain([flow, base.bijector])
        super().__init__(noise, bijector, parameters=parameters, name="flow")
        self.base = base
        self.flow = flow

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType, num_classes: int | None = None) -> dict:
        del dtype, num_classes
        part = tfp.util.BatchedComponentProperties
        return {"base": part(), "flow": part()}
