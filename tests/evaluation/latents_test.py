"""Probes of known latents; a PCA against scikit-learn's and an autoencoder made of it."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.decomposition import PCA

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation import latents
from vae_lowlevel.evaluation.latents import PcaFit, measure_latents, probe_accuracies
from vae_lowlevel.evaluation.metrics import image_quality
from vae_lowlevel.experiment import evaluating
from vae_lowlevel.experiment.evaluating import INSTRUMENTS, Subject, evaluate_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.models.conditional_vae import ConditionalVAE
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.types import Examples, to_unit

tfd = tfp.distributions
SHAPE, VALUES = (6, 5, 2), 60
NAMES = ["linear_probe_accuracy", "knn_accuracy", "mse", "psnr", "ssim"]
NAMES += ["pca_mse", "pca_psnr", "pca_ssim"]


class PointHead:
    """q(z|x) = N(parameters, I)."""

    is_gaussian = True

    def __call__(self, parameters):
        return tfd.MultivariateNormalDiag(parameters, tf.ones_like(parameters))

    def embedding(self, posterior):
        return posterior.mean()


def make_vae(latent_dim, encoder, decoder):
    return VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=latent_dim,
        encoder=encoder,
        posterior=PointHead(),
        prior=StandardPrior(latent_dim),
        decoder=decoder,
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, 1.0), 3),
    )


def make_examples(count, seed, label=None):
    """Images of correlated values, all within the range of a pixel."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(9).normal(size=[VALUES, VALUES]) / np.arange(1, VALUES + 1)
    values = 128 + 12 * rng.normal(size=[count, VALUES]) @ patterns.T
    image = np.clip(np.round(values), 0, 255).astype(np.uint8).reshape(-1, *SHAPE)
    label = np.full(count, -1) if label is None else label
    return Examples(image, label.astype(np.int32))


def flat(examples):
    return to_unit(examples.image).numpy().reshape(-1, VALUES).astype(np.float64)


def measure(model, train, test, batch_size=64):
    batches = (padded_batches(examples, batch_size) for examples in (train, test))
    return measure_latents(model, *batches, batch_size=batch_size)


def fit(images, components, part=77):
    pca = PcaFit(images.shape[1])
    for first in range(0, len(images), part):
        pca.add(images[first : first + part])
    return pca.solve(components)


def test_pca_is_that_of_scikit_learn():
    train, test = make_examples(300, 0), make_examples(20, 1)
    ours = fit(flat(train), 7)
    other = PCA(7, svd_solver="full").fit(flat(train))
    np.testing.assert_allclose(ours.mean, other.mean_, rtol=1e-12)
    # Up to the sign of each component.
    products = ours.components @ other.components_.T
    np.testing.assert_allclose(np.abs(products), np.eye(7), atol=1e-8)
    expected = other.inverse_transform(other.transform(flat(test)))
    assert 0.0 < expected.min() < expected.max() < 1.0
    found = ours.reconstruct(to_unit(test.image)).numpy().reshape(-1, VALUES)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pca_of_images_of_rank_four_is_exact_with_four_components_and_not_with_three():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 256, [100, 4]), VALUES // 4, 1).astype(np.uint8)
    images = to_unit(image.reshape(-1, *SHAPE))

    def error(components):
        pca = fit(flat(Examples(image, np.zeros(100))), components)
        return float(np.abs(pca.reconstruct(images) - images).max())

    assert error(3) > 0.1
    assert error(4) < 1e-6
    # More components than there are values.
    assert error(VALUES + 5) < 1e-6


def test_pca_reconstructions_are_clipped_to_the_range_of_images():
    pca = latents.Pca(np.full([VALUES], 0.5), np.full([1, VALUES], VALUES**-0.5))
    image = tf.concat([tf.fill([1, *SHAPE], 3.0), tf.fill([1, *SHAPE], -2.0)], 0)
    found = pca.reconstruct(image).numpy()
    assert (found[0] == 1.0).all()
    assert (found[1] == 0.0).all()


def clusters(count, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, count)
    z = rng.normal(size=[count, 3])
    z[:, :2] += 20.0 * np.stack([label // 2, label % 2], -1)
    return z, label


def test_separate_classes_are_all_found_and_unknown_ones_left_out():
    train, test = clusters(400, 0), clusters(100, 1)
    assert probe_accuracies(train, test) == {"linear_probe_accuracy": 1.0, "knn_accuracy": 1.0}
    unknown = np.where(np.arange(100) % 2, test[1], -1)
    assert probe_accuracies(train, (test[0], unknown))["knn_accuracy"] == 1.0
    # Half of the training examples have an unknown class, at wrong places.
    z = np.concatenate([train[0], train[0][::-1]])
    label = np.concatenate([train[1], np.full(400, -1)])
    assert set(probe_accuracies((z, label), test).values()) == {1.0}


def test_random_classes_are_found_by_chance():
    rng = np.random.default_rng(0)
    train, test = ((rng.normal(size=[2000, 3]), rng.integers(0, 4, 2000)) for _ in range(2))
    accuracies = probe_accuracies(train, test)
    for accuracy in accuracies.values():
        assert accuracy == pytest.approx(0.25, abs=0.05)


def test_neighbours_vote_by_euclidean_distance_and_the_linear_probe_ignores_scales():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1200)
    z = np.stack([1e-3 * (label + 0.1 * rng.normal(size=1200)), rng.normal(size=1200)], -1)
    train, test = (z[:800], label[:800]), (z[800:], label[800:])
    accuracies = probe_accuracies(train, test)
    assert accuracies["linear_probe_accuracy"] == 1.0
    distance = np.sum((test[0][:, None] - train[0]) ** 2, -1)
    votes = train[1][np.argsort(distance, 1)[:, :10]].mean(1)
    expected = np.mean((votes > 0.5) == test[1])  # A tie is a vote for the lower class.
    assert accuracies["knn_accuracy"] == pytest.approx(expected)
    assert expected < 0.6


@pytest.mark.parametrize("train", [0, 1])
def test_without_classes_there_are_no_accuracies(train):
    z, label = clusters(50, 0)
    nothing = {"linear_probe_accuracy": None, "knn_accuracy": None}
    known, unknown = (z, label), (z, np.full(50, -1))
    assert probe_accuracies(*((unknown, known) if train else (known, unknown))) == nothing
    assert probe_accuracies((z, np.ones(50, int)), known) == nothing


def test_fewer_examples_than_neighbours_all_vote():
    train = (np.array([[0.0], [1.0], [9.0]]), np.array([0, 0, 1]))
    assert probe_accuracies(train, (np.array([[9.0]]), np.array([0])))["knn_accuracy"] == 1.0


def test_an_autoencoder_made_of_a_pca_has_its_quality():
    train, test = make_examples(300, 0), make_examples(130, 1)
    pca = PCA(4, svd_solver="full").fit(flat(train))
    mean, components = (tf.constant(x, tf.float32) for x in (pca.mean_, pca.components_))
    model = make_vae(
        4,
        lambda image: tf.matmul(tf.reshape(image, [-1, VALUES]) - mean, components, False, True),
        lambda z: tf.reshape(mean + z @ components, [-1, *SHAPE]),
    )
    metrics = measure(model, train, test)
    assert sorted(metrics) == sorted(NAMES)
    expected = np.mean((pca.inverse_transform(pca.transform(flat(test))) - flat(test)) ** 2)
    assert metrics["mse"] == pytest.approx(expected, rel=1e-5)
    for name in ("mse", "psnr", "ssim"):
        assert metrics[f"pca_{name}"] == pytest.approx(metrics[name], rel=1e-5)
    assert metrics["linear_probe_accuracy"] is metrics["knn_accuracy"] is None


def test_quality_and_probes_are_those_of_the_model_and_count_every_image_once():
    rng = np.random.default_rng(0)
    train, test = (make_examples(count, count, rng.integers(0, 3, count)) for count in (200, 37))
    # The class in one pixel, far above the others' differences.
    for examples in (train, test):
        examples.image[:, 0, 0, 0] = 100 * examples.label
    model = make_vae(
        2,
        lambda image: 10.0 * image[:, 0, :2, 0],
        lambda z: tf.sigmoid(z[:, :1, None, None] + tf.zeros([1, *SHAPE])),
    )
    found, other = measure(model, train, test, 64), measure(model, train, test, 20)
    assert found["linear_probe_accuracy"] == found["knn_accuracy"] == 1.0
    assert found == pytest.approx(other, rel=1e-5)
    image = to_unit(test.image)
    for name, values in image_quality(image, model.reconstruct(image)).items():
        assert found[name] == pytest.approx(float(tf.reduce_mean(values)), rel=1e-5)
    assert found["pca_mse"] < found["mse"]


def test_a_conditional_model_does_not_hand_the_class_to_the_probes():
    """Its encoder passes on the label alone; its decoder too."""
    rng = np.random.default_rng(0)
    train, test = (make_examples(300, seed, rng.integers(0, 3, 300)) for seed in (0, 1))
    for examples in (train, test):
        examples.image[:] = (80 * examples.label + 40)[:, None, None, None]
    vae = make_vae(
        3,
        lambda image: image[:, 0, 0, 2:],
        lambda z: (
            tf.tensordot(z[:, 3:], [40.0, 120.0, 200.0], 1)[:, None, None, None]
            / 255.0
            * tf.ones([1, *SHAPE])
        ),
    )
    metrics = measure(ConditionalVAE(vae, 3), train, test)
    for name in ("linear_probe_accuracy", "knn_accuracy"):
        assert metrics[name] == pytest.approx(1 / 3, abs=0.1)
    # Reconstructions have the class.
    assert metrics["mse"] < 1e-10


def test_images_of_too_many_values_have_no_pca(monkeypatch):
    monkeypatch.setattr(latents, "MOST_PCA_VALUES", VALUES - 1)
    model = make_vae(1, lambda image: image[:, 0, 0, :1], lambda z: tf.zeros([64, *SHAPE]))
    metrics = measure(model, make_examples(20, 0), make_examples(20, 1))
    assert sorted(metrics) == sorted(NAMES)
    assert metrics["pca_mse"] is metrics["pca_psnr"] is metrics["pca_ssim"] is None
    assert metrics["mse"] > 0.1


def test_the_instrument_measures_a_run(tiny_run):
    folder = RunFolder(tiny_run)
    options = EvaluateOptions(model_dir=tiny_run, metrics="latents", examples=9, probe_examples=20)
    config = folder.read_config()
    metrics = evaluate_run(config, folder, options)["latents"]
    assert metrics["probe_examples"] == 20
    image = to_unit(load_dataset(config.data).test[:9].image)
    quality = image_quality(image, load_model(tiny_run).reconstruct(image))
    for name, values in quality.items():
        assert metrics[name] == pytest.approx(float(tf.reduce_mean(values)), rel=1e-5)
    assert metrics["knn_accuracy"] * 9 == pytest.approx(round(metrics["knn_accuracy"] * 9))


class Stream:
    """A training split on disk: it has a length, and rows are read from it."""

    def __init__(self, examples):
        self.examples, self.rows = examples, []

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, rows):
        self.rows.append(rows)
        return self.examples[rows]


@pytest.fixture
def subject():
    """A sparse autoencoder, which has no prior, and data whose training split is a stream."""
    config = Config.from_flat(
        {
            "model": "sparse_autoencoder",
            "network": "mlp",
            "encoder_units": (4,),
            "latent_dim": 3,
            "image_size": 8,
            "shapes_examples": 90,
            "validation_size": 0,
            "model_dir": "x",
        }
    )
    dataset = load_dataset(config.data)
    return Subject(
        config,
        RunFolder("x"),
        dataclasses.replace(dataset, train=Stream(dataset.train)),
        assembly.build_float32_model(config, (8, 8, 1), num_classes=0),
        EvaluateOptions(model_dir="x", probe_examples=50),
    )


def test_probe_examples_are_drawn_from_a_stream_by_the_seed(subject, monkeypatch):
    metrics = INSTRUMENTS["latents"](subject)["latents"]
    assert metrics["pca_mse"] > 0.0
    # The rows are what the rest is about.
    monkeypatch.setattr(evaluating, "measure_latents", lambda *arguments, **settings: {})
    INSTRUMENTS["latents"](subject)
    other = dataclasses.replace(subject.options, seed=1)
    INSTRUMENTS["latents"](dataclasses.replace(subject, options=other))
    everything = dataclasses.replace(subject.options, probe_examples=10_000)
    whole = INSTRUMENTS["latents"](dataclasses.replace(subject, options=everything))["latents"]
    first, again, others, all_rows = subject.dataset.train.rows
    assert len(np.unique(first)) == metrics["probe_examples"] == 50
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(others)
    assert set(first) != set(range(50))
    np.testing.assert_array_equal(all_rows, np.arange(len(subject.dataset.train)))
    assert whole["probe_examples"] == len(subject.dataset.train)


def test_a_missing_scikit_learn_is_named_with_what_to_install(subject, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"scikit-learn.*pip install '\.\[evaluation\]' in the package's folder"
    ):
        INSTRUMENTS["latents"](subject)
    # Without classes there is nothing to probe, and no need for it.
    unlabelled = dataclasses.replace(subject.dataset, class_names=())
    train, test = (
        dataclasses.replace(examples, label=np.full(len(examples), -1, np.int32))
        for examples in (subject.dataset.train.examples, subject.dataset.test)
    )
    unlabelled = dataclasses.replace(unlabelled, train=train, test=test)
    metrics = INSTRUMENTS["latents"](dataclasses.replace(subject, dataset=unlabelled))["latents"]
    assert metrics["knn_accuracy"] is None
    assert metrics["pca_mse"] > 0.0
