"""What a run starts from: state, feed and objective, and the first weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config, TrainingConfig
from vae_lowlevel.data.batching import BatchOrder, count_steps, padded_batches
from vae_lowlevel.data.records.service import ServiceStream
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.metrics import active_units
from vae_lowlevel.evaluation.term_means import TermMeans
from vae_lowlevel.experiment.loading import find_weights
from vae_lowlevel.optimizers.clipping import clip_gradients, global_norm_by_products
from vae_lowlevel.training.devices import (
    Compilation,
    choose_call_steps,
    choose_compilation,
    device_type,
)
from vae_lowlevel.training.feed import Feed, ResidentFeed, StreamedFeed
from vae_lowlevel.training.loop import Trainer, Validation
from vae_lowlevel.training.named_variables import choose_trained, restore_matching
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.training.step import StepSpec, make_train_block, step_columns
from vae_lowlevel.training.strategy import check_batch_size, place_on_replicas
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset, Objective, to_unit

DEFAULT_EPOCHS = 10


class PreparedRun(NamedTuple):
    """All that the training of a run needs, built and not yet started.

    Attributes:
        state: at its initial values.
        feed: the data of each step.
        objective: of training and validation.
        columns: names of what a step reports.
        total_steps: length of the run.
        device: "CPU", "GPU" or "TPU".
        compilation: what XLA compiles.
    """

    state: TrainState
    feed: Feed
    objective: Objective
    columns: tuple[str, ...]
    total_steps: int
    device: str
    compilation: Compilation


def prepare_run(config: Config, dataset: Dataset, workers: Workers) -> PreparedRun:
    """Checks the settings against devices and data, and builds what training needs.

    Args:
        config: of the run.
        dataset: its data.
        workers: the processes that train together.

    Raises:
        ConfigError: the replicas cannot share a batch, there is less than one batch, `freeze` or
            `conditional` do not fit, the data are vectors and the model is one of images, or there
            are no validation images for early stopping.
        DataError: the data service does not answer.
    """
    _check_patience(config, dataset)
    if not dataset.has_grey_levels:
        config.model.check_vectors()
    strategy = workers.strategy
    replicas = strategy.num_replicas_in_sync
    check_batch_size(config.training.batch_size, replicas, config.training.accumulate_steps)
    device = device_type(strategy)
    compilation = choose_compilation(config, device, replicas)
    feed = build_feed(config, dataset, workers, choose_call_steps(config, device, compilation))
    objective = assembly.build_objective(config, dataset.image_shape, feed.steps_per_epoch)
    with strategy.scope():
        state = build_state(config, dataset)
    columns = step_columns(objective, state)
    total_steps = count_total_steps(config.training, feed.steps_per_epoch)
    return PreparedRun(state, feed, objective, columns, total_steps, device, compilation)


def _check_patience(config: Config, dataset: Dataset) -> None:
    patience = config.training.early_stopping_patience
    if patience and not len(dataset.validation):
        raise ConfigError(
            f"--early_stopping_patience={patience} needs validation images, but a tenth of the "
            f"{len(dataset.train)} training images is less than one; set --validation_size, or "
            "leave --early_stopping_patience out"
        )


def count_total_steps(training: TrainingConfig, steps_per_epoch: int) -> int:
    """Returns the length of a run in steps."""
    return training.train_steps or (training.epochs or DEFAULT_EPOCHS) * steps_per_epoch


def build_state(config: Config, dataset: Dataset) -> TrainState:
    """Builds all that training changes, at its initial values, inside the strategy's scope."""
    model = assembly.build_model(
        config.model,
        dataset.image_shape,
        config.training.seed,
        dataset.num_classes,
        config.training.parts,
    )
    trained = choose_trained(model, config.training.freeze)
    return TrainState(
        model,
        assembly.build_optimizer(config.optimizer, trained),
        trained=trained,
        averaged=assembly.build_averaged_model(config, model),
        loss_scale=assembly.build_loss_scale(config),
    )


def initialize_weights(config: Config, state: TrainState, dataset: Dataset) -> None:
    """Replaces initial weights by those that the data, or another run, provide.

    Raises:
        RunError: `init_from` cannot be read.
        ConfigError: none of its weights fits.
    """
    if config.model.prior == "vamp":
        images = first_images(config.training, dataset, config.model.prior_components)
        prior = state.model.prior
        (prior.top if config.model.model == "ladder" else prior).start_from(images)
    path = config.training.init_from
    if path:
        restored = restore_matching(find_weights(path), state.model)
        print(f"{len(restored.names)} variables start from {path}")
        for difference in restored.differences:
            print(f"  not restored: {difference}")
    if state.averaged is not None:
        state.averaged.start(state.model)


def build_trainer(config: Config, run: PreparedRun, workers: Workers) -> Trainer:
    """Builds what runs the steps."""
    training = config.training
    is_xla_on_cpu = run.device == "CPU" and run.compilation == "block"
    global_norm = global_norm_by_products if is_xla_on_cpu else tf.linalg.global_norm
    spec = StepSpec(
        state=run.state,
        objective=run.objective,
        transform=assembly.build_training_transform(config),
        learning_rate=assembly.build_learning_rate(
            config.optimizer, run.feed.steps_per_epoch, run.total_steps
        ),
        clip=lambda gradients: clip_gradients(gradients, config.optimizer.clip_norm, global_norm),
        batch_size=training.batch_size,
        accumulate_steps=training.accumulate_steps,
        seed=training.seed,
    )
    train_block = make_train_block(
        spec, workers.strategy, block_steps=run.feed.call_steps, compilation=run.compilation
    )
    return Trainer(run.state, run.feed, train_block, run.objective.report)


def build_validation(config: Config, run: PreparedRun, dataset: Dataset) -> Validation | None:
    """Builds what judges each epoch; None where the data have no validation split.

    A denoising model is judged on corrupted images, as it will see them.
    """
    if not len(dataset.validation):
        return None
    batch_size = config.training.evaluation_batch_size
    term_means = TermMeans(
        run.state.evaluated_model,
        run.objective,
        batch_size=batch_size,
        seed=config.training.seed,
        transform=assembly.build_run_corruption(config),
    )

    def measure(step: int) -> dict[str, float]:
        means, z_mean = term_means(padded_batches(dataset.validation, batch_size), step)
        return {**means, "active_units": active_units(z_mean)}

    return Validation(measure, assembly.build_score(config, run.objective))


def build_feed(config: Config, dataset: Dataset, workers: Workers, call_steps: int) -> Feed:
    """Builds the feed of a run: from memory, from disk or from a data service.

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
        count: how many are wanted; an epoch may have fewer.

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
