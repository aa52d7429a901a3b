"""docs/extending.md: its examples, run as they stand there."""

import pathlib
import re
import types

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.data.shapes import draw_shapes
from vae_lowlevel.distributions.posteriors import DiagonalPosterior
from vae_lowlevel.distributions.priors import tempered
from vae_lowlevel.errors import DataError
from vae_lowlevel.models.layer_table import layer_table
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.objectives.importance_weighted import ImportanceWeighted
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.schedules import constant
from vae_lowlevel.training.named_variables import named_variables
from vae_lowlevel.types import Batch, to_unit

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "extending.md"
SIDE, D, B = 8, 3, 6
ORDERS = (0.0, 0.5, 1.0 - 1e-3)
# The sums over draws are taken in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-4}


@pytest.fixture(scope="module")
def page():
    """What the blocks of the page define."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 6
    module = types.ModuleType("extending")
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), vars(module))
    return module


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """A CSV file of drawn shapes, and these."""
    drawn = draw_shapes(200, SIDE, seed=3)
    path = tmp_path_factory.mktemp("data") / "shapes.csv"
    table = np.concatenate([drawn.label[:, None], drawn.image.reshape(200, -1)], 1)
    header = ",".join(["label", *(f"pixel{number}" for number in range(SIDE * SIDE))])
    np.savetxt(path, table, fmt="%d", delimiter=",", header=header, comments="")
    return path, drawn


@pytest.fixture(scope="module")
def vae(page):
    return page.build_vae((SIDE, SIDE, 1), D)


@pytest.fixture(scope="module")
def terms(page, vae, csv):
    """The terms of some objectives, by name or order, from the noise of one seed."""
    batch = Batch(to_unit(csv[1].image[:B]), tf.constant(csv[1].label[:B]))
    noise = BatchNoise(make_seed(5), 0, B, B)
    settings = {"kl_weight": constant(1.0), "num_samples": 4}
    objectives = {
        "iwae": ImportanceWeighted(**settings),
        "elbo": Elbo(**settings, kl_estimator="monte_carlo"),
        **{order: page.RenyiBound(order=order, num_samples=4) for order in ORDERS},
    }

    @tf.function(autograph=False)
    def compute():
        step, mean = tf.constant(0), lambda x: tf.reduce_mean(x, 0)
        return [objective(vae, batch, noise, step, mean) for objective in objectives.values()]

    return dict(zip(objectives, compute(), strict=True))


def test_network_has_the_shapes_of_its_contract(vae, csv):
    image = to_unit(csv[1].image[:B])
    assert vae.encode(image).mean().shape == (B, D)
    assert vae.decode(tf.zeros([2, B, D])).mean().shape == (2, B, SIDE, SIDE, 1)
    names = list(named_variables(vae))
    assert "encoder/block_0/first/kernel" in names
    assert "decoder/block_1/second/bias" in names
    assert "encoder/block_1  " in layer_table(vae)


def test_network_computes_hidden_layers_in_dtype_and_the_last_in_float32(page):
    options = {"units": 5, "blocks": 2, "activation": tf.nn.relu, "seed": make_seed(1)}
    ends = {"image_shape": (SIDE, SIDE, 1), "out_features": 4}
    image = tf.random.stateless_uniform([B, SIDE, SIDE, 1], [0, 1])
    low, high = (page.skip_encoder(**ends, **options, dtype=d) for d in (tf.bfloat16, tf.float32))
    assert low.layers[2](low.layers[1](low.layers[0](image))).dtype == tf.bfloat16
    assert low(image).dtype == high(image).dtype == tf.float32
    error = np.abs(low(image) - high(image)).max()
    assert 0 < error < 0.05 * np.abs(high(image)).max()
    # NumPy: x + second(first(x)).
    block = high.layers[2]
    x = np.random.default_rng(0).normal(size=[B, 5]).astype(np.float32)
    first = np.maximum(x @ block.first.kernel.numpy() + block.first.bias.numpy(), 0)
    expected = x + first @ block.second.kernel.numpy() + block.second.bias.numpy()
    np.testing.assert_allclose(block(tf.constant(x)), expected, rtol=1e-5, atol=1e-6)


def test_kl_to_the_prior_is_that_of_quadrature(page, vae, csv):
    """The mean rate of many draws, against Gauss-Hermite quadrature of log p(z) in NumPy."""
    prior = page.RingPrior(2, components=4)
    loc, scale = np.array([0.7, -0.4]), np.array([0.5, 0.8])
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x, y = np.meshgrid(nodes, nodes, indexing="ij")
    z = loc + scale * np.stack([x, y], -1)  # [40, 40, 2]
    w = np.outer(weights, weights) / (2.0 * np.pi)
    radius, ring = np.log1p(np.exp(2.0)), np.exp(5.0 * np.tanh(-0.2))
    angles = np.arange(4) * np.pi / 2.0
    centers = radius * np.stack([np.cos(angles), np.sin(angles)], -1)
    squared = np.sum(np.square(z[..., None, :] - centers), -1) / ring**2
    log_p = scipy.special.logsumexp(-0.5 * squared, -1) - np.log(4 * 2 * np.pi * ring**2)
    entropy = np.sum(np.log(scale) + 0.5 * np.log(2 * np.pi * np.e))
    expected = -entropy - np.sum(w * log_p)

    parameters = tf.constant([[*loc, *10 * np.arctanh(2 * np.log(scale) / 10)]], tf.float32)
    posterior = DiagonalPosterior(2)(parameters)
    noise = tf.random.stateless_normal([50_000, 1, 2], [1, 2])
    z, log_q = vae.sample_and_log_prob(posterior, noise)
    rate = (log_q - prior().log_prob(z)).numpy()
    assert abs(rate.mean() - expected) < 5 * rate.std() / np.sqrt(rate.size)
    assert rate.std() / np.sqrt(rate.size) < 0.02


def test_prior_can_be_sampled_at_a_temperature(page):
    prior = page.RingPrior(3, components=6)
    z = tempered(prior(), tf.constant(0.0)).sample(50, seed=[1, 2]).numpy()
    np.testing.assert_allclose(np.linalg.norm(z[:, :2], axis=1), np.log1p(np.exp(2.0)), rtol=1e-5)
    np.testing.assert_array_equal(z[:, 2], 0)


def test_csv_is_read_and_bad_files_are_refused(page, csv, tmp_path):
    path, drawn = csv
    train, test = page.load_csv(str(path))
    assert test is None
    np.testing.assert_array_equal(train.image, drawn.image)
    np.testing.assert_array_equal(train.label, drawn.label)
    assert (train.image.dtype, train.label.dtype) == (np.uint8, np.int32)
    bad = tmp_path / "bad.csv"
    for text, found in (
        ("label,a,b\n0,1,2\n", "expected square images, found 2 pixels"),
        ("label,a\n0,300\n", "expected pixels from 0 to 255, found 300 to 300"),
        ("label,a\n0,one\n", "expected a CSV file of whole numbers"),
        ("label\n0\n", "expected square images, found 0 pixels"),
    ):
        bad.write_text(text)
        with pytest.raises(DataError, match=f"{bad}: {found}"):
            page.load_csv(str(bad))
    with pytest.raises(DataError, match=r"whole numbers, found: .*not found"):
        page.load_csv(str(tmp_path / "none.csv"))


def test_objective_has_its_limiting_cases(terms):
    elbo, (bound, between, near_one) = terms["elbo"], (terms[order] for order in ORDERS)
    np.testing.assert_allclose(bound.loss, terms["iwae"].loss, **CLOSE)
    for name in ("elbo", "distortion", "rate", "mse"):
        np.testing.assert_allclose(getattr(bound, name), getattr(elbo, name), **CLOSE)
    np.testing.assert_allclose(near_one.loss, -elbo.elbo, atol=0.05)
    assert np.all(bound.loss < between.loss)
    assert np.all(between.loss < -elbo.elbo)


def test_all_of_them_train(page, csv):
    examples, _ = page.load_csv(str(csv[0]))
    vae = page.build_vae((SIDE, SIDE, 1), D)
    before = {name: variable.numpy() for name, variable in named_variables(vae).items()}
    losses = page.train(vae, page.RenyiBound(order=0.5, num_samples=3), examples, steps=60)
    assert np.all(np.isfinite(losses))
    assert losses[-10:].mean() < 0.8 * losses[:5].mean()
    unchanged = [
        name
        for name, variable in named_variables(vae).items()
        if np.array_equal(before[name], variable.numpy())
    ]
    assert unchanged == []
    assert {"prior/ring_prior/raw_radius", "prior/ring_prior/raw_log_scale"} <= set(before)


def test_other_parts_of_the_package_accept_the_objective(page, terms):
    """The columns of a step, and the choice of the best weights."""
    objective, found = page.RenyiBound(order=0.5, num_samples=4), terms[0.5]
    assert found._fields == objective.terms
    assert tf.stack(found).shape == (len(objective.terms), B)
    means = {name: float(tf.reduce_mean(getattr(found, name))) for name in objective.terms}
    assert objective.report(means) == means
    for best_by in ("elbo", "loss"):
        score = assembly.build_score(Config.from_flat({"best_by": best_by}), objective)
        assert score(0, means) == (means["elbo"] if best_by == "elbo" else -means["loss"])
