"""The loop on the host, with a train block that computes nothing."""

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.feed import Call
from vae_lowlevel.training.loop import LoopSettings, Trainer, TrainingLoop, Validation
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.workers import Workers

COLUMNS = ("loss", "skipped")
EPOCH = 5


class FakeState:
    """The step alone."""

    def __init__(self, step=0):
        self.step = tf.Variable(step, dtype=tf.int64)


class FakeFeed:
    """Calls of at most two steps."""

    steps_per_epoch, call_steps = EPOCH, 2

    def calls(self, step, steps):
        for first in range(step, step + steps, 2):
            count = min(2, step + steps - first)
            yield Call(None, None, tf.constant(first), tf.constant(count))


class FakeCheckpoints:
    """Remembers at which steps something was saved."""

    def __init__(self, state):
        self.progress = Progress(COLUMNS)
        self.saved, self.best = [], []
        self._state = state

    def save(self):
        self.saved.append(int(self._state.step))

    def save_best(self):
        self.best.append(int(self._state.step))


class Seen:
    """An observer that remembers what it is told."""

    def __init__(self, on_block=lambda step: None):
        self.events = []
        self._on_block = on_block

    def begin(self, step):
        self.events.append(("begin", step))

    def block(self, step, means):
        self.events.append(("block", step, means.get("loss")))
        self._on_block(step)

    def epoch(self, record):
        self.events.append(("epoch", record["epoch"], record["train"].get("loss")))

    def close(self):
        self.events.append(("close",))


def build(*, skipped=lambda step: False, scores=None, on_block=lambda step: None, **settings):
    """Returns a loop whose loss at each step is the number of the step, from 1."""
    state = FakeState()

    def train_block(images, labels, first, steps):
        rows = np.zeros([2, 2], np.float32)
        for row in range(int(steps)):
            step = int(first) + row + 1
            rows[row] = (np.nan, 1.0) if skipped(step) else (step, 0.0)
        state.step.assign_add(int(steps))
        return tf.constant(rows)

    train_block.get_concrete_function = lambda *call: None
    validation = None
    if scores is not None:
        validation = Validation(
            measure=lambda step: {"elbo": scores[step // EPOCH - 1]},
            score=lambda step, means: means["elbo"],
        )
    checkpoints, seen = FakeCheckpoints(state), Seen(on_block)
    defaults = {
        "total_steps": 10,
        "block_steps": 3,
        "checkpoint_every": None,
        "patience": None,
        "batch_size": 4,
    }
    loop = TrainingLoop(
        LoopSettings(**{**defaults, **settings}),
        Trainer(state, FakeFeed(), train_block, dict),
        validation,
        checkpoints,
        Workers(tf.distribute.get_strategy()),
        [seen],
    )
    return loop, checkpoints, seen


def test_observers_are_told_of_every_block_and_epoch_in_order():
    loop, checkpoints, seen = build()
    assert not loop.run(lambda: False)
    assert seen.events == [
        ("begin", 0),
        ("block", 3, 2.0),
        ("block", 5, 4.5),
        ("epoch", 1, 3.0),
        ("block", 8, 7.0),
        ("block", 10, 9.5),
        ("epoch", 2, 8.0),
        ("close",),
    ]
    assert checkpoints.saved == [5, 10]
    # Without a validation split the latest weights are the best.
    assert checkpoints.best == [5, 10]


def test_blocks_end_where_something_has_to_happen():
    loop, checkpoints, seen = build(block_steps=100, checkpoint_every=4, block_ends=(1, 7))
    loop.run(lambda: False)
    assert [event[1] for event in seen.events if event[0] == "block"] == [1, 4, 5, 7, 8, 10]
    assert checkpoints.saved == [4, 8, 10]


def test_patience_ends_the_run_and_the_best_weights_are_kept():
    loop, checkpoints, _ = build(total_steps=50, patience=2, scores=[-5, -4, -6, -4.5, -1])
    assert not loop.run(lambda: False)
    assert checkpoints.best == [5, 10]
    assert checkpoints.saved[-1] == 20
    assert checkpoints.progress.best_score == -4


def test_a_request_to_stop_saves_and_is_reported():
    requests = []
    loop, checkpoints, seen = build(total_steps=50, on_block=requests.append)
    assert loop.run(lambda: bool(requests))
    assert checkpoints.saved == [3]
    assert seen.events[-1] == ("close",)


def test_a_block_of_skipped_steps_alone_has_no_loss():
    loop, checkpoints, seen = build(skipped=lambda step: step <= 3)
    loop.run(lambda: False)
    assert seen.events[1:4] == [("block", 3, None), ("block", 5, 4.5), ("epoch", 1, 4.5)]
    train = checkpoints.progress.history[0]["train"]
    assert (train["skipped"], train["loss"]) == (0.6, 4.5)


def test_many_skipped_steps_in_a_row_are_an_error_and_observers_are_closed():
    loop, checkpoints, seen = build(total_steps=50, skipped=lambda step: step > 6)
    with pytest.raises(RunError, match=r"20 steps in a row.*--learning_rate"):
        loop.run(lambda: False)
    assert checkpoints.saved[-1] == 25
    assert seen.events[-1] == ("close",)
