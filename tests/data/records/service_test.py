"""Runs a dispatcher and workers of TensorFlow's data service in this process."""

from __future__ import annotations

import os
import re
import socket

import numpy as np
import pytest
import tensorflow as tf

import vae_lowlevel.data.records.service
from vae_lowlevel.data.records.index import index_records
from vae_lowlevel.data.records.service import ServiceStream
from vae_lowlevel.data.records.shards import write_records
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.training.feed import StreamedFeed
from vae_lowlevel.types import Examples

COUNT, HELD_OUT = 70, (3, 40)
service = tf.data.experimental.service


@pytest.fixture(scope="module")
def dispatcher():
    return service.DispatchServer(service.DispatcherConfig(port=0))


@pytest.fixture(scope="module")
def address(dispatcher):
    """The address of a service with two workers."""
    # A worker stops only after its next heartbeat, by default within 30 seconds.
    config = service.WorkerConfig(
        dispatcher_address=dispatcher.target.removeprefix("grpc://"), heartbeat_interval_ms=100
    )
    workers = [service.WorkerServer(config) for _ in "ab"]
    yield dispatcher.target
    del workers


@pytest.fixture
def files(tmp_path):
    image = np.zeros([COUNT, 2, 2, 1], np.uint8)
    image[:, 0, 0, 0] = np.arange(COUNT)
    examples = Examples(image, np.arange(COUNT, dtype=np.int32) % 3)
    return write_records(examples, str(tmp_path), "train", 5)


@pytest.fixture
def stream(files):
    numbers = np.setdiff1d(np.arange(COUNT), HELD_OUT).astype(np.int32)
    return RecordStream(
        index_records(files), numbers, shuffle_buffer=20, pad_to=None, num_classes=3
    )


def names(images):
    return np.concatenate([np.ravel(part[:, 0, 0, 0]) for part in images]).tolist()


def test_each_training_example_appears_once_per_epoch(stream, address):
    plain = names([images for images, _ in stream.batches(0, 0, 0, 1)])
    shared = ServiceStream(stream, address)
    assert len(plain) == 68
    for epoch in range(2):
        seen = []
        for images, labels in shared.batches(0, epoch, 0, 4):
            assert (images.shape, labels.shape) == ((4, 2, 2, 1), (4,))
            seen.append(images)
            np.testing.assert_array_equal(labels, images[:, 0, 0, 0] % 3)
        assert sorted(names(seen)) == sorted(plain)


@pytest.mark.long
def test_a_resumed_epoch_begins_a_new_pass(stream, address):
    def images(feed, step, steps):
        calls = feed.calls(step, steps)
        return names([call.images[: 5 * int(call.steps)] for call in calls])

    def open_feed():
        return StreamedFeed(
            ServiceStream(stream, address), steps_per_epoch=13, batch_size=5, seed=0, call_steps=4
        )

    feed = open_feed()
    whole = images(feed, 0, 13)
    assert len(set(whole)) == len(whole) == 65
    resumed = open_feed()
    rest, following = images(resumed, 9, 4), images(resumed, 13, 13)
    assert len(set(rest)) == len(rest) == 20
    assert len(set(following)) == len(following) == 65


def test_an_error_names_service_and_file(stream, files, address):
    shared = ServiceStream(stream, address)
    os.remove(files[1])
    message = f"--tf_data_service={re.escape(address)}: .*{re.escape(files[1])}"
    with pytest.raises(DataError, match=message), shared.named_damage():
        list(shared.batches(0, 0, 0, 4))


def test_several_training_processes_are_refused(stream, address):
    with pytest.raises(ConfigError, match="feeds one training process, got 2"):
        ServiceStream(stream, address, workers=2)


def test_a_service_without_workers_is_an_error_in_finite_time(stream, monkeypatch):
    monkeypatch.setattr(vae_lowlevel.data.records.service, "ANSWER_SECONDS", 2.0)
    lonely = service.DispatchServer(service.DispatcherConfig(port=0))
    with pytest.raises(DataError, match="at least one worker, found: no answer within 2 seconds"):
        ServiceStream(stream, lonely.target)


def test_an_address_where_nothing_listens_is_an_error_at_once(stream):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"grpc://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(DataError, match=f"{address}: expected a dispatcher .*refused"):
            ServiceStream(stream, address)
    for address in ("grpc://127.0.0.1:99999", "grpc://no.such.host.invalid:5050"):
        with pytest.raises(DataError, match=f"{address}: expected a dispatcher"):
            ServiceStream(stream, address)
