"""A training state small enough for a test, and the block that trains it."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.experiment.start import build_state
from vae_lowlevel.optimizers.clipping import clip_gradients
from vae_lowlevel.training.step import StepSpec, make_train_block
from vae_lowlevel.types import Dataset, Examples

TINY = {
    "latent_dim": 3,
    "encoder_filters": (4,),
    "encoder_strides": (2,),
    "encoder_units": (8,),
    "decoder_filters": (4, 4),
    "decoder_strides": (2,),
    "batch_size": 8,
}

CLASSES = 3


def build(config):
    empty = Examples(np.zeros([0, 8, 8, 1], np.uint8), np.zeros([0], np.int32))
    return build_state(config, Dataset(empty, empty, empty, class_names=("a", "b", "c")))


@pytest.fixture
def make_run():
    """Returns make_run(strategy=None, compilation="none", block_steps=4, **settings).

    `objective` is an object or, as in the settings, a name.
    """

    def make(strategy=None, *, compilation="none", block_steps=4, objective=None, **settings):
        if isinstance(objective, str):
            settings["objective"], objective = objective, None
        config = Config.from_flat({**TINY, **settings})
        strategy = strategy or tf.distribute.get_strategy()
        with strategy.scope():
            state = build(config)
        if objective is None:
            objective = assembly.build_objective(config, (8, 8, 1), 4)
        spec = StepSpec(
            state=state,
            objective=objective,
            transform=assembly.build_training_transform(config),
            learning_rate=assembly.build_learning_rate(config.optimizer, 4, 16),
            clip=lambda gradients: clip_gradients(gradients, config.optimizer.clip_norm),
            batch_size=config.training.batch_size,
            accumulate_steps=config.training.accumulate_steps,
            seed=config.training.seed,
        )
        block = make_train_block(spec, strategy, block_steps=block_steps, compilation=compilation)
        random = np.random.default_rng(0)
        images = random.integers(0, 256, [40, 8, 8, 1]).astype(np.uint8)
        order = random.permutation(40)[:32].reshape(4, 8).astype(np.int32)
        return SimpleNamespace(
            config=config,
            state=state,
            objective=objective,
            block=block,
            images=tf.constant(images),
            labels=tf.constant(np.arange(40) % CLASSES, tf.int32),
            order=order,
            strategy=strategy,
        )

    return make
