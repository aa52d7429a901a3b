import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.errors import RunError
from vae_lowlevel.plots.grids import image_grid
from vae_lowlevel.training.pictures import ShownImages
from vae_lowlevel.training.summaries import Summaries
from vae_lowlevel.types import Examples

SEED = (1, 2)
MEANS = {"loss": 4.0, "rate": 1.5, "kl_weight": 0.25, "skipped": 0.0, "images_per_second": 100.0}
TAGS = {
    "loss/loss": 4.0,
    "terms/rate": 1.5,
    "schedules/kl_weight": 0.25,
    "optimizer/skipped": 0.0,
    "speed/images_per_second": 100.0,
}


def make_shown(**values):
    config = Config.from_flat(
        {"network": "mlp", "latent_dim": 2, "encoder_units": (4,), "decoder_units": (4,), **values}
    )
    model = assembly.build_model(config.model, (6, 6, 1), seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, [3, 6, 6, 1]).astype(np.uint8)
    examples = Examples(pixels, np.full([3], -1, np.int32))
    return ShownImages(model, examples, tf.constant(SEED)), model, pixels


def read(folder):
    """Returns what TensorBoard shows of a folder: {tag: [(step, value)]}."""
    events = EventAccumulator(str(folder), tensor_size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return {
        tag: [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def scalars(folder):
    return {
        tag: [(step, float(value)) for step, value in points]
        for tag, points in read(folder).items()
        if points[0][1].ndim == 0
    }


def record(step, **validation):
    return {"epoch": 1, "step": step, "train": MEANS, "validation": validation, "seconds": 9.0}


def test_scalars_are_grouped_and_have_the_values_of_the_run(tmp_path):
    shown, _, _ = make_shown()
    summaries = Summaries(str(tmp_path), shown, image_grid)
    summaries.begin(0)
    summaries.block(2, MEANS)
    summaries.block(4, {**MEANS, "loss": 3.0})
    summaries.epoch(record(4, elbo=-6.5, mse=0.125, active_units=2))
    # On disk after each epoch, not only at the end.
    train = scalars(tmp_path / "train")
    assert set(train) == set(TAGS)
    for tag, value in TAGS.items():
        assert train[tag][0] == (2, value)
    assert train["loss/loss"] == [(2, 4.0), (4, 3.0)]
    assert scalars(tmp_path / "validation") == {
        "loss/elbo": [(4, -6.5)],
        "image_quality/mse": [(4, 0.125)],
        "latents/active_units": [(4, 2.0)],
    }
    summaries.close()


def test_the_first_epoch_has_the_grids_that_the_model_draws(tmp_path):
    shown, model, pixels = make_shown()
    summaries = Summaries(str(tmp_path), shown, image_grid)
    summaries.begin(0)
    for step in (4, 8):
        summaries.epoch(record(step))
    images = read(tmp_path / "validation")
    # The inputs do not change.
    assert [step for step, _ in images["images/input"]] == [4]
    assert [step for step, _ in images["images/sample"]] == [4, 8]
    unit = pixels / np.float32(255.0)
    expected = {
        "input": unit,
        "reconstruction": model.reconstruct(unit).numpy(),
        "sample": model.sample(16, tf.constant(SEED)).numpy(),
    }
    for name, wanted in expected.items():
        # A summary of images: width, height, then one PNG file for each.
        png = images[f"images/{name}"][0][1][2]
        drawn = tf.io.decode_png(png).numpy()
        np.testing.assert_allclose(drawn, image_grid(wanted, 4), atol=1)
    summaries.close()


def test_a_model_without_a_prior_has_no_samples(tmp_path):
    shown, _, _ = make_shown(model="sparse_autoencoder")
    summaries = Summaries(str(tmp_path), shown, image_grid)
    summaries.begin(0)
    summaries.epoch(record(4))
    summaries.close()
    assert set(read(tmp_path / "validation")) == {"images/input", "images/reconstruction"}


def test_histograms_have_the_counts_of_the_values(tmp_path):
    shown, _, _ = make_shown()
    values = np.array([[0.0, 1.0, 1.0], [3.0, np.nan, np.inf]], np.float32)
    summaries = Summaries(str(tmp_path), shown, image_grid, [lambda step: {"latents/z": values}])
    summaries.begin(0)
    summaries.epoch(record(4))
    summaries.close()
    ((step, buckets),) = read(tmp_path / "validation")["latents/z"]
    assert step == 4
    assert buckets[0, 0] == 0.0
    assert buckets[-1, 1] == 3.0
    assert buckets[:, 2].sum() == 4  # Finite ones.
    assert buckets[(buckets[:, 0] <= 1.0) & (buckets[:, 1] > 1.0), 2] == 2


def test_a_resumed_session_replaces_what_was_written_after_its_checkpoint(tmp_path):
    """A session wrote until step 8, was killed, and its checkpoint was that of step 4."""
    for begin, steps, loss in ((0, (2, 4, 6, 8), 1.0), (4, (5, 7, 10), 2.0)):
        shown, _, _ = make_shown()
        summaries = Summaries(str(tmp_path), shown, image_grid)
        summaries.begin(begin)
        for step in steps:
            summaries.block(step, {**MEANS, "loss": loss})
        summaries.close()
        time.sleep(1.1)  # Files are read in the order of their names, which begin with the second.
    expected = [(2, 1.0), (4, 1.0), (5, 2.0), (7, 2.0), (10, 2.0)]
    assert scalars(tmp_path / "train")["loss/loss"] == expected


def test_no_python_numbers_are_passed_to_tensorflow(tmp_path, monkeypatch):
    """TensorFlow keeps a tensor of every Python number: 1.8 MB in 200 blocks."""
    seen = []

    def note(name, value):
        seen.append((value, tf.summary.experimental.get_step()))

    monkeypatch.setattr(tf.summary, "scalar", note)
    shown, _, _ = make_shown()
    Summaries(str(tmp_path), shown, image_grid).block(7, MEANS)
    assert len(seen) == len(MEANS)
    # np.float64 is a Python float too.
    assert not any(isinstance(number, (int, float)) for pair in seen for number in pair)


def test_summaries_that_cannot_be_written_are_one_error_that_names_the_folder(tmp_path):
    (tmp_path / "summaries").write_bytes(b"")  # A file where the folder should be.
    shown, _, _ = make_shown()
    with pytest.raises(RunError, match=r"summaries to .*/summaries: (?s:.*)same command"):
        Summaries(str(tmp_path / "summaries"), shown, image_grid).block(1, MEANS)


@pytest.mark.parametrize("kind", ["scalar", "image", "histogram"])
def test_a_disk_that_fails_during_the_run_is_one_error(tmp_path, monkeypatch, kind):
    def full(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    shown, _, _ = make_shown()
    histograms = [lambda step: {"latents/z": np.zeros([2, 2], np.float32)}]
    summaries = Summaries(str(tmp_path), shown, image_grid, histograms)
    monkeypatch.setattr(tf.summary, kind, full)
    with pytest.raises(RunError, match=r"summaries to .*No space left(?s:.*)same command"):
        summaries.epoch(record(2, elbo=-1.0))
