import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.evaluation.units import UnitMonitor
from vae_lowlevel.types import Examples

ROWS = 7


def build(**values):
    config = Config.from_flat(
        {"network": "mlp", "latent_dim": 3, "encoder_units": (5,), "decoder_units": (4,), **values}
    )
    classes = 3 if values.get("conditional") else 0
    return assembly.build_model(config.model, (8, 8, 1), seed=0, num_classes=classes)


@pytest.fixture
def examples():
    random = np.random.default_rng(0)
    return Examples(
        random.integers(0, 256, [ROWS, 8, 8, 1]).astype(np.uint8),
        random.integers(0, 3, [ROWS]).astype(np.int32),
    )


def test_units_that_are_zero_for_all_images_are_counted(examples):
    model = build()
    hidden = model.encoder.layers[1]
    # Two units see nothing but a negative bias; a third fires for one image alone.
    kernel, bias = hidden.kernel.numpy(), hidden.bias.numpy()
    kernel[:, [0, 3]], bias[[0, 3]] = 0.0, -1.0
    x = examples.image.reshape(ROWS, -1) / 255.0
    scores = x @ kernel[:, 1]
    bias[1] = -(np.sort(scores)[-1] + np.sort(scores)[-2]) / 2
    hidden.kernel.assign(kernel)
    hidden.bias.assign(bias)
    activations = np.maximum(x @ kernel + bias, 0.0)
    assert np.count_nonzero(activations[:, 1]) == 1
    dead = int(np.sum(activations.max(0) == 0.0))
    assert dead >= 2
    monitor = UnitMonitor(model, examples, tf.nn.relu)
    assert monitor(0).dead["encoder/dense_0"] == (dead, 5)
    assert set(monitor(0).dead) == {"encoder/dense_0", "decoder/dense_0"}
    # The model is as it was.
    assert hidden.activation is tf.nn.relu


def test_a_channel_is_a_unit_and_layers_of_blocks_have_their_own_names(examples):
    model = build(network="resnet", variant="micro")
    dead = UnitMonitor(model, examples, tf.nn.relu)(0).dead
    layers = [m for p in (model.encoder, model.decoder) for m in p.submodules]
    watched = [m for m in layers if vars(m).get("activation") is tf.nn.relu]
    assert len(dead) == len(watched) > 4
    assert all(units > 1 for _, units in dead.values())


def test_other_activations_are_not_watched(examples):
    assert UnitMonitor(build(activation="elu"), examples, tf.nn.relu)(0).dead == {}
    assert UnitMonitor(build(), examples, None)(0).dead == {}


def test_an_error_while_tracing_leaves_the_model_as_it_was(examples):
    model = build()
    wrong = Examples(examples.image[:, :4], examples.label)
    with pytest.raises(ValueError, match="Dimension"):
        UnitMonitor(model, wrong, tf.nn.relu)(0)
    assert model.encoder.layers[1].activation is tf.nn.relu


def test_rates_are_the_closed_form_and_follow_the_weights(examples):
    model = build()
    monitor = UnitMonitor(model, examples)
    for step, bias in enumerate((0.0, 1.0)):
        head = model.encoder.layers[-1]
        head.bias.assign(np.full(head.bias.shape, bias))
        report = monitor(step)
        mean, log_var = report.latents["z_mean"], report.latents["z_log_var"]
        expected = model.describe(examples.image / np.float32(255.0))
        np.testing.assert_allclose(mean, expected["z_mean"], atol=1e-6)
        kl = 0.5 * (mean**2 + np.exp(log_var) - log_var - 1.0)
        np.testing.assert_allclose(report.rates, kl.mean(0), rtol=1e-4, atol=1e-6)
    # Computed once per step.
    assert monitor(1) is report


def test_a_process_of_many_short_runs_is_not_warned_of_retracing(examples, caplog):
    """Each run has a monitor of its own, which is traced once."""
    model = build()
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        for _ in range(6):
            UnitMonitor(model, examples)(0)
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == []


def test_a_full_covariance_has_the_variances_of_its_diagonal(examples):
    model = build(posterior="full")
    tril = model.describe(examples.image / np.float32(255.0))["z_scale_tril"].numpy()
    latents = UnitMonitor(model, examples)(0).latents
    diagonal = np.einsum("nij,nij->ni", tril, tril)
    np.testing.assert_allclose(latents["z_log_var"], np.log(diagonal), atol=1e-5)
    assert set(latents) == {"z_mean", "z_log_var"}


@pytest.mark.parametrize(
    ("values", "names", "has_rates"),
    [
        ({"model": "sparse_autoencoder"}, {"code"}, False),
        ({"conditional": True}, {"z_mean", "z_log_var"}, True),
        ({"prior": "vamp", "prior_components": 3}, {"z_mean", "z_log_var"}, False),
        ({"posterior": "iaf"}, {"z_mean", "z_log_var", "z"}, False),
    ],
)
def test_every_model_has_latents_and_rates_where_there_is_a_closed_form(
    examples, values, names, has_rates
):
    report = UnitMonitor(build(**values), examples, tf.nn.relu)(0)
    assert set(report.latents) == names
    assert all(value.shape == (ROWS, 3) for value in report.latents.values())
    assert (report.rates is not None) == has_rates
