"""All that the settings can describe of a model and its training step, as factors and their values.

A value is the flags it stands for. What does not go together, `Config` refuses.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import random
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import covering
import numpy as np
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config, DataConfig, ModelConfig, ObjectiveConfig
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Batch

B, D, K = 3, 2, 4


def _each(field: str, group: type = ModelConfig) -> dict[str, dict[str, Any]]:
    """Returns the flag of each choice of a setting, as the settings have them."""
    (choices,) = (f.metadata["choices"] for f in dataclasses.fields(group) if f.name == field)
    return {choice: {field: choice} for choice in choices}


def _values(field: str, group: type = ModelConfig) -> dict[str, tuple[dict[str, Any], ...]]:
    return {choice: (flags,) for choice, flags in _each(field, group).items()}


_SCALE_KINDS = tuple(
    {"likelihood_scale_kind": kind} for kind in ("auto", "fixed", "learned", "per_pixel")
)
SCALES = {"gaussian": _SCALE_KINDS, "discretized_logistic": _SCALE_KINDS}

# The values of each factor, and the flags each stands for. Where a value has a choice of its own,
# it comes in kinds, which take turns.
FACTORS: Mapping[str, Mapping[str, tuple[dict[str, Any], ...]]] = {
    "network": {
        "conv": ({"network": "conv"},),
        "mlp": tuple({"network": "mlp", **kind} for kind in _each("dense_layer").values()),
        "resnet": tuple({"network": "resnet", **kind} for kind in _each("normalization").values()),
    },
    "posterior": _values("posterior"),
    "prior": _values("prior"),
    "likelihood": {
        likelihood: tuple({**flags, **kind} for kind in SCALES.get(likelihood, ({},)))
        for likelihood, flags in _each("likelihood").items()
    },
    "model": {
        "vae": ({"model": "vae"},),
        "conditional": ({"model": "vae", "conditional": True},),
        "sparse_autoencoder": tuple(
            {"model": "sparse_autoencoder", **kind} for kind in _each("latent_activation").values()
        ),
    },
    "precision": _values("precision"),
    "activation": _values("activation"),
    "pixel_reduction": _values("pixel_reduction", ObjectiveConfig),
    "kl_schedule": _values("kl_schedule", ObjectiveConfig),
    "kl_bound": {
        "unbounded": ({},),
        "free_bits": ({"free_bits": 0.01},),
        "capacity": ({"capacity": 2.0},),
    },
    "kl_estimator": _values("kl_estimator", ObjectiveConfig),
    "corruption": _values("corruption", ObjectiveConfig),
    "binarize": _values("binarize", DataConfig),
    # Two strides of 2 divide none of these sizes but 8.
    "image": {"7x10x1": ({},), "8x8x3": ({},), "5x3x3": ({},), "9x6x1": ({},)},
}

VALUES = {factor: tuple(values) for factor, values in FACTORS.items()}

# Pairs that the settings refuse, each with its reason; written by hand, to be told of others.
SPARSE = ("model", "sparse_autoencoder")
EXCLUDED = {
    (("posterior", "iaf"), ("prior", "vamp")),
    (("posterior", "iaf"), ("kl_estimator", "analytic")),
    (("prior", "mixture"), ("kl_estimator", "analytic")),
    (("prior", "vamp"), ("kl_estimator", "analytic")),
    (("prior", "flow"), ("kl_estimator", "analytic")),
    (("posterior", "full"), SPARSE),
    (("posterior", "iaf"), SPARSE),
    (("prior", "mixture"), SPARSE),
    (("prior", "vamp"), SPARSE),
    (("prior", "flow"), SPARSE),
    (SPARSE, ("kl_bound", "free_bits")),
    (SPARSE, ("kl_bound", "capacity")),
    (("likelihood", "continuous_bernoulli"), ("binarize", "static")),
    (("likelihood", "continuous_bernoulli"), ("binarize", "dynamic")),
    (("likelihood", "gaussian"), ("binarize", "static")),
    (("likelihood", "gaussian"), ("binarize", "dynamic")),
    (("likelihood", "discretized_logistic"), ("binarize", "static")),
    (("likelihood", "discretized_logistic"), ("binarize", "dynamic")),
}

SIZES = {
    "latent_dim": D,
    "encoder_filters": (3, 4),
    "encoder_strides": (2, 2),
    "encoder_units": (6,),
    "decoder_units": (5,),
    "decoder_filters": (4, 4, 3),
    "decoder_strides": (2, 2),
    "iaf_units": (7,),
    "iaf_context": 3,
    "prior_components": 4,
    "prior_flow_steps": 2,
    "prior_flow_units": (6,),
}
RESNET_SIZES = {"resnet_filters": (4, 8), "resnet_blocks": (1,)}


def flags_of(row: covering.Row, turns: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Returns the flags that a row, or a part of one, stands for.

    Args:
        row: factor -> value.
        turns: factor -> which of its value's kinds, counted round; None for the first.
    """
    flags = dict(SIZES)
    for factor, value in row.items():
        kinds = FACTORS[factor][value]
        flags.update(kinds[turns[factor] % len(kinds) if turns else 0])
    return flags | (RESNET_SIZES if flags.get("network") == "resnet" else {})


def is_allowed(row: covering.Row) -> bool:
    """Tells whether no pair of a row, or of a part of one, is excluded."""
    return EXCLUDED.isdisjoint(covering.pairs_of(row))


@dataclasses.dataclass(frozen=True)
class Noise:
    """Stands in for BatchNoise: XLA's generator gives other numbers than TensorFlow's kernels."""

    batch: int = B

    def normal(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.constant(_generator(purpose).normal(size=[self.batch, *shape]), tf.float32)

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.constant(_generator(purpose).uniform(size=[self.batch, *shape]), tf.float32)


def _generator(purpose: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(purpose.encode()))


class Case:
    """A row: the model and the objective it describes.

    Args:
        row: a value of every factor.
        turns: factor -> whose turn it is among the kinds of its value. Where the settings refuse
            one beside the others, it is the turn of those that follow.
    """

    def __init__(self, row: covering.Row, turns: Mapping[str, int]) -> None:
        self.row = row
        self._turns = turns
        self.image_shape = tuple(int(size) for size in row["image"].split("x"))

    @functools.cached_property
    def config(self) -> Config:
        """The settings."""
        most = max(len(kinds) for values in FACTORS.values() for kinds in values.values())
        refusals = []
        for later in range(most):
            turns = {factor: turn + later for factor, turn in self._turns.items()}
            try:
                return Config.from_flat(flags_of(self.row, turns))
            except ConfigError as error:
                refusals.append(str(error))
        raise ConfigError(f"{self.name}: {refusals}")

    @property
    def name(self) -> str:
        """The values, joined in the order of the factors."""
        return "-".join(self.row[factor] for factor in FACTORS)

    def build(self, seed: int = 0, **changes: Any) -> tf.Module:
        """Builds the model; with changes, with other settings."""
        model = dataclasses.replace(self.config.model, **changes)
        return assembly.build_model(model, self.image_shape, seed, num_classes=K)

    def conditioned_on(self, model: tf.Module, batch: int = B) -> tf.Module:
        """Returns the model for labels that differ."""
        return model.conditioned_on(tf.range(batch) % K)

    def images(self, batch: int = B) -> tf.Tensor:
        pixels = np.random.default_rng(0).uniform(size=[batch, *self.image_shape])
        return tf.constant(pixels, tf.float32)

    def gradients(self, model: tf.Module):
        """Returns image -> (the objective's terms by name, the loss's gradients)."""
        plain = assembly.build_objective(
            self.config.objective, steps_per_epoch=1, model=self.config.model.model
        )
        objective = assembly.build_training_objective(self.config, plain)

        def compute(image: tf.Tensor) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
            with tf.GradientTape() as tape:
                # At step 1 every schedule has left 0.
                terms = objective(
                    model,
                    Batch(image, tf.range(B) % K),
                    Noise(),
                    tf.constant(1, tf.int64),
                    lambda values: tf.reduce_mean(values, 0),
                )
                loss = tf.reduce_mean(terms.loss)
            return terms._asdict(), tape.gradient(loss, model.trainable_variables)

        return compute

    @property
    def tolerance(self) -> float:
        """Of numbers of size 1: other orders of summation, in 24 or in 8 bits."""
        if self.config.model.precision == "float32":
            return 1e-4
        # A residual network rounds some five times as often, and normalises what is left: its
        # gradients in bfloat16 are themselves up to 0.2 from those in float32 on these sizes.
        # float16 has three bits more, and the same tolerances.
        return 2e-1 if self.config.model.network == "resnet" else 5e-2


@functools.cache
def covering_cases() -> tuple[Case, ...]:
    """Returns the cases of the ordinary tests: every pair that goes together."""
    return _take_turns(covering.covering_array(VALUES, is_allowed))


MOST_ROUNDING = 0.5

# What meets in the arithmetic of one step.
PRODUCT = ("network", "posterior", "prior", "likelihood", "precision")
FAMILIES = {"vae": ("vae", "conditional"), "sparse_autoencoder": ("sparse_autoencoder",)}


@functools.cache
def product_cases() -> tuple[Case, ...]:
    """Returns every combination of `PRODUCT` and `FAMILIES` that goes together.

    All other factors have values drawn from a generator whose seed is the number of the row.
    """
    rows = []
    products = itertools.product(*(FACTORS[factor] for factor in PRODUCT), FAMILIES.values())
    for number, (*values, models) in enumerate(products):
        generator = random.Random(number)
        row = dict(zip(PRODUCT, values, strict=True)) | {"model": generator.choice(models)}
        if not is_allowed(covering.ordered(VALUES, row)):
            continue
        for factor in VALUES:
            if factor not in row:
                row[factor] = generator.choice(
                    [
                        v
                        for v in VALUES[factor]
                        if is_allowed(covering.ordered(VALUES, {**row, factor: v}))
                    ]
                )
        rows.append(covering.ordered(VALUES, row))
    return _take_turns(rows)


def _take_turns(rows: Sequence[covering.Row]) -> tuple[Case, ...]:
    """Makes cases of rows, in which the kinds of a value take turns."""
    met = collections.Counter()
    cases = []
    for row in rows:
        cases.append(
            Case(row, {factor: met[item] for factor, item in zip(row, row.items(), strict=True)})
        )
        met.update(row.items())
    return tuple(cases)


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    """Compares tensor by tensor, to a part of the largest number of each."""
    found, expected = tf.nest.flatten(found), tf.nest.flatten(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype == tf.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * _scale(b))


def _scale(value: Any) -> float:
    return max(1e-3, float(np.max(np.abs(value))))


def check_step(case: Case) -> None:
    """Checks the terms and gradients of one step: eager, traced, and compiled by XLA.

    In 8 or 11 bits, rounding can take a unit over the kink of its activation, which changes
    gradients of so small a network as a whole. It does so by chance: the ways have to agree with
    some of a few initial weights. In float32 they have to with the first.
    """
    _check_parts(case)
    seeds = 1 if case.config.model.precision == "float32" else 4
    differences = []
    for seed in range(seeds):
        try:
            _check_ways(case, seed)
        except AssertionError as error:
            differences.append(f"initial weights {seed}: {error}")
        else:
            return
    raise AssertionError("\n".join(differences))


def _check_ways(case: Case, seed: int) -> None:
    """Checks a step from initial weights: tracing and XLA change no more than rounding does.

    Tensor by tensor, the step may differ from the eager one by twice what that differs from
    float32 in the worst of tensors; at least by `case.tolerance`, at most by half.
    """
    model, image = case.build(seed), case.images()
    compute = case.gradients(model)
    eager = terms, _ = compute(image)
    for name, term in terms.items():
        assert term.shape == [B], name
        assert np.all(np.isfinite(term)), name

    tolerance = case.tolerance
    if case.config.model.precision != "float32":
        exact = case.gradients(case.build(seed, precision="float32"))(image)
        pairs = zip(tf.nest.flatten(eager), tf.nest.flatten(exact), strict=True)
        rounding = max(_distance(a, b) for a, b in pairs)
        tolerance = max(tolerance, min(2.0 * rounding, MOST_ROUNDING))
    assert_close(tf.function(compute)(image), eager, tolerance)
    assert_close(tf.function(compute, jit_compile=True)(image), eager, tolerance)


def _distance(a: tf.Tensor, b: tf.Tensor) -> float:
    return float(np.max(np.abs(a - b))) / _scale(b)


def _check_parts(case: Case) -> None:
    """Checks that every variable has a part in the loss, with some initial weights at least.

    With others, a layer of so few units may have none that is active.
    """
    silent = None
    for seed in range(8):
        model = case.build(seed)
        _, gradients = case.gradients(model)(case.images())
        # Beneath the free bits nothing is asked of the prior.
        free = model.prior.trainable_variables if case.config.objective.free_bits else ()
        unasked = {id(variable) for variable in free}
        names = [
            f"{index} {variable.name}"
            for index, variable in enumerate(model.trainable_variables)
            if id(variable) not in unasked and not np.any(gradients[index].numpy())
        ]
        silent = set(names) if silent is None else silent & set(names)
        if not silent:
            return
    raise AssertionError(f"no part in the loss: {sorted(silent)}")
