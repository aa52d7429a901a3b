"""What is computed for figures, against the model itself and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.visualize import VisualizeOptions
from vae_lowlevel.experiment import scene as scene_module
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.scene import Scene
from vae_lowlevel.types import Dataset, Examples

SETTINGS = {"network": "mlp", "latent_dim": 3, "encoder_units": (6,), "decoder_units": (6,)}


def build_scene(examples=7, classes=3, options=None, **settings):
    """A model of random weights and images of noise."""
    config = Config.from_flat({**SETTINGS, **settings})
    names = tuple("abc"[:classes])
    model = assembly.build_model(config.model, (5, 4, 1), 0, len(names))
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.5 * tf.random.stateless_normal(variable.shape, [index, 0]))
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, [examples, 5, 4, 1]).astype(np.uint8)
    test = Examples(image, (np.arange(examples) % max(classes, 1)).astype(np.int32))
    options = VisualizeOptions(model_dir="nowhere", **(options or {}))
    dataset = Dataset(test, test, test, names)
    return Scene(config, RunFolder("nowhere"), dataset, model, (), 0, options)


@pytest.mark.parametrize("settings", [{}, {"conditional": True}, {"model": "sparse_autoencoder"}])
def test_batches_of_any_size_give_what_the_model_gives(settings, monkeypatch):
    monkeypatch.setattr(scene_module, "ROWS", 3)
    scene = build_scene(**settings)
    image, label = tf.constant(scene.test.image / 255.0, tf.float32), scene.test.label
    model = scene.model.conditioned_on(tf.constant(label))
    np.testing.assert_allclose(scene.latents.z, model.embed(image), rtol=1e-5, atol=1e-6)
    found = scene.reconstruct(image.numpy(), label)
    np.testing.assert_allclose(found, model.reconstruct(image), rtol=1e-5, atol=1e-6)
    # Of any leading shape, and of one label for all.
    z = scene.latents.z[:6].reshape(2, 3, 3)
    decoded = scene.decode(z, 1)
    assert decoded.shape == (2, 3, 5, 4, 1)
    expected = scene.model.conditioned_on(tf.constant([1])).decode(tf.constant(z[1, 2:])).mean()
    np.testing.assert_allclose(decoded[1, 2:], expected, rtol=1e-5, atol=1e-6)


def test_a_process_of_many_scenes_is_not_warned_of_retracing(caplog):
    for _ in range(8):
        scene = build_scene()
        scene.decode(scene.latents.z)
    assert "retracing" not in caplog.text


def test_units_have_the_kl_of_the_closed_form():
    scene = build_scene()
    found = scene.model.describe(tf.constant(scene.test.image / 255.0, tf.float32))
    mean, log_var = found["z_mean"].numpy(), found["z_log_var"].numpy()
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1.0 - log_var)
    assert scene.units.is_kl
    np.testing.assert_allclose(scene.units.activity, kl.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(scene.units.is_active, mean.var(0) > 0.01)


def test_without_a_closed_form_units_have_their_variance():
    scene = build_scene(prior="mixture", prior_components=3)
    assert not scene.units.is_kl
    np.testing.assert_allclose(scene.units.activity, scene.latents.z.var(0), rtol=1e-5)
    assert scene.prior_draws.shape == (10_000, 3)
    assert build_scene().prior_draws is None


def test_the_number_of_images_and_the_seed_are_those_of_the_options():
    scene = build_scene(options={"examples": 2, "seed": 5})
    assert len(scene.latents.z) == 2
    assert not np.array_equal(scene.seed, build_scene().seed)
    assert scene.class_names_of(np.array([2, -1])) == ["c", "unknown"]
    assert build_scene(classes=0).class_names_of(np.array([-1])) == []
