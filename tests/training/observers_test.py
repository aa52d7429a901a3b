import glob
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.errors import RunError
from vae_lowlevel.training.observers import Profile, Reporter, Summaries, format_seconds
from vae_lowlevel.types import Examples

MEANS = {"loss": 4.0, "rate": 1.5, "skipped": 0.0, "images_per_second": 100.0}


@pytest.mark.parametrize("is_cut_short", [False, True])
def test_a_range_of_steps_is_written_for_tensorboard(tmp_path, is_cut_short):
    profile = Profile(str(tmp_path), (3, 4))
    written = str(tmp_path / "plugins/profile/*/*.xplane.pb")
    profile.begin(0)
    for step in (1, 2, 3) if is_cut_short else (2, 4, 5):
        tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
        profile.block(step, MEANS)
        assert bool(glob.glob(written)) == (step >= 4)
    profile.close()
    assert len(glob.glob(written)) == 1


def test_a_profile_that_begins_with_the_run(tmp_path):
    profile = Profile(str(tmp_path), (1, 2))
    profile.begin(0)
    profile.block(2, MEANS)
    assert glob.glob(str(tmp_path / "plugins/profile/*/*.xplane.pb"))


def test_the_reporter_prints_epochs_and_skipped_steps(capsys):
    reporter = Reporter(total_steps=20, steps_per_epoch=10)
    reporter.begin(0)
    reporter.block(10, MEANS)
    record = {"epoch": 1, "step": 10, "train": {**MEANS, "elbo": -5.5}, "seconds": 61.0}
    reporter.epoch({**record, "validation": {"elbo": -6.0}})
    # A block, and an epoch, of skipped steps alone have no means.
    skipped = {"skipped": 1.0, "images_per_second": 100.0}
    reporter.block(20, skipped)
    reporter.epoch({**record, "train": skipped, "validation": {}})
    reporter.close()
    first, second = capsys.readouterr().out.splitlines()
    assert "train: loss 4.0000  elbo -5.5000  rate 1.5000" in first
    assert "validation: elbo -6.0000" in first
    assert "1 min 01 s" in first
    assert "skipped" not in first
    assert "train: skipped 1.0000" in second
    assert "loss" not in second


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for name in ("COLUMNS", "LINES"):  # Of a wide terminal.
        monkeypatch.setenv(name, "200")
    reporter = Reporter(total_steps=20, steps_per_epoch=10)
    reporter.begin(5)
    reporter.block(10, {**MEANS, "skipped": 0.25})
    reporter.close()
    bar = capsys.readouterr().err
    assert "10/20" in bar
    assert "loss=4" in bar
    assert "skipped=0.25" in bar


def test_summaries_pass_no_python_numbers_to_tensorflow(tmp_path, monkeypatch):
    """TensorFlow keeps a tensor of every Python number: 1.8 MB in 200 blocks."""
    seen = []

    def note(name, value):
        seen.append((value, tf.summary.experimental.get_step()))

    monkeypatch.setattr(tf.summary, "scalar", note)
    config = Config.from_flat({"network": "mlp", "latent_dim": 2, "encoder_units": (4,)})
    model = assembly.build_model(config.model, (6, 6, 1), seed=0)
    examples = Examples(np.zeros([3, 6, 6, 1], np.uint8), np.full([3], -1, np.int32))
    Summaries(str(tmp_path), model, examples, tf.constant([0, 0]), None).block(7, MEANS)
    assert len(seen) == len(MEANS)
    # np.float64 is a Python float too.
    assert not any(isinstance(number, (int, float)) for pair in seen for number in pair)


def test_summaries_of_a_model_without_a_prior_have_no_samples(tmp_path):
    config = Config.from_flat(
        {"model": "sparse_autoencoder", "network": "mlp", "latent_dim": 2, "encoder_units": (4,)}
    )
    model = assembly.build_model(config.model, (6, 6, 1), seed=0)
    examples = Examples(np.zeros([3, 6, 6, 1], np.uint8), np.full([3], -1, np.int32))
    drawn = []

    def draw_grid(images, columns):
        drawn.append(images.shape)
        return np.zeros([4, 4, 1], np.uint8)

    seed = tf.constant([0, 0])
    summaries = Summaries(str(tmp_path), model, examples, seed, draw_grid)
    summaries.begin(0)
    summaries.block(2, MEANS)
    summaries.epoch({"step": 2, "validation": {}})
    summaries.close()
    assert drawn == [(3, 6, 6, 1)] * 2
    (events,) = (tmp_path / "train").iterdir()
    tags = set()
    for record in tf.data.TFRecordDataset(str(events)):
        tags |= {value.tag for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value}
    assert tags == set(MEANS)


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8 s"), (125, "2 min 05 s"), (11410, "3 h 10 min")]
)
def test_seconds_are_readable(seconds, text):
    assert format_seconds(seconds) == text


def test_summaries_that_cannot_be_written_are_one_error_that_names_the_folder(tmp_path):
    (tmp_path / "summaries").write_bytes(b"")  # A file where the folder should be.
    config = Config.from_flat({"network": "mlp", "latent_dim": 2, "encoder_units": (4,)})
    model = assembly.build_model(config.model, (8, 8, 1), seed=0)
    examples = Examples(np.zeros([4, 8, 8, 1], np.uint8), np.zeros([4], np.int32))
    with pytest.raises(RunError, match=r"summaries to .*/summaries: (?s:.*)same command"):
        Summaries(
            str(tmp_path / "summaries"), model, examples, tf.constant([1, 2]), lambda *_: None
        ).block(1, MEANS)


@pytest.mark.parametrize("kind", ["scalar", "image"])
def test_a_disk_that_fails_during_the_run_is_one_error(tmp_path, monkeypatch, kind):
    def full(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    config = Config.from_flat({"network": "mlp", "latent_dim": 2, "encoder_units": (4,)})
    model = assembly.build_model(config.model, (6, 6, 1), seed=0)
    examples = Examples(np.zeros([3, 6, 6, 1], np.uint8), np.full([3], -1, np.int32))
    grid = np.zeros([4, 4, 1], np.uint8)
    summaries = Summaries(str(tmp_path), model, examples, tf.constant([0, 0]), lambda *_: grid)
    monkeypatch.setattr(tf.summary, kind, full)
    with pytest.raises(RunError, match=r"summaries to .*No space left(?s:.*)same command"):
        summaries.epoch({"step": 2, "validation": {"elbo": -1.0}})
