"""The ladder as the settings build it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly, schedules
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.distributions import priors
from vae_lowlevel.models.layer_table import layer_table
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.training.named_variables import choose_trained, named_variables
from vae_lowlevel.types import Batch

IMAGE_SHAPE = (8, 6, 1)
MLP = {"network": "mlp", "encoder_units": (8,), "decoder_units": (7,)}
CONV = {"encoder_filters": (3, 4), "encoder_units": (6,), "decoder_filters": (4, 4, 3)}


def build(num_classes=0, **settings):
    config = ModelConfig(**{"model": "ladder", "ladder_units": (5, 6), **settings})
    return assembly.build_model(config, IMAGE_SHAPE, seed=0, num_classes=num_classes)


def images():
    pixels = np.random.default_rng(0).uniform(size=[4, *IMAGE_SHAPE])
    return tf.constant(pixels, tf.float32)


def terms_of(model):
    objective = Elbo(kl_weight=schedules.constant(1.0), kl_estimator="monte_carlo")
    batch, noise = Batch(images(), tf.range(4) % 3), BatchNoise(make_seed(1), 0, 4, 4)
    with tf.GradientTape() as tape:
        terms = objective(model, batch, noise, tf.constant(0), lambda x: tf.reduce_mean(x, 0))
        loss = tf.reduce_mean(terms.loss)
    return terms, tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize("network", [MLP, CONV])
def test_one_level_is_an_ordinary_vae(network):
    """Of the same seed, the networks start with the same weights."""
    ladder = build(**network, ladder_dims=(3,), ladder_units=())
    vae = build(**network, model="vae", latent_dim=3)
    assert len(ladder.variables) == len(vae.variables)
    (found, gradients), (expected, expected_gradients) = terms_of(ladder), terms_of(vae)
    for name, values in expected._asdict().items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-5, err_msg=name)
    for gradient, values in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {**MLP, "dense_layer": "gated", "ladder_units": (5,)},
        {**CONV, "conditional": True, "likelihood": "gaussian", "likelihood_scale_kind": "learned"},
        {"network": "resnet", "resnet_filters": (4, 8), "precision": "bfloat16"},
    ],
    ids=["mlp", "conv", "resnet"],
)
def test_every_network_trains_every_variable_of_a_ladder(settings):
    model = build(3, **settings, activation="elu", ladder_dims=(2, 3, 4))
    assert model.latent_dim == 9
    assert not model.conditioned_on(tf.range(4) % 3).has_closed_form_kl
    terms, gradients = terms_of(model)
    assert np.all(np.isfinite(terms.loss))
    idle = [
        variable.name
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if not np.any(gradient)
    ]
    assert idle == []


@pytest.mark.parametrize(
    ("settings", "prior"),
    [
        ({"prior": "mixture", "prior_components": 3}, priors.MixturePrior),
        ({"prior": "vamp", "prior_components": 3, "conditional": True}, priors.VampPrior),
        ({"prior": "flow", "prior_flow_steps": 2, "prior_flow_units": (5,)}, priors.FlowPrior),
    ],
    ids=lambda value: value["prior"] if isinstance(value, dict) else "",
)
def test_the_prior_of_the_top_level_is_trained(settings, prior):
    model = build(3, **MLP, **settings, ladder_dims=(2, 3, 4))
    assert isinstance(model.prior.top, prior)
    terms, gradients = terms_of(model)
    assert np.all(np.isfinite(terms.loss))
    named = named_variables(model)
    of_top = {name for name in named if name.startswith("prior/") and "top_down" not in name}
    assert of_top
    for gradient, variable in zip(gradients, model.trainable_variables, strict=True):
        assert np.any(gradient), variable.name
    # The levels below are as without it: the same seed gives them the same weights.
    standard = named_variables(build(3, **MLP, ladder_dims=(2, 3, 4)))
    if "conditional" not in settings:
        assert set(named) == set(standard) | of_top
        for name, variable in standard.items():
            np.testing.assert_array_equal(variable, named[name])


def test_pseudo_inputs_of_a_ladder_are_encoded_to_its_top_level():
    model = build(**MLP, ladder_dims=(2, 3), prior="vamp", prior_components=3)
    model.prior.top.start_from(images())
    components = model.prior.top().components_distribution
    posterior = model.encode(model.prior.top.pseudo_inputs)
    noise = tf.random.stateless_normal([3, 5], make_seed(0))
    z, _ = model.sample_and_log_prob(posterior, noise)
    drawn = components.mean() + components.stddev() * noise[:, :2]
    np.testing.assert_allclose(z[:, :2], drawn, rtol=1e-5, atol=1e-6)


def test_the_levels_do_not_start_closed():
    """A level whose estimate had no weight next to the prior's would not see the image."""
    model = build(**MLP, ladder_dims=(4, 6))
    z = model.embed(images()).numpy()
    assert np.all(z.std(0) > 1e-3)


def test_table_and_names_have_every_variable_once():
    model = build(**MLP, ladder_dims=(2, 3, 4))
    named = named_variables(model)
    assert len(named) == len(model.variables)
    assert {"posterior/bottom_up_0/head/kernel", "prior/top_down_2/dense_1/bias"} <= set(named)
    trained = choose_trained(model, "encoder,posterior,decoder")
    assert [variable.ref() for variable in trained] == [
        variable.ref() for variable in model.prior.trainable_variables
    ]
    rows = [line.split() for line in layer_table(model).splitlines()]
    # By hand. Bottom-up: 5 -> 6 -> 2 x 3 + 5, 5 -> 6 -> 2 x 2. Top-down: 2 -> 5 -> 6 -> 6 and
    # 5 -> 5 -> 6 -> 8.
    bottom_up = (5 * 6 + 6) + (6 * 11 + 11) + (5 * 6 + 6) + (6 * 4 + 4)
    top_down = (2 * 5 + 5) + (5 * 6 + 6) + (6 * 6 + 6) + (5 * 5 + 5) + (5 * 6 + 6) + (6 * 8 + 8)
    assert ["ladder_posterior", str(bottom_up)] in rows
    assert ["ladder_prior", str(top_down)] in rows
    counts = [int(row[-1].replace(",", "")) for row in rows if row[-1][-1].isdigit()]
    assert sum(counts[:-1]) == counts[-1]
