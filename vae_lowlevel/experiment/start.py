"""Chooses how training is given its data: from memory, from disk or by a data service."""

from __future__ import annotations

import numpy as np

from vae_lowlevel import assembly
from vae_lowlevel.config import Config, TrainingConfig
from vae_lowlevel.data.batching import BatchOrder, count_steps
from vae_lowlevel.data.records.service import ServiceStream
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.experiment.loading import find_weights
from vae_lowlevel.training.devices import device_type
from vae_lowlevel.training.feed import Feed, ResidentFeed, StreamedFeed
from vae_lowlevel.training.named_variables import choose_trained, restore_matching
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.training.strategy import place_on_replicas
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset, to_unit


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
    return to_unit(images[:count]).numpy()


def build_state(config: Config, dataset: Dataset) -> TrainState:
    """Builds all that training changes, at its initial values, inside the strategy's scope."""
    model = assembly.build_model(
        config.model, dataset.image_shape, config.training.seed, dataset.num_classes
    )
    trained = choose_trained(model, config.training.freeze)
    return TrainState(
        model,
        assembly.build_optimizer(config.optimizer, model, trained),
        trained=trained,
        averaged=assembly.build_averaged_model(
            config, model, dataset.image_shape, dataset.num_classes
        ),
        loss_scale=assembly.build_loss_scale(config),
    )


def start_weights(config: Config, state: TrainState, dataset: Dataset) -> None:
    """Replaces initial weights by what the data, or another run, give in their place."""
    if config.model.prior == "vamp":
        images = first_images(config.training, dataset, config.model.prior_components)
        state.model.prior.start_from(images)
    path = config.training.init_from
    if path:
        restored = restore_matching(find_weights(path), state.model)
        print(f"{len(restored.names)} variables start from {path}")
        for difference in restored.differences:
            print(f"  not taken over: {difference}")
    if state.averaged is not None:
        state.averaged.start(state.model)
