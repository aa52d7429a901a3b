"""Every shipped flagfile trains for a few steps on small data and resumes; some are exported."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import vae_lowlevel.experiment.training
from vae_lowlevel import train
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse

FLAGS = pathlib.Path(__file__).parents[1] / "flags"
# Of those of papers, one per objective and model that no other flagfile has.
PAPERS = ("mnist_dreg_50", "mnist_ladder_conv", "mnist_ladder_conv_vamp")
FLAGFILES = [
    *sorted(FLAGS.glob("*.cfg")),
    *sorted(FLAGS.glob("fast/*.cfg")),
    *(FLAGS / f"papers/{name}.cfg" for name in PAPERS),
]

# Image shapes of the published data sets, for their stand-ins; the other data sets are drawn.
SHAPES = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
# Training examples of the stand-in; validation takes 4 of them, which leaves 2 steps per epoch.
ROWS, STEPS_PER_EPOCH = 12, 2
# Shrinks what takes time, and nothing that chooses a network or a loss. The conformance tests
# compile the same choices with XLA.
FEWER = [
    "--validation_size=4",
    "--batch_size=4",
    "--evaluation_batch_size=8",
    "--steps_per_loop=2",
    "--shapes_examples=12",
    "--jit_compile=false",
    "--init_from=",
]
# One flagfile per set of signatures; serving/contract_test.py has the other distributions, and
# api_test.py a residual network.
EXPORTED = ("quickstart", "fashion_conditional", "fashion_sparse_ufldl")


def stand_in(shape, folder):
    """Writes random images with labels of 10 classes; returns the path."""
    rng = np.random.default_rng(0)
    path = folder / "stand_in.npz"
    arrays = {
        "image": rng.integers(0, 256, [ROWS, *shape], np.uint8),
        "label": rng.integers(0, 10, ROWS),
        "test_image": rng.integers(0, 256, [8, *shape], np.uint8),
        "test_label": rng.integers(0, 10, 8),
    }
    np.savez(path, **arrays)
    return path


def shrunk(flagfile, folder):
    """Returns the flags after the flagfile that make it run on small data in a few seconds."""
    config = parse([f"--flagfile={flagfile}"], Config)
    flags = [*FEWER, f"--model_dir={folder / 'run'}", "--export_dir="]
    dataset = config.data.dataset
    if dataset in SHAPES:
        flags.append(f"--dataset=npz:{stand_in(SHAPES[dataset], folder)}")
    return flags


def run(argv):
    config = parse(argv, Config)
    train.run(config)
    return config


def as_parameter(path):
    """A residual network of three levels takes a minute."""
    slow = path.stem == "cifar10_resnet_medium"
    marks = [] if path.stem == "quickstart" else [pytest.mark.slow if slow else pytest.mark.long]
    return pytest.param(path, id=str(path.relative_to(FLAGS).with_suffix("")), marks=marks)


@pytest.mark.parametrize("flagfile", [as_parameter(path) for path in FLAGFILES])
@pytest.mark.usefixtures("unchecked")
def test_flagfile_trains_resumes_exports_and_serves(flagfile, tmp_path, capsys, monkeypatch):
    argv = [f"--flagfile={flagfile}", *shrunk(flagfile, tmp_path)]
    # The first session ends like one that was stopped: trained and saved, not measured.
    with monkeypatch.context() as patch:
        patch.setattr(vae_lowlevel.experiment.training, "finish_run", lambda *_, **__: None)
        run([*argv, "--epochs=1"])
    assert not (tmp_path / "run" / "metrics.json").exists()
    is_exported = flagfile.stem in EXPORTED
    exports = [f"--export_dir={tmp_path / 'exports'}"] if is_exported else []
    run([*argv, "--epochs=2", *exports])
    assert "Resuming at step 2" in capsys.readouterr().out

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["step"] == 2 * STEPS_PER_EPOCH
    for name in ("elbo", "loss", "mse"):
        if name in metrics["test"]:
            assert np.isfinite(metrics["test"][name]), name

    if is_exported:
        assert_served(str(tmp_path / "exports" / "run" / "1"))


def assert_served(export):
    """Every signature returns two finite rows for two rows."""
    signatures = tf.saved_model.load(export).signatures
    assert "serving_default" in signatures
    image_shape = signatures["encode"].structured_input_signature[1]["image"].shape[1:]
    for name, signature in signatures.items():
        outputs = signature(**_inputs(signature, image_shape))
        assert outputs, name
        for output, value in outputs.items():
            assert value.shape[0] == 2, (name, output)
            if value.dtype.is_floating:
                assert np.all(np.isfinite(value)), (name, output)


def _inputs(signature, image_shape):
    """Returns two rows of what a signature takes, by dtype and shape."""
    _, specs = signature.structured_input_signature
    rng = np.random.default_rng(1)
    inputs = {}
    for name, spec in specs.items():
        if spec.dtype == tf.string:
            picture = tf.io.encode_png(np.zeros(image_shape, np.uint8))
            inputs[name] = tf.stack([picture, picture])
            continue
        shape = [2, *spec.shape[1:]]
        drawn = rng.uniform(size=shape) if spec.dtype.is_floating else rng.integers(0, 3, shape)
        inputs[name] = tf.constant(drawn, spec.dtype)
    return inputs


def test_flagfiles_name_their_run_folder_after_themselves():
    for flagfile in FLAGS.rglob("*.cfg"):
        config = parse([f"--flagfile={flagfile}"], Config)
        assert config.model_dir == f"runs/{flagfile.relative_to(FLAGS).with_suffix('')}"


def test_flagfiles_set_each_flag_once():
    for flagfile in FLAGS.rglob("*.cfg"):
        lines = [line for line in flagfile.read_text("utf-8").splitlines() if line[:1] == "-"]
        names = [line.partition("=")[0] for line in lines]
        assert len(names) == len(set(names)), flagfile
        assert not any(" --" in line for line in lines), flagfile


def test_flagfiles_of_papers_have_their_own_command():
    for flagfile in FLAGS.glob("papers/*.cfg"):
        command = f"# python -m vae_lowlevel.train --flagfile=flags/papers/{flagfile.name}\n"
        assert command in flagfile.read_text(encoding="utf-8")


def test_padded_mnist_is_what_the_2d_example_sees():
    config = parse([f"--flagfile={FLAGS / 'mnist_2d_classic.cfg'}"], Config)
    assert (config.data.dataset, config.data.pad_to) == ("mnist", 32)
    assert (config.model.latent_dim, config.model.likelihood) == (2, "bernoulli")
