import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.loading import load_model, load_predictor


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random([5, 12, 12, 1], np.float32)


@pytest.fixture
def run_copy(tiny_run, tmp_path):
    """A copy of the run folder at another place, to be damaged."""
    return pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.mark.parametrize("parent", [pytest.param(False, marks=pytest.mark.long), True])
def test_run_and_export_give_the_same(tiny_run, tiny_export, images, parent):
    run = load_predictor(tiny_run)
    export = load_predictor(os.path.dirname(tiny_export) if parent else tiny_export)
    assert (export.image_shape, export.latent_dim) == (run.image_shape, run.latent_dim)
    assert run.image_shape == (12, 12, 1)
    for one, other in [
        (run.encode(images).z_mean, export.encode(images).z_mean),
        (run.encode(images).z_log_var, export.encode(images).z_log_var),
        (run.reconstruct(images), export.reconstruct(images)),
        (run.sample(5, seed=2), export.sample(5, seed=2)),
        (
            run.interpolate(images[:2], images[2:4], 3),
            export.interpolate(images[:2], images[2:4], 3),
        ),
    ]:
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_newest_version_is_loaded(tiny_export, tmp_path, monkeypatch):
    for version in ("2", "10"):
        shutil.copytree(tiny_export, tmp_path / version)
    loaded = []
    true_load = tf.saved_model.load
    monkeypatch.setattr(tf.saved_model, "load", lambda path: loaded.append(path) or true_load(path))
    load_predictor(str(tmp_path))
    assert loaded == [str(tmp_path / "10")]


@pytest.mark.long
@pytest.mark.parametrize("parent", [False, True])
def test_an_export_at_an_address_is_loaded(tiny_export, tmp_path, images, parent):
    address = f"ram://{tmp_path.name}"
    for source in filter(os.path.isfile, map(str, pathlib.Path(tiny_export).rglob("*"))):
        copy = os.path.join(address, "1", os.path.relpath(source, tiny_export))
        tf.io.gfile.makedirs(os.path.dirname(copy))
        tf.io.gfile.copy(source, copy)
    found = load_predictor(address if parent else f"{address}/1").encode(images)
    np.testing.assert_allclose(
        found.z_mean, load_predictor(tiny_export).encode(images).z_mean, atol=1e-6
    )
    with pytest.raises(RunError, match=r"ram://.*/2: .*no such folder"):
        load_predictor(f"{address}/2")


def test_a_run_that_was_moved_loads_with_its_weights(tiny_run, run_copy):
    for here, there in zip(
        load_model(tiny_run).trainable_variables,
        load_model(str(run_copy)).trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(here, there)


def test_the_model_of_a_bfloat16_run_is_float32_with_the_weights_of_best(tiny_run):
    model = load_model(tiny_run)
    assert {layer.dtype for layer in model.encoder.layers if hasattr(layer, "dtype")} == {
        tf.float32
    }
    best = tf.train.load_checkpoint(os.path.join(tiny_run, "best"))
    kernel = best.get_tensor("model/encoder/layers/0/kernel/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(model.encoder.layers[0].kernel, kernel)


def test_neither_run_nor_export(tmp_path):
    with pytest.raises(RunError, match=r"flags\.cfg.*saved_model\.pb.*found neither"):
        load_predictor(str(tmp_path))
    with pytest.raises(RunError, match=r"missing: .*flags\.cfg.*no such folder"):
        load_predictor(str(tmp_path / "missing"))


def test_a_run_without_weights(run_copy):
    shutil.rmtree(run_copy / "best")
    with pytest.raises(RunError, match=r"no weights in .*best"):
        load_predictor(str(run_copy))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"image_shape": [12, 12]}', "{}"])
def test_a_run_without_its_image_shape(run_copy, content):
    (run_copy / "data.json").unlink()
    if content is not None:
        (run_copy / "data.json").write_text(content)
    with pytest.raises(RunError, match=r"data\.json: expected a run's image_shape \[H, W, C\]"):
        load_predictor(str(run_copy))


def test_weights_of_another_model(run_copy):
    _, _, flags = (run_copy / "flags.cfg").read_text().partition("\n")  # Without the checksum.
    (run_copy / "flags.cfg").write_text(flags.replace("--latent_dim=3", "--latent_dim=4"))
    with pytest.raises(RunError, match="cannot restore"):
        load_predictor(str(run_copy))


def test_a_damaged_export(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(RunError, match="not a readable export"):
        load_predictor(str(tmp_path))


def test_a_saved_model_of_another_kind(tmp_path):
    module = tf.Module()
    module.encode = tf.function(lambda x: {"y": x}, [tf.TensorSpec([None], name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures={"encode": module.encode})
    with pytest.raises(RunError, match="lacks the signatures decode, reconstruct, sample"):
        load_predictor(str(tmp_path))
