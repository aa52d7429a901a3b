from __future__ import annotations

import dataclasses

import pytest

from vae_lowlevel.config import ModelConfig, NetworkSizes
from vae_lowlevel.errors import ConfigError


@pytest.mark.parametrize(
    ("variant", "filters", "blocks", "latent_dim"),
    [
        ("micro", (16, 32), (1, 1), 32),
        ("small", (32, 64), (1, 1), 64),
        ("medium", (32, 64, 128), (1, 1, 1), 128),
        ("large", (64, 128, 256), (2, 2, 2), 256),
        ("xlarge", (64, 128, 256, 512), (2, 2, 2, 2), 512),
    ],
)
def test_a_variant_gives_the_sizes_that_are_not_given(variant, filters, blocks, latent_dim):
    model = ModelConfig(network="resnet", variant=variant)
    assert model.sizes == NetworkSizes(latent_dim, filters, blocks)
    assert (model.latent_dim, model.resnet_filters, model.resnet_blocks) == (None, None, None)
    over = {"latent_dim": 5, "resnet_filters": (8, 9), "resnet_blocks": (3,)}
    model = ModelConfig(network="resnet", variant=variant, **over)
    assert model.sizes == NetworkSizes(5, (8, 9), (3, 3))


def test_without_a_variant_resnet_is_small():
    model = ModelConfig(network="resnet")
    assert model.variant is None
    assert model.sizes == ModelConfig(network="resnet", variant="small").sizes


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_other_networks_have_16_dimensions_and_no_levels(network):
    assert ModelConfig(network=network).sizes == NetworkSizes(16, (), ())
    assert ModelConfig(network=network, latent_dim=3).sizes == NetworkSizes(3, (), ())


@pytest.mark.parametrize("network", ["conv", "mlp", "resnet"])
def test_the_latent_space_of_a_ladder_has_the_dimensions_of_its_levels(network):
    model = ModelConfig(network=network, model="ladder", ladder_dims=(2, 3, 4))
    assert model.sizes == dataclasses.replace(ModelConfig(network=network).sizes, latent_dim=9)
    assert ModelConfig(model="ladder", latent_dim=5, ladder_dims=(2, 3)).sizes.latent_dim == 5
    assert ModelConfig(ladder_dims=(2, 3)).sizes.latent_dim == 16


def test_a_ladder_of_one_level_needs_no_units():
    assert ModelConfig(model="ladder", ladder_dims=(3,), ladder_units=()).sizes.latent_dim == 3


def test_a_ladder_has_a_prior_and_no_closed_form_of_its_kl():
    models = [ModelConfig(model=model) for model in ("vae", "ladder", "sparse_autoencoder")]
    assert [model.has_prior for model in models] == [True, True, False]
    assert [model.has_closed_form_kl for model in models[:2]] == [True, False]


def test_convolution_settings_do_not_bind_the_mlp():
    model = ModelConfig(network="mlp", encoder_filters=(8,), decoder_filters=())
    assert model.network == "mlp"


def test_convolutions_may_be_none():
    model = ModelConfig(
        encoder_filters=(), encoder_strides=(), decoder_filters=(8,), decoder_strides=()
    )
    assert model.decoder_filters == (8,)


# Parts of the message: the flags, their values, and what to do.
@pytest.mark.parametrize(
    ("values", "parts"),
    [
        (
            {"encoder_filters": (8, 16, 32)},
            ["--encoder_filters and --encoder_strides", "3 (8, 16, 32) and 2 (2, 2)"],
        ),
        (
            {"decoder_filters": (8,)},
            ["--decoder_filters after the first and --decoder_strides", "0 () and 2 (2, 2)"],
        ),
        (
            {"decoder_filters": (), "decoder_strides": ()},
            ["--decoder_filters needs at least one number", "--network=conv"],
        ),
        (
            {"variant": "medium"},
            [
                *("--variant is a setting of --network=resnet", "--network is conv"),
                *("set --network=resnet", "--variant="),
            ],
        ),
        (
            {"network": "mlp", "resnet_blocks": (1,)},
            ["--resnet_blocks is a setting of --network=resnet", "--network is mlp"],
        ),
        (
            {"network": "resnet", "resnet_filters": ()},
            ["--resnet_filters needs at least one number"],
        ),
        (
            {"network": "resnet", "resnet_filters": (8, 8), "resnet_blocks": (1, 1, 1)},
            ["--resnet_filters and --resnet_blocks need the same number of entries, got 2"],
        ),
        (
            {"network": "resnet", "resnet_blocks": ()},
            ["--resnet_blocks need the same number of entries"],
        ),
        (
            {"conditional": True, "model": "sparse_autoencoder"},
            ["--conditional requires --model=vae", "--model is sparse_autoencoder", "leave out"],
        ),
        (
            {"prior": "vamp", "model": "sparse_autoencoder"},
            ["--prior=vamp requires --model=vae", "--model is sparse_autoencoder", "leave out"],
        ),
        (
            {"prior": "flow", "model": "ladder", "ladder_dims": (1, 4)},
            ["--prior=flow", "the first of --ladder_dims must be at least 2, got 1"],
        ),
        (
            {"posterior": "full", "model": "ladder"},
            ["--posterior=full requires --model=vae", "--model is ladder", "leave out --posterior"],
        ),
        (
            {"model": "ladder", "latent_dim": 4, "ladder_dims": (2, 3)},
            [
                *("--latent_dim=4", "the sum of --ladder_dims=2,3, 5", "leave out --latent_dim"),
                "change --ladder_dims",
            ],
        ),
        (
            {"model": "ladder", "ladder_dims": ()},
            ["--ladder_dims needs at least one number for --model=ladder"],
        ),
        (
            {"model": "ladder", "ladder_units": ()},
            ["--ladder_units needs at least one number", "between 2 levels"],
        ),
        (
            {"model": "ladder", "ladder_dims": (2, 0)},
            ["--ladder_dims must be at least 1", "got (2, 0)"],
        ),
        (
            {"posterior": "iaf", "prior": "vamp"},
            [
                "--prior=vamp",
                "--posterior=iaf",
                "--posterior=diagonal or full, or another prior",
            ],
        ),
        (
            {"posterior": "iaf", "iaf_units": ()},
            ["--iaf_units needs at least one number for --posterior=iaf"],
        ),
        (
            {"prior": "flow", "latent_dim": 1},
            ["--prior=flow", "--latent_dim must be at least 2, got 1"],
        ),
        (
            {"likelihood": "discretized_logistic", "likelihood_scale": 0.001},
            ["--likelihood_scale of a learned scale", "0.0067 and 148.4, got 0.001"],
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values, parts):
    with pytest.raises(ConfigError) as caught:
        ModelConfig(**values)
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("values", "kind", "scale"),
    [
        ({"likelihood": "gaussian"}, "fixed", 1.0),
        ({"likelihood": "gaussian", "likelihood_scale_kind": "learned"}, "learned", 0.1),
        ({"likelihood": "gaussian", "likelihood_scale": 0.001}, "fixed", 0.001),
        ({"likelihood": "discretized_logistic"}, "learned", 0.1),
        ({"likelihood": "discretized_logistic", "likelihood_scale": 0.03}, "learned", 0.03),
        (
            {"likelihood": "discretized_logistic", "likelihood_scale_kind": "fixed"},
            "fixed",
            1.0,
        ),
    ],
)
def test_scale_of_a_pixel_follows_the_likelihood_unless_given(values, kind, scale):
    model = ModelConfig(**values)
    assert (model.scale_kind, model.initial_scale) == (kind, scale)
