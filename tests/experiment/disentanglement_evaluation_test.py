"""Disentanglement measured of a run whose model is a formula."""

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation import disentanglement, factor_matrix
from vae_lowlevel.experiment.disentanglement_evaluation import _draw_shapes
from vae_lowlevel.experiment.evaluating import INSTRUMENTS, Subject
from vae_lowlevel.experiment.folder import RunFolder

SIZE = 16


class Moments:
    """Embeds an image as its centre of mass and its brightness, of variances about 1, and noise."""

    image_shape, latent_dim, has_prior = (SIZE, SIZE, 1), 4, True

    def conditioned_on(self, label):
        return self

    def embed(self, image):
        pixel = tf.range(SIZE, dtype=tf.float32)
        mass = tf.reduce_sum(image, [1, 2, 3])
        x = tf.reduce_sum(image[..., 0] * pixel, [1, 2]) / mass
        y = tf.reduce_sum(image[..., 0] * pixel[:, None], [1, 2]) / mass
        return tf.stack([x, y, mass / 10, 0.0 * mass + 3], -1)


def subject(tmp_path, model=None, examples=None, **values):
    config = Config.from_flat(
        {
            "image_size": SIZE,
            "shapes_examples": 1800,
            "evaluation_batch_size": 64,
            "model_dir": str(tmp_path),
            **values,
        }
    )
    dataset = load_dataset(Config.from_flat({**config.to_flat(), "dataset": "shapes"}).data)
    return Subject(
        config,
        RunFolder(str(tmp_path)),
        dataclasses.replace(dataset, test=dataset.test[:examples]),
        model or Moments(),
        EvaluateOptions(model_dir=str(tmp_path), metrics="disentanglement"),
    )


@pytest.fixture
def little_work(monkeypatch):
    monkeypatch.setattr(disentanglement, "FITTED_POINTS", 80)
    monkeypatch.setattr(disentanglement, "HELD_OUT_POINTS", 40)
    monkeypatch.setattr(factor_matrix, "TREES", 3)


def test_a_model_that_finds_the_place_is_told_from_one_that_finds_nothing(tmp_path, little_work):
    measured = INSTRUMENTS["disentanglement"](subject(tmp_path))
    assert set(measured) == {"disentanglement"}
    scores = measured["disentanglement"]
    assert all(type(value) is float for value in scores.values())
    assert scores["mig_x"] > 0.6
    assert scores["mig_y"] > 0.6
    # The brightness comes from scale and shape.
    assert 0.1 < scores["mig_scale"] < 0.6
    assert scores["mig_orientation"] < 0.05
    # x and y are always recognised, and scale or shape, which brightness has together, sometimes.
    assert 0.55 < scores["factor_vae"] < 0.95
    assert 0.55 < scores["beta_vae"] < 0.95
    assert scores == INSTRUMENTS["disentanglement"](subject(tmp_path))["disentanglement"]

    class Blind(Moments):
        def embed(self, image):
            return 0.0 * super().embed(image)

    blind = INSTRUMENTS["disentanglement"](subject(tmp_path, Blind()))["disentanglement"]
    assert blind["mig"] == pytest.approx(0, abs=1e-12)
    assert blind["sap"] == blind["dci_completeness"] == 0
    assert blind["factor_vae"] < 0.45


def test_new_images_are_those_of_the_data_set(tmp_path):
    padded = subject(tmp_path, pad_to=20)
    test = padded.dataset.test
    drawn = _draw_shapes(padded.config.data, test.factors, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.image, test.image)
    np.testing.assert_array_equal(drawn.label, test.label)


def test_new_images_are_black_and_white_if_those_of_the_data_set_are(tmp_path):
    grey, binary = subject(tmp_path).dataset.test, subject(tmp_path, binarize="dynamic")
    random = np.random.default_rng(0)
    drawn = [_draw_shapes(binary.config.data, grey.factors, random) for _ in range(2)]
    assert set(np.unique(drawn[0].image)) == {0, 255}
    assert drawn[0].image.mean() == pytest.approx(grey.image.mean(), rel=0.02)
    assert (drawn[0].image != drawn[1].image).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "mnist"}, "needs a run of --dataset=shapes.* is one of --dataset=mnist"),
        ({"examples": 99}, "at least 100 test images, found 99; raise --examples, or --shapes_ex"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        INSTRUMENTS["disentanglement"](subject(tmp_path, **changes))


def test_without_scikit_learn_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        ConfigError, match=r"scikit-learn.*pip install '\.\[evaluation\]' in the package's folder"
    ):
        INSTRUMENTS["disentanglement"](subject(tmp_path))
