"""What watches whole runs, and what it leaves in their folders."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from experiment.tiny_run import run
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from vae_lowlevel.experiment import results
from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.plots.grids import GAP
from vae_lowlevel.training.summaries import _GROUP_OF


@pytest.fixture(scope="module", autouse=True)
def without_figures():
    """Figures of finished runs are not drawn, which would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_run", lambda *_: None)
        patch.setattr(results, "write_report", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run with everything on, in two sessions."""
    folder = tmp_path_factory.mktemp("runs") / "watched"
    values = {"learning_rate": 0.01, "gradient_histograms": True}
    run(folder, **values, epochs=1, figures=True)
    run(folder, **values, epochs=2, figures=True)
    return folder


def events(folder):
    return EventAccumulator(str(folder), tensor_size_guidance={"scalars": 0, "histograms": 0})


@pytest.mark.long
def test_the_summaries_are_those_of_the_history(watched):
    metrics = json.loads((watched / "metrics.json").read_text())
    for split in ("train", "validation"):
        found = events(watched / "summaries" / split)
        found.Reload()
        for record in metrics["history"]:
            for name, value in record[split].items():
                tag = f"{_GROUP_OF.get(name, 'terms')}/{name}"
                at = {
                    e.step: float(tensor_util.make_ndarray(e.tensor_proto))
                    for e in found.Tensors(tag)
                }
                # A block is a whole epoch here; its time ends a little earlier.
                rtol = 0.5 if name == "images_per_second" else 1e-6
                np.testing.assert_allclose(at[record["step"]], value, rtol=rtol)
                assert len(at) == len(found.Tensors(tag)) == 2


@pytest.mark.long
def test_there_are_histograms_of_latents_and_of_gradients(watched):
    found = events(watched / "summaries/validation")
    found.Reload()
    tags = {tag for tag in found.Tags()["tensors"] if tag.startswith(("latents/z", "gradients"))}
    layers = {"encoder/dense_0", "encoder/head", "decoder/dense_0", "decoder/head"}
    assert tags == {"latents/z_mean", "latents/z_log_var", *(f"gradients/{n}" for n in layers)}
    buckets = tensor_util.make_ndarray(found.Tensors("latents/z_mean")[-1].tensor_proto)
    assert buckets[:, 2].sum() == 4 * 2  # The validation images, two units each.


def test_the_progress_picture_has_images_reconstructions_and_samples(watched):
    picture = tf.io.decode_png((watched / "figures/progress.png").read_bytes()).numpy()
    tile = 8 + GAP
    # Four validation images and reconstructions in rows of eight, a gap, and 16 samples.
    assert picture.shape == (4 * tile - 2 * GAP + 3 * GAP, 8 * tile - GAP, 1)


@pytest.mark.long
def test_weights_are_the_same_bits_with_and_without_gradient_histograms(watched, tmp_path):
    run(tmp_path / "plain", learning_rate=0.01, epochs=2)
    for a, b in zip(
        load_model(str(watched)).variables,
        load_model(str(tmp_path / "plain")).variables,
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_collapse_is_said_once_and_all_lines_fit_into_80_columns(tmp_path, capsys):
    run(tmp_path / "run", kl_weight=1e3, learning_rate=0.02, latent_dim=14, epochs=10)
    out = capsys.readouterr().out
    assert len(re.findall("of 14 latent units carry less than 0.01 nats", out)) == 1
    lines = out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("epoch"))
    assert max(len(line) for line in lines[start:] if "folder" not in line) <= 80
    # The last epochs have collapsed: the KL of each unit says so.
    assert re.search(r"KL per unit, nats \([0-7] of 14 have 0.01 or more\):", out)
