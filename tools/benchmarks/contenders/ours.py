"""The package: its train block, fed and read as the training loop does."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from turns import Contender, take_turns, timed

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import BatchOrder
from vae_lowlevel.experiment.start import build_state
from vae_lowlevel.optimizers.clipping import clip_gradients
from vae_lowlevel.training.devices import (
    choose_call_steps,
    choose_compilation,
    configure_runtime,
    device_type,
)
from vae_lowlevel.training.feed import ResidentFeed
from vae_lowlevel.training.step import make_train_block, step_columns
from vae_lowlevel.types import Dataset, Examples

FEWEST_STEPS = 10


def build(case: dict[str, Any]) -> Contender:
    """Builds what `vae_lowlevel.train` builds for these settings."""
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in case["settings"].items()
    }
    config = Config.from_flat(settings)
    training = config.training
    configure_runtime(training)
    images = np.load(case["images"])
    labels = np.zeros([len(images)], np.int32)
    order = BatchOrder(len(images), training.batch_size, training.seed)
    examples = Examples(images, labels)
    objective = assembly.build_objective(config.objective, order.steps_per_epoch)
    strategy = tf.distribute.get_strategy()
    with strategy.scope():
        state = build_state(config, Dataset(examples, examples, examples))
    device = device_type(strategy)
    compilation = choose_compilation(config, device)
    call_steps = choose_call_steps(config, device, compilation)
    train_block = make_train_block(
        state,
        assembly.build_training_objective(config, objective),
        assembly.build_learning_rate(config.optimizer, order.steps_per_epoch, 10**6),
        strategy,
        batch_size=training.batch_size,
        block_steps=call_steps,
        clip=functools.partial(clip_gradients, clip_norm=config.optimizer.clip_norm),
        seed=training.seed,
        compilation=compilation,
    )
    feed = ResidentFeed(tf.constant(images), tf.constant(labels), order, call_steps)
    loss_column = step_columns(objective, state).index("loss")

    def train(steps: int) -> float:
        step = int(state.step.numpy())
        end = step + steps
        while step < end:
            epoch_end = (step // order.steps_per_epoch + 1) * order.steps_per_epoch
            block = min(training.steps_per_loop, end - step, epoch_end - step)
            calls = [(train_block(*call), call.steps) for call in feed.calls(step, block)]
            rows = np.concatenate([values.numpy()[:count] for values, count in calls])
            step += block
        return float(rows[:, loss_column].mean())

    parameters = sum(variable.shape.num_elements() for variable in state.trained_variables())
    return Contender(timed(train, training.batch_size), parameters, FEWEST_STEPS)


if __name__ == "__main__":
    take_turns({"": build})
