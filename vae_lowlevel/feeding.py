"""Chooses how training is given its data: from memory, from disk or by a data service."""

from __future__ import annotations

import numpy as np

from vae_lowlevel.config import Config, TrainingConfig
from vae_lowlevel.data.data_service import ServiceStream
from vae_lowlevel.data.pipeline import BatchOrder, count_steps
from vae_lowlevel.data.record_stream import RecordStream
from vae_lowlevel.training.distribution import place_on_replicas
from vae_lowlevel.training.feed import Feed, ResidentFeed
from vae_lowlevel.training.runtime import device_type
from vae_lowlevel.training.streamed_feed import StreamedFeed
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset


def build_feed(config: Config, dataset: Dataset, workers: Workers, call_steps: int) -> Feed:
    """Returns the feed of a run.

    Args:
        config: of the run.
        dataset: its data; what is in memory is put on the device of each replica whole.
        workers: who share a batch; of streamed data each reads its own rows.
        call_steps: most steps of one call.

    Raises:
        ConfigError: there is less than one batch, or the data service is for fewer workers.
        DataError: the data service does not answer.
    """
    training, train, strategy = config.training, dataset.train, workers.strategy
    if not isinstance(train, RecordStream):
        return ResidentFeed(
            place_on_replicas(strategy, train.image),
            place_on_replicas(strategy, train.label),
            BatchOrder(len(train), training.batch_size, training.seed),
            call_steps,
        )
    address = config.data.tf_data_service
    is_one_gpu = device_type(strategy) == "GPU" and strategy.num_replicas_in_sync == 1
    return StreamedFeed(
        train if address is None else ServiceStream(train, address, workers.count),
        steps_per_epoch=count_steps(len(train), training.batch_size),
        batch_size=training.batch_size,
        seed=training.seed,
        call_steps=call_steps,
        worker=workers.index,
        workers=workers.count,
        device="/GPU:0" if is_one_gpu else None,
    )


def first_images(training: TrainingConfig, dataset: Dataset, count: int) -> np.ndarray:
    """Returns the images that training sees first, the same for all workers.

    Args:
        training: of the run.
        dataset: its data.
        count: how many are wanted; an epoch may have less.

    Returns:
        float32 [n, H, W, C] in [0, 1].
    """
    train, batch_size = dataset.train, training.batch_size
    steps = min(-(-count // batch_size), count_steps(len(train), batch_size))
    if isinstance(train, RecordStream):
        with train.named_damage():
            batches = train.batches(training.seed, 0, 0, batch_size).take(steps)
            images = np.concatenate([images for images, _ in batches.as_numpy_iterator()])
    else:
        order = BatchOrder(len(train), batch_size, training.seed)
        images = train.image[order.block(0, steps).ravel()]
    return images[:count].astype(np.float32) / 255.0
