from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.training import pictures
from vae_lowlevel.training.pictures import Drawn, ProgressPicture, ShownImages
from vae_lowlevel.types import Examples


class Counting:
    """A model that counts how often it reconstructs, outside of any tf.function."""

    image_shape = (2, 2, 1)
    has_prior = True

    def __init__(self):
        self.offset = tf.Variable(0.0)
        self.reconstructed = tf.Variable(0)

    def conditioned_on(self, label):
        return self

    def reconstruct(self, image):
        self.reconstructed.assign_add(1)
        return image * 0.5 + self.offset

    def sample(self, n, seed):
        return tf.zeros([n, 2, 2, 1]) + self.offset


def test_a_step_is_drawn_once_and_the_next_with_new_weights():
    model = Counting()
    examples = Examples(np.full([3, 2, 2, 1], 255, np.uint8), np.zeros([3], np.int32))
    shown = ShownImages(model, examples, tf.constant([0, 0]))
    np.testing.assert_array_equal(shown.inputs, np.ones([3, 2, 2, 1], np.float32))
    for _ in range(2):
        drawn = shown.draw(5)
        np.testing.assert_array_equal(drawn.reconstructions, np.full([3, 2, 2, 1], 0.5))
    assert int(model.reconstructed) == 1
    model.offset.assign(0.25)
    drawn = shown.draw(6)
    np.testing.assert_array_equal(drawn.reconstructions, np.full([3, 2, 2, 1], 0.75))
    np.testing.assert_array_equal(drawn.samples, np.full([16, 2, 2, 1], 0.25))


def test_a_process_of_many_short_runs_is_not_warned_of_retracing(caplog):
    examples = Examples(np.zeros([3, 2, 2, 1], np.uint8), np.zeros([3], np.int32))
    for _ in range(8):
        shown = ShownImages(Counting(), examples, tf.constant([0, 0]))
        for step in (1, 2):
            shown.draw(step)
    assert "retracing" not in caplog.text


@pytest.mark.parametrize(
    ("cost", "written"),
    [
        # A hundredth of an epoch of 10 s: after every epoch.
        (0.1, [10, 20, 30, 40, 50, 60, 70, 80, 90]),
        # A twentieth: after the first, then once in 60 s, and after the last.
        (0.5, [10, 70, 90]),
    ],
)
def test_a_picture_is_written_as_often_as_it_is_cheap(tmp_path, monkeypatch, cost, written):
    time = SimpleNamespace(now=0.0)
    monkeypatch.setattr(pictures.time, "monotonic", lambda: time.now)

    def render(inputs, drawn):
        time.now += cost
        return b"%d" % drawn.samples

    shown = SimpleNamespace(inputs=None, draw=lambda step: Drawn(None, step))
    path = tmp_path / "figures/progress.png"
    picture = ProgressPicture(str(path), shown, render, total_steps=90)
    picture.begin(0)
    found = []
    for step in range(10, 100, 10):
        time.now += 10.0
        picture.epoch({"step": step, "seconds": 10.0})
        found.append(int(path.read_bytes()))
    picture.close()
    assert sorted(set(found)) == written
    # After each epoch there is the picture of the latest one that was drawn.
    assert found == sorted(found)
