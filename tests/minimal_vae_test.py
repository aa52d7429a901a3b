"""tools/minimal_vae.py: trained for a few epochs, its export used, its listing in the docs."""

import importlib.util
import pathlib
import re
import runpy
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.config import DataConfig
from vae_lowlevel.errors import ConfigError

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "tools" / "minimal_vae.py"
EPOCHS = 4


@pytest.fixture(scope="module")
def minimal_vae():
    spec = importlib.util.spec_from_file_location("minimal_vae", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(minimal_vae, tmp_path_factory):
    """The folder of a short run and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "minimal"
    config = DataConfig(dataset="shapes", shapes_examples=1100, image_size=16)
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minimal_vae, "BATCH_SIZE", 50)
        patch.setattr(minimal_vae, "print", lines.append, raising=False)
        minimal_vae.main(config, epochs=EPOCHS, folder=str(folder))
    return folder, lines


@pytest.fixture(scope="module")
def signatures(run):
    return tf.saved_model.load(str(run[0] / "saved_model")).signatures


def test_elbo_rises(run):
    _, lines = run
    elbos = [float(re.search(r"-\d+\.\d\d(?= nats per example)", line)[0]) for line in lines]
    assert len(elbos) == EPOCHS
    # In the first epochs the KL weight is still small, and so the KL may rise for a while.
    assert elbos[-1] > elbos[0] + 10.0


def test_samples_are_a_picture(run):
    folder, _ = run
    picture = tf.io.decode_png(tf.io.read_file(str(folder / "samples.png"))).numpy()
    assert picture.shape == (4 * (16 + 2) - 2, 16 * (16 + 2) - 2, 1)
    tiles = np.pad(picture, [(0, 2), (0, 2), (0, 0)]).reshape(4, 18, 16, 18)[:, :16, :, :16]
    # Something bright on black in nearly every tile, and not the same everywhere.
    assert np.mean(tiles.max(axis=(1, 3)) > 100) > 0.8
    assert tiles.std(axis=(0, 2)).max() > 20


def test_export_encodes_and_decodes(signatures):
    images = np.random.default_rng(0).random([3, 16, 16, 1], np.float32)
    codes = signatures["encode"](image=tf.constant(images))
    assert {name: tuple(code.shape) for name, code in codes.items()} == {
        "z_mean": (3, 10),
        "z_log_var": (3, 10),
    }
    decoded = signatures["decode"](z=codes["z_mean"])
    assert set(decoded) == {"image"}
    assert decoded["image"].shape == (3, 16, 16, 1)
    for values in (*codes.values(), decoded["image"]):
        assert values.dtype == tf.float32
        assert np.all(np.isfinite(values))
    assert 0.0 <= np.min(decoded["image"]) < np.max(decoded["image"]) <= 1.0


def test_exported_samples_depend_on_the_seed(signatures):
    first, again, other = (
        signatures["sample"](seed=tf.constant(seed, tf.int32))["image"].numpy()
        for seed in ([3, 4], [3, 4], [3, 5])
    )
    assert first.shape == (64, 16, 16, 1)
    assert np.all((first >= 0.0) & (first <= 1.0))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_argument_is_the_name_of_a_data_set(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "no_such_data"])
    with pytest.raises(ConfigError, match=r"--dataset.*no_such_data"):
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_fits_on_a_screen_and_is_listed_in_the_documentation():
    source = SCRIPT.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 75
    page = (ROOT / "docs" / "minimal.md").read_text(encoding="utf-8")
    assert f"```python\n{source}```\n" in page, "copy tools/minimal_vae.py into docs/minimal.md"
