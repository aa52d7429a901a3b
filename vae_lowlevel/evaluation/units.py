"""What the units of a model do on some images: latents, their KL, and hidden units that are 0."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel.types import ConditionedModel, Examples, Model, to_unit


class UnitReport(NamedTuple):
    """What the units did on N images.

    Attributes:
        latents: parameters of q(z|x), or the code, by name, float32 [N, D]. Of a full covariance
            `z_log_var` has the logarithm of its diagonal.
        rates: mean KL(q(z_j|x) || p(z_j)) of each unit, float32 [D], nats; None without a closed
            form.
        dead: (units that are 0 for all N images, units) of each hidden layer that was watched, by
            `<part>/<layer>`. A unit of an image-shaped layer is a channel.
    """

    latents: dict[str, np.ndarray]
    rates: np.ndarray | None
    dead: dict[str, tuple[int, int]]


class UnitMonitor:
    """Looks at the units of a model, once per step.

    Args:
        model: while it is trained.
        examples: the images, N of them.
        activation: layers with this activation are watched, such as `tf.nn.relu`; None for none.
    """

    def __init__(
        self,
        model: Model,
        examples: Examples,
        activation: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        image, label = to_unit(examples.image), tf.constant(examples.label)
        self._step: int | None = None

        @tf.function(autograph=False)
        def look() -> tuple[dict[str, tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]:
            fired: dict[str, tf.Tensor] = {}
            with _watched(model, activation, fired):
                conditioned = model.conditioned_on(label)
                if not model.has_prior:
                    code = conditioned.embed(image)
                    conditioned.decode(code)
                    return {"code": code}, [], fired
                posterior = conditioned.encode(image)
                latents = conditioned.posterior.parameters(posterior)
                conditioned.decode(conditioned.posterior.embedding(posterior))
            rates = unit_rates(conditioned, posterior)
            return latents, [] if rates is None else [tf.reduce_mean(rates, 0)], fired

        self._look = look

    def __call__(self, step: int) -> UnitReport:
        """Returns what the units do at a step; computed once however often it is called."""
        if step != self._step:
            # Traced here and not by a call: TensorFlow counts the calls of all objects of this
            # class together and would warn of retracing after the fifth short run of a process.
            latents, rates, fired = self._look.get_concrete_function()()
            latents = {name: value.numpy() for name, value in latents.items()}
            if "z_scale_tril" in latents:
                variance = np.square(latents.pop("z_scale_tril")).sum(-1)
                latents["z_log_var"] = np.log(variance)
            dead = {name: (int(np.sum(~f.numpy())), f.shape[0]) for name, f in fired.items()}
            self._report = UnitReport(latents, rates[0].numpy() if rates else None, dead)
            self._step = step
        return self._report


def unit_rates(conditioned: ConditionedModel, posterior: tf.Tensor | tf.Module) -> tf.Tensor | None:
    """Returns KL(q(z_j|x) || p(z_j)) per unit, float32 [B, D], nats; None without a closed form.

    Of a full covariance they are the terms of the chain rule.

    Args:
        conditioned: a VAE for a batch whose labels it knows.
        posterior: what its `encode` returned, over [B, D].
    """
    if not conditioned.has_prior or not conditioned.has_closed_form_kl:
        return None
    return conditioned.kl_per_dimension(posterior)


@contextlib.contextmanager
def _watched(
    model: Model,
    activation: Callable[[tf.Tensor], tf.Tensor] | None,
    fired: dict[str, tf.Tensor],
) -> Iterator[None]:
    """Notes, while a model is traced, which units of its networks exceed 0 for some image.

    Args:
        model: its encoder and decoder are watched.
        activation: of the layers that are.
        fired: filled with bool [units] by `<part>/<layer>`.
    """
    watched = []
    for part in (model.encoder, model.decoder):
        for layer in part.submodules:
            if activation is not None and vars(layer).get("activation") is activation:
                watched.append((f"{part.name}/{layer.name_scope.name.rstrip('/')}", layer))

    def noting(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
        def note(x: tf.Tensor) -> tf.Tensor:
            y = activation(x)
            positive = tf.reduce_any(y > 0, list(range(y.shape.rank - 1)))
            fired[name] = positive | fired[name] if name in fired else positive
            return y

        return note

    try:
        for name, layer in watched:
            layer.activation = noting(name)
        yield
    finally:
        for _, layer in watched:
            layer.activation = activation
