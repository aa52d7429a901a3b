"""Term means and final metrics, against the same sums written with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.evaluation.metrics import measure_test_split
from vae_lowlevel.evaluation.term_means import TermMeans
from vae_lowlevel.objectives.input_noise import build_corruption
from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.types import Batch, Examples, to_unit

CONFIG = Config.from_flat({"network": "mlp", "latent_dim": 3, "encoder_units": (8,)})


@pytest.fixture(scope="module")
def model():
    return assembly.build_model(CONFIG.model, (12, 12, 1), seed=0)


@pytest.fixture(scope="module")
def examples():
    image = np.random.default_rng(0).integers(0, 256, [23, 12, 12, 1]).astype(np.uint8)
    return Examples(image, np.zeros([23], np.int32))


def test_every_example_counts_once(model, examples):
    means = TermMeans(
        model, assembly.build_final_objective(CONFIG, (12, 12, 1), 1), batch_size=10, seed=0
    )
    terms, z_mean = means(padded_batches(examples, 10), step=0)
    image = tf.constant(examples.image, tf.float32) / 255
    posterior = model.encode(image)
    rate = np.sum(
        0.5 * (posterior.mean() ** 2 + posterior.variance() - 1 - np.log(posterior.variance())), -1
    )
    np.testing.assert_allclose(z_mean, posterior.mean(), atol=1e-6)
    assert terms["rate"] == pytest.approx(rate.mean(), rel=1e-5)
    assert terms["elbo"] == pytest.approx(-terms["distortion"] - terms["rate"], rel=1e-6)
    assert terms["loss"] == pytest.approx(-terms["elbo"], rel=1e-6)
    # The distortion is that of one draw a row; a NumPy estimate of its expectation is near.
    draws = posterior.sample(200, seed=[0, 1])
    expected = np.mean([-np.mean(model.decode(z).log_prob(image)) for z in tf.unstack(draws)])
    assert terms["distortion"] == pytest.approx(expected, rel=0.02)


def test_padding_does_not_count_in_free_bits(model, examples):
    config = CONFIG.replace(free_bits=1e-3)
    objective = assembly.build_objective(config, (12, 12, 1), steps_per_epoch=1)
    padded = TermMeans(model, objective, batch_size=40, seed=0)
    terms, _ = padded(padded_batches(examples, 40), step=0)
    image = tf.constant(examples.image, tf.float32) / 255
    kl = model.kl_per_dimension(model.encode(image)).numpy()
    penalised = np.where(kl.mean(0) > 1e-3, kl, 1e-3).sum(-1).mean()
    assert terms["loss"] - terms["distortion"] == pytest.approx(penalised, abs=2e-4)


def test_evaluation_repeats_and_depends_on_the_seed(model, examples):
    objective = assembly.build_final_objective(CONFIG, (12, 12, 1), 1)

    def measure(seed):
        means = TermMeans(model, objective, batch_size=10, seed=seed)
        return means(padded_batches(examples, 10), step=0)[0]["elbo"]

    assert measure(0) == measure(0)
    assert measure(0) != measure(1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"conditional": True},
        {"model": "sparse_autoencoder"},
        {"model": "ladder", "ladder_dims": (1, 2)},
        {"model": "ladder", "ladder_dims": (1, 2), "prior": "mixture"},
    ],
)
def test_images_are_encoded_once(examples, settings, monkeypatch):
    """By the objective, the reconstruction, the KL of each unit and the embedding together."""
    config = CONFIG.replace(**settings)
    model = assembly.build_model(config.model, (12, 12, 1), seed=0, num_classes=3)
    encoder, calls = model.encoder, []
    first = encoder.layers[0]
    monkeypatch.setattr(
        encoder, "layers", [lambda x: calls.append(x) or first(x), *encoder.layers[1:]]
    )
    objective = assembly.build_final_objective(config, (12, 12, 1), 1)
    measured = measure_test_split(
        model, objective, padded_batches(examples, 23), batch_size=23, seed=0
    )
    assert len(calls) == 1
    assert model.encoder is encoder
    again = measure_test_split(
        model, objective, padded_batches(examples, 23), batch_size=23, seed=0
    )
    assert measured == again


def test_a_process_of_many_short_runs_is_not_warned_of_retracing(model, examples, caplog):
    """Each run has objects of its own, which are traced once."""
    objective = assembly.build_final_objective(CONFIG, (12, 12, 1), 1)
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        for seed in range(6):
            TermMeans(model, objective, batch_size=23, seed=seed)(padded_batches(examples, 23), 0)
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == []


def test_final_metrics_take_reconstructions_from_the_posterior_mean(model, examples):
    metrics = measure_test_split(
        model,
        assembly.build_final_objective(CONFIG, (12, 12, 1), 1),
        padded_batches(examples, 10),
        batch_size=10,
        seed=0,
    )
    image = examples.image.astype(np.float32) / 255
    mse = ((model.reconstruct(image).numpy() - image) ** 2).mean((1, 2, 3))
    assert metrics["mse"] == pytest.approx(mse.mean(), rel=1e-5)
    assert metrics["psnr"] == pytest.approx(np.mean(-10 * np.log10(mse)), rel=1e-5)
    assert set(metrics) == {
        *("elbo", "distortion", "rate", "loss", "mse", "psnr", "ssim"),
        *("active_units", "latents"),
    }
    assert len(metrics["latents"]) == 3


def test_the_objective_sees_the_transformed_batch(model, examples):
    objective = assembly.build_final_objective(CONFIG, (12, 12, 1), 1)
    transform = build_corruption("mask", 0.5)

    def measure(examples, transform=None, seed=0):
        means = TermMeans(model, objective, batch_size=23, seed=seed, transform=transform)
        return means(padded_batches(examples, 23), step=0)

    terms, z_mean = measure(examples, transform)
    # The corruption is that of seed 0, whatever the seed of the run.
    np.testing.assert_array_equal(measure(examples, transform, seed=5)[1], z_mean)
    noise = BatchNoise(fold(fold(make_seed(0), "evaluation"), 0), 0, 23, 23)
    batch = transform(Batch(to_unit(examples.image), tf.constant(examples.label)), noise)
    np.testing.assert_allclose(z_mean, model.embed(batch.encoder_input), atol=1e-6)
    assert np.any(batch.encoder_input != batch.image)
    assert terms["distortion"] != measure(examples)[0]["distortion"]
