from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

import vae_lowlevel.training.feed
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.training.feed import StreamedFeed


class Numbers:
    """A stream whose example at a place of an epoch is 40 * epoch + place; counts openings."""

    image_shape = (2, 1, 1)

    def __init__(self, count=40):
        self.count = count
        self.opened = []

    def batches(self, seed, epoch, step, batch_size, worker, workers):
        self.opened.append((seed, epoch, step))
        rows = batch_size // workers
        numbers = tf.data.Dataset.range(self.count).skip(step * batch_size)
        numbers = numbers.batch(batch_size, drop_remainder=True)
        numbers = numbers.map(lambda n: n[worker * rows : (worker + 1) * rows])

        def example(number):
            value = tf.cast(40 * epoch + number, tf.uint8)
            images = tf.ensure_shape(
                tf.tile(value[:, None, None, None], [1, 2, 1, 1]), [rows, 2, 1, 1]
            )
            return images, tf.cast(number, tf.int32)

        return numbers.map(example)

    @contextlib.contextmanager
    def named_damage(self):
        yield


def feed(stream=None, batch_size=6, call_steps=3, **keywords):
    stream = Numbers() if stream is None else stream
    return StreamedFeed(
        stream,
        steps_per_epoch=40 // batch_size,
        batch_size=batch_size,
        seed=7,
        call_steps=call_steps,
        **keywords,
    )


def seen(feed, step, steps):
    """What the train block gathers at each step: image values and labels [steps, B]."""
    images, labels = [], []
    for call in feed.calls(step, steps):
        assert call.images.shape[0] == call.labels.shape[0]
        for order in call.order[: int(call.steps)].numpy():
            images.append(call.images.numpy()[order, 0, 0, 0])
            labels.append(call.labels.numpy()[order])
    return np.array(images), np.array(labels)


def test_steps_take_the_batches_of_their_epoch():
    made = feed()
    assert (made.steps_per_epoch, made.call_steps) == (6, 3)
    for epoch in range(3):
        images, labels = seen(made, 6 * epoch, 6)
        np.testing.assert_array_equal(labels, np.arange(36).reshape(6, 6))
        np.testing.assert_array_equal(images, (labels + 40 * epoch) % 256)


def test_an_epoch_is_opened_once_however_it_is_cut_into_blocks():
    stream = Numbers()
    made = feed(stream)
    parts = [seen(made, step, steps)[1] for step, steps in ((0, 2), (2, 3), (5, 1), (6, 4))]
    np.testing.assert_array_equal(np.concatenate(parts)[:, 0], [0, 6, 12, 18, 24, 30, 0, 6, 12, 18])
    assert stream.opened == [(7, 0, 0), (7, 1, 0)]


def test_a_feed_that_starts_within_an_epoch_opens_the_stream_there():
    stream = Numbers()
    _, labels = seen(feed(stream), 9, 2)
    np.testing.assert_array_equal(labels[:, 0], [18, 24])
    assert stream.opened == [(7, 1, 3)]


def test_a_block_that_was_given_up_is_gone_on_where_it_was_left():
    made = feed(call_steps=1)
    calls = made.calls(0, 4)
    next(calls)
    next(calls)
    calls.close()
    np.testing.assert_array_equal(seen(made, 2, 2)[1][:, 0], [12, 18])
    np.testing.assert_array_equal(seen(made, 0, 1)[1][:, 0], [0])


@pytest.mark.parametrize("call_steps", [1, 2, 4])
def test_calls_have_one_shape_so_that_the_block_is_traced_once(call_steps):
    made = feed(call_steps=call_steps)
    calls = [call for steps in ((0, 5), (5, 1)) for call in made.calls(*steps)]
    for call in calls:
        assert call.images.shape == (call_steps * 6, 2, 1, 1)
        assert call.labels.shape == (call_steps * 6,)
        assert call.order.shape == (call_steps, 6)
        dtypes = [part.dtype for part in call]
        assert dtypes == [tf.uint8, tf.int32, tf.int32, tf.int32]
    assert sum(int(call.steps) for call in calls) == 6


@pytest.mark.parametrize("workers", [2, 3])
def test_the_workers_rows_together_are_the_batch(workers):
    whole, _ = seen(feed(), 0, 6)
    together = np.zeros_like(whole)
    for worker in range(workers):
        made = feed(worker=worker, workers=workers)
        rows = 6 // workers
        own = slice(worker * rows, (worker + 1) * rows)
        images, _ = seen(made, 0, 6)
        together[:, own] = images[:, own]
        call = next(made.calls(0, 3))
        assert len(call.images) == 3 * rows
        others = np.delete(call.order.numpy(), np.arange(6)[own], axis=1)
        assert not others.any()
    np.testing.assert_array_equal(together, whole)


def test_a_call_is_of_bounded_bytes(monkeypatch):
    monkeypatch.setattr(vae_lowlevel.training.feed, "MOST_CALL_BYTES", 30)
    assert feed(call_steps=100).call_steps == 2  # a step has 6 images of 2 bytes
    assert feed(call_steps=100, workers=2).call_steps == 5
    monkeypatch.setattr(vae_lowlevel.training.feed, "MOST_CALL_BYTES", 5)
    assert feed(call_steps=100).call_steps == 1


def test_data_that_became_less_are_an_error():
    with pytest.raises(DataError, match="expected 6 batches of 6 examples in epoch 2, found 5"):
        seen(feed(Numbers(count=30)), 6, 6)


def test_workers_that_cannot_share_a_batch_are_refused():
    with pytest.raises(ConfigError, match="--batch_size=6 must be a multiple of the 4 workers"):
        feed(workers=4)
