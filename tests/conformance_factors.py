"""All models and training steps that the settings can describe, as factors and their values.

A value stands for one or more flags. `Config` refuses values that do not fit together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import covering

from vae_lowlevel.config import DataConfig, ModelConfig, ObjectiveConfig

# Latent dimensions.
D = 4


def _each(field: str, group: type = ModelConfig) -> dict[str, dict[str, Any]]:
    """Returns {choice: its flag} for each choice of a setting."""
    (choices,) = (f.metadata["choices"] for f in dataclasses.fields(group) if f.name == field)
    return {choice: {field: choice} for choice in choices}


def _values(field: str, group: type = ModelConfig) -> dict[str, tuple[dict[str, Any], ...]]:
    return {choice: (flags,) for choice, flags in _each(field, group).items()}


_SCALE_KINDS = tuple(
    {"likelihood_scale_kind": kind} for kind in ("auto", "fixed", "learned", "per_pixel")
)
SCALES = {"gaussian": _SCALE_KINDS, "discretized_logistic": _SCALE_KINDS}

# factor -> value -> the flags of each of its kinds. Where a value has several kinds, successive
# cases take them in turn.
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
        "ladder": ({"model": "ladder"}, {"model": "ladder", "conditional": True}),
    },
    # auto is one of the others.
    "precision": {name: value for name, value in _values("precision").items() if name != "auto"},
    "activation": _values("activation"),
    "objective": {
        "elbo": ({"objective": "elbo"}, {"objective": "elbo", "num_samples": 3}),
        "iwae": ({"objective": "iwae", "num_samples": 3},),
        "dreg": ({"objective": "dreg", "num_samples": 3},),
        "tcvae": ({"objective": "tcvae"},),
    },
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
    # Height, width and channels. Strides of 2 and 2 divide 8, and none of the other sizes.
    "image": {"7x10x1": ({},), "8x8x3": ({},), "5x3x3": ({},), "9x6x1": ({},)},
}

VALUES = {factor: tuple(values) for factor, values in FACTORS.items()}

# Pairs that the settings refuse. Written by hand, so that a test notices any other refusal.
SPARSE, LADDER = ("model", "sparse_autoencoder"), ("model", "ladder")
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
    (("posterior", "full"), LADDER),
    (("posterior", "iaf"), LADDER),
    (LADDER, ("kl_estimator", "analytic")),
    (SPARSE, ("kl_bound", "free_bits")),
    (SPARSE, ("kl_bound", "capacity")),
    *(
        (("objective", objective), pair)
        for objective in ("iwae", "dreg", "tcvae")
        for pair in (
            ("pixel_reduction", "mean"),
            ("kl_bound", "free_bits"),
            ("kl_bound", "capacity"),
            ("kl_estimator", "monte_carlo"),
            ("kl_estimator", "analytic"),
        )
    ),
    (SPARSE, ("objective", "iwae")),
    (SPARSE, ("objective", "dreg")),
    (SPARSE, ("objective", "tcvae")),
    (LADDER, ("objective", "dreg")),
    (LADDER, ("objective", "tcvae")),
    (("posterior", "iaf"), ("objective", "dreg")),
    (("posterior", "full"), ("objective", "tcvae")),
    (("posterior", "iaf"), ("objective", "tcvae")),
    (("prior", "mixture"), ("objective", "tcvae")),
    (("prior", "vamp"), ("objective", "tcvae")),
    (("prior", "flow"), ("objective", "tcvae")),
    (("likelihood", "continuous_bernoulli"), ("binarize", "static")),
    (("likelihood", "continuous_bernoulli"), ("binarize", "dynamic")),
    (("likelihood", "gaussian"), ("binarize", "static")),
    (("likelihood", "gaussian"), ("binarize", "dynamic")),
    (("likelihood", "discretized_logistic"), ("binarize", "static")),
    (("likelihood", "discretized_logistic"), ("binarize", "dynamic")),
}

SIZES = {
    "latent_dim": D,
    "ladder_dims": (2, D - 2),
    "ladder_units": (16, 16),
    "encoder_filters": (8, 8),
    "encoder_strides": (2, 2),
    "encoder_units": (32,),
    "decoder_units": (32,),
    "decoder_filters": (8, 8, 8),
    "decoder_strides": (2, 2),
    "iaf_units": (16,),
    "iaf_context": 3,
    "prior_components": 8,
    "prior_flow_steps": 2,
    "prior_flow_units": (16,),
}
RESNET_SIZES = {"resnet_filters": (8, 16), "resnet_blocks": (1,)}


def flags_of(row: covering.Row, turns: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Returns the flags of a row, or of a part of one.

    Args:
        row: factor -> value.
        turns: factor -> number of the kind of its value, counted modulo the number of kinds; None
            for the first kind of each value.
    """
    flags = dict(SIZES)
    for factor, value in row.items():
        kinds = FACTORS[factor][value]
        flags.update(kinds[turns[factor] % len(kinds) if turns else 0])
    return flags | (RESNET_SIZES if flags.get("network") == "resnet" else {})


def is_allowed(row: covering.Row) -> bool:
    """Returns whether a row, or a part of one, has no excluded pair."""
    return EXCLUDED.isdisjoint(covering.pairs_of(row))
