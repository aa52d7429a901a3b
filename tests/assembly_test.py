from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config, ModelConfig, ObjectiveConfig, OptimizerConfig
from vae_lowlevel.distributions import likelihoods, posteriors, priors
from vae_lowlevel.layers.activations import ACTIVATIONS
from vae_lowlevel.layers.conv import Conv2D
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch

IMAGE_SHAPE = (6, 5, 3)
TINY = {
    "latent_dim": 2,
    "encoder_filters": (3, 4),
    "encoder_strides": (2, 1),
    "encoder_units": (6,),
    "decoder_units": (5,),
    "decoder_filters": (4, 3),
    "decoder_strides": (2,),
}
NETWORKS = ("conv", "mlp")


def build(seed=0, **settings):
    return assembly.build_model(ModelConfig(**{**TINY, **settings}), IMAGE_SHAPE, seed)


def initial_values(model):
    return [variable.numpy() for variable in model.variables]


def choices(group, name):
    return group.__dataclass_fields__[name].metadata["choices"]


@pytest.mark.parametrize("network", NETWORKS)
def test_initial_values_depend_on_the_seed_only(network):
    first = initial_values(build(3, network=network))
    tf.random.set_seed(1)
    tf.random.normal([5])
    # Other models and other draws in between.
    build(4, network="conv")
    again = initial_values(build(3, network=network))
    assert len(first) == len(again)
    for values, expected in zip(again, first, strict=True):
        np.testing.assert_array_equal(values, expected)
    for values, expected in zip(initial_values(build(4, network=network)), first, strict=True):
        assert values.ndim == 1 or not np.any(values == expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_one_half_starts_the_same_whatever_the_other_half_is(network):
    model = build(network=network)
    other_encoder = build(network=network, encoder_units=(9, 9), encoder_filters=(7, 7))
    other_decoder = build(network=network, decoder_units=(9, 9), decoder_filters=(7, 7))
    for own, other in [
        (model.decoder, other_encoder.decoder),
        (model.encoder, other_decoder.encoder),
    ]:
        for values, expected in zip(initial_values(other), initial_values(own), strict=True):
            np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_precision_changes_no_initial_value(network):
    half = initial_values(build(network=network, precision="bfloat16"))
    for values, expected in zip(half, initial_values(build(network=network)), strict=True):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected)


def test_no_two_kernels_are_drawn_from_the_same_seed():
    # Of one size, so that the same seed would give the same numbers.
    model = build(
        network="mlp",
        latent_dim=54,
        encoder_units=(90, 90),
        decoder_units=(90, 90),
        precision="float32",
    )
    starts = [tuple(np.sign(v.numpy().ravel()[:64])) for v in model.variables if v.shape.rank == 2]
    assert len(starts) == 6
    assert len(set(starts)) == 6


@pytest.mark.parametrize("network", NETWORKS)
def test_every_variable_is_trained_float32_and_has_its_own_path(network):
    model = build(network=network)
    assert len(model.trainable_variables) == len(model.variables) > 0
    assert {variable.dtype for variable in model.variables} == {tf.float32}
    for network_half in (model.encoder, model.decoder):
        names = [variable.name for variable in network_half.variables]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("network", NETWORKS)
def test_network_setting_chooses_the_layers(network):
    kinds = {type(layer) for layer in build(network=network).encoder.layers}
    assert Linear in kinds
    assert (Conv2D in kinds) == (network == "conv")


def test_conv_settings_reach_the_layers():
    model = build(kernel_size=5, activation="silu", precision="bfloat16")
    first = model.encoder.layers[0]
    assert first.kernel.shape == [5, 5, 3, 3]
    assert first.stride == 2
    assert first.activation is ACTIVATIONS["silu"]
    assert first.dtype == tf.bfloat16
    assert model.decoder.layers[0].activation is ACTIVATIONS["silu"]
    assert model.decoder.layers[0].dtype == tf.bfloat16
    assert model.decoder.layers[-2].kernel.shape == [5, 5, 3, 3]


LIKELIHOODS = {
    "bernoulli": likelihoods.BernoulliLikelihood,
    "continuous_bernoulli": likelihoods.ContinuousBernoulliLikelihood,
    "gaussian": likelihoods.GaussianLikelihood,
    "discretized_logistic": likelihoods.DiscretizedLogisticLikelihood,
}
POSTERIORS = {
    "diagonal": posteriors.DiagonalPosterior,
    "full": posteriors.FullPosterior,
    "iaf": posteriors.AutoregressiveFlowPosterior,
}
PRIORS = {
    "standard": priors.StandardPrior,
    "mixture": priors.MixturePrior,
    "vamp": priors.VampPrior,
    "flow": priors.FlowPrior,
}


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [("likelihood", LIKELIHOODS), ("posterior", POSTERIORS), ("prior", PRIORS)],
)
def test_distribution_settings_choose_the_distributions(setting, kinds):
    assert set(choices(ModelConfig, setting)) == set(kinds)
    for choice, kind in kinds.items():
        assert type(getattr(build(network="mlp", **{setting: choice}), setting)) is kind


@pytest.mark.parametrize("likelihood", ["gaussian", "discretized_logistic"])
def test_scale_settings_choose_the_scale(likelihood):
    kinds = {
        "fixed": likelihoods.FixedScale,
        "learned": likelihoods.LearnedScale,
        "per_pixel": likelihoods.PixelScale,
    }
    for kind, expected in kinds.items():
        scale = build(
            likelihood=likelihood, likelihood_scale=0.25, likelihood_scale_kind=kind
        ).likelihood.scale
        assert type(scale) is expected
        np.testing.assert_allclose(scale(tf.zeros([1])), np.full([1], 0.25), rtol=1e-4)


def test_flow_settings_reach_the_networks():
    model = build(posterior="iaf", iaf_steps=3, iaf_units=(11, 12), iaf_context=4)
    steps = model.posterior.networks
    assert len(steps) == 3
    assert [layer.kernel.shape[1] for layer in steps[0].hidden] == [11, 12]
    assert steps[0].context.kernel.shape == [4, 11]
    model = build(prior="flow", prior_flow_steps=5, prior_flow_units=(7,))
    assert [len(network.layers) for network in model.prior.networks] == [2] * 5
    assert build(prior="mixture", prior_components=9).prior.loc.shape == [9, 2]
    assert build(prior="vamp", prior_components=9).prior.pseudo_inputs.shape == [9, *IMAGE_SHAPE]


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_config_and_model_agree_on_where_a_closed_form_is(posterior, prior):
    if (posterior, prior) != ("iaf", "vamp"):
        config = ModelConfig(**TINY, posterior=posterior, prior=prior)
        model = assembly.build_model(config, IMAGE_SHAPE, 0)
        assert model.has_closed_form_kl == config.has_closed_form_kl
        objective = assembly.build_objective(Config(), IMAGE_SHAPE, 1)
        line = assembly.describe_kl(objective, model)
        assert line.startswith("KL from its closed form") == config.has_closed_form_kl


def test_bits_per_dimension_are_reported_for_grey_levels_alone():
    for likelihood in choices(ModelConfig, "likelihood"):
        config = Config.from_flat({"likelihood": likelihood})
        for objective in (
            assembly.build_objective(config, IMAGE_SHAPE, 1),
            assembly.build_final_objective(config, IMAGE_SHAPE, 1),
        ):
            bpd = objective.report({"elbo": -90.0 * np.log(2.0)}).get("bpd")
            wanted = pytest.approx(1.0) if likelihood == "discretized_logistic" else None
            assert bpd == wanted  # 6 x 5 x 3 values


@pytest.mark.parametrize(
    ("values", "is_binary", "is_corrupted"),
    [
        ({}, False, False),
        ({"binarize": "static"}, False, False),
        ({"binarize": "dynamic"}, True, False),
        ({"corruption": "mask"}, False, True),
        ({"binarize": "dynamic", "corruption": "mask"}, True, True),
    ],
)
def test_training_batches_are_transformed_as_the_settings_say(values, is_binary, is_corrupted):
    config = Config.from_flat(values)
    transform = assembly.build_training_transform(config)
    assert (assembly.build_run_corruption(config) is not None) == is_corrupted
    if not (is_binary or is_corrupted):
        assert transform is None
        return
    grey = np.full([4, *IMAGE_SHAPE], 0.5, np.float32)
    batch = transform(Batch(grey, tf.zeros([4], tf.int32)), BatchNoise(make_seed(0), 0, 4, 4))
    assert set(np.unique(batch.image)) == ({0.0, 1.0} if is_binary else {0.5})
    assert np.any(batch.encoder_input != batch.image) == is_corrupted


def test_the_elbo_scores_every_epoch_the_loss_those_of_the_final_weights():
    means = {"elbo": -3.0, "loss": 5.0}
    warmup = {"kl_schedule": "linear", "kl_warmup_epochs": 2.0}

    def scores(**values):
        config = Config.from_flat(values)
        objective = assembly.build_objective(config, IMAGE_SHAPE, steps_per_epoch=10)
        score = assembly.build_score(config, objective)
        return [score(step, means) for step in (10, 20, 30)]

    assert scores(**warmup) == [-3.0, -3.0, -3.0]
    assert scores(kl_weight=4.0) == [-5.0, -5.0, -5.0]
    assert scores(kl_weight=0.1, **warmup) == [None, -5.0, -5.0]
    assert scores(capacity=25.0, capacity_epochs=3.0) == [None, None, -5.0]
    assert scores(kl_weight=4.0, best_by="elbo", **warmup) == [-3.0, -3.0, -3.0]
    assert scores(model="sparse_autoencoder") == [-5.0, -5.0, -5.0]


def test_model_knows_its_shapes():
    model = build(latent_dim=7)
    assert model.image_shape == IMAGE_SHAPE
    assert model.latent_dim == 7
    assert model.prior().event_shape == [7]
    assert model.sample(2, make_seed(0)).shape == [2, *IMAGE_SHAPE]


def test_float32_model_has_the_weights_of_a_bfloat16_run():
    config = Config.from_flat({**TINY, "precision": "bfloat16", "seed": 5})
    exported = assembly.build_float32_model(config, IMAGE_SHAPE)
    trained = assembly.build_model(config.model, IMAGE_SHAPE, 5)
    for values, expected in zip(initial_values(exported), initial_values(trained), strict=True):
        np.testing.assert_array_equal(values, expected)
    formats = {layer.dtype for layer in exported.encoder.layers if hasattr(layer, "dtype")}
    assert formats == {tf.float32}


def weights_at(objective, steps):
    return [float(objective.kl_weight(tf.constant(step, tf.int64))) for step in steps]


def test_kl_schedules_are_given_in_epochs():
    # By hand, at steps 0, 10, 20, 30 and 40 of epochs of 10 steps.
    expected = {
        "constant": [3, 3, 3, 3, 3],
        "linear": [0, 1.5, 3, 3, 3],
        "cyclical": [0, 1.5, 3, 3, 0],
    }
    assert set(choices(ObjectiveConfig, "kl_schedule")) == set(expected)
    for schedule, weights in expected.items():
        objective_config = ObjectiveConfig(
            kl_weight=3.0,
            kl_schedule=schedule,
            kl_warmup_epochs=2.0,
            kl_cycle_epochs=4.0,
            kl_ramp_fraction=0.5,
        )
        config = Config(objective=objective_config)
        objective = assembly.build_objective(config, IMAGE_SHAPE, steps_per_epoch=10)
        assert weights_at(objective, [0, 10, 20, 30, 40]) == weights
        final = assembly.build_final_objective(config, IMAGE_SHAPE, 1)
        assert weights_at(final, [0, 10]) == [3, 3]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_objective_settings_reach_the_objective(reduction):
    config = Config(
        objective=ObjectiveConfig(
            pixel_reduction=reduction,
            free_bits=0.25,
            kl_schedule="linear",
            kl_estimator="monte_carlo",
        )
    )
    for objective in (
        assembly.build_objective(config, IMAGE_SHAPE, 10),
        assembly.build_final_objective(config, IMAGE_SHAPE, 1),
    ):
        assert objective.pixel_reduction == reduction
        assert objective.free_bits == 0.25
        assert objective.kl_estimator == "monte_carlo"


def test_learning_rate_schedules_are_those_of_the_flags():
    # By hand, at steps 0, 10, 20 and 40 of a run of 40 steps, epochs of 10.
    expected = {
        "constant": [2, 2, 2, 2],
        "cosine": [2, 0.2 + 1.8 * (2 + np.sqrt(2)) / 4, 1.1, 0.2],
        "exponential": [2, 1, 0.5, 0.125],
    }
    assert set(choices(OptimizerConfig, "learning_rate_schedule")) == set(expected)
    for schedule, rates in expected.items():
        config = OptimizerConfig(
            learning_rate=2.0,
            learning_rate_schedule=schedule,
            learning_rate_final_fraction=0.1,
            learning_rate_decay=0.25,
            learning_rate_decay_epochs=2.0,
        )
        rate = assembly.build_learning_rate(config, steps_per_epoch=10, total_steps=40)
        got = [float(rate(tf.constant(step, tf.int64))) for step in (0, 10, 20, 40)]
        np.testing.assert_allclose(got, rates, rtol=1e-5)
        warmed = dataclasses.replace(config, learning_rate_warmup_steps=20)
        rate = assembly.build_learning_rate(warmed, steps_per_epoch=10, total_steps=40)
        np.testing.assert_allclose(rate(tf.constant(0)), 2.0 / 20, rtol=1e-6)
        np.testing.assert_allclose(rate(tf.constant(20)), rates[2], rtol=1e-5)


def test_optimizer_has_the_settings_and_a_moment_for_each_variable():
    model = build()
    config = OptimizerConfig(adam_beta1=0.5, adam_beta2=0.75, adam_epsilon=1e-3)
    adam = assembly.build_optimizer(config, model.trainable_variables)
    assert (adam.beta1, adam.beta2, adam.epsilon) == (0.5, 0.75, 1e-3)
    shapes = [variable.shape for variable in model.trainable_variables]
    assert [slot.shape for slot in adam.m] == [slot.shape for slot in adam.v] == shapes
