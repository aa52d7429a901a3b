"""The training step of a flagfile, traced as a program starts it on one GPU or TPU."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse
from vae_lowlevel.experiment.start import build_trainer, prepare_run
from vae_lowlevel.training.strategy import join_workers
from vae_lowlevel.types import Dataset, Examples

ROOT = pathlib.Path(__file__).parents[2]
CHANNELS = {"mnist": 1, "fashion_mnist": 1, "shapes": 1, "cifar10": 3}
SIZES = {"mnist": 28, "fashion_mnist": 28, "cifar10": 32}
CLASSES = tuple(map(str, range(10)))


def all_flagfiles() -> list[pathlib.Path]:
    """Returns every shipped flagfile."""
    return sorted((ROOT / "flags").rglob("*.cfg"))


class TracedStep(NamedTuple):
    """A training step as a graph.

    Attributes:
        concrete: the train block of one step. Its loop over steps is there, with a body for one.
        batch_size: examples per step.
    """

    concrete: Any
    batch_size: int


def trace_step(flagfile: pathlib.Path | str) -> TracedStep:
    """Builds what `vae_lowlevel.train` builds for a GPU, on one batch of zeros."""
    config = parse([f"--flagfile={flagfile}"], Config)
    if config.model.precision == "auto":
        # What `choose_precision` returns for TPUs and GPUs since 2020.
        config = config.replace(precision="bfloat16")
    workers = join_workers(config.strategy)
    batch_size = config.training.batch_size
    size = config.data.pad_to or SIZES.get(config.data.dataset, config.data.image_size)
    image = np.zeros([batch_size, size, size, CHANNELS[config.data.dataset]], np.uint8)
    examples = Examples(image, np.zeros([batch_size], np.int32))
    dataset = Dataset(examples, examples, examples, CLASSES)
    run = prepare_run(config, dataset, workers)
    # What `choose_compilation` returns for one GPU.
    run = run._replace(device="GPU", compilation="block", feed=_OneStep(run.feed))
    block = build_trainer(config, run, workers).train_block
    concrete = block.get_concrete_function(
        tf.TensorSpec(image.shape, tf.uint8),
        tf.TensorSpec([batch_size], tf.int32),
        tf.TensorSpec([1, batch_size], tf.int32),
        tf.TensorSpec([], tf.int32),
    )
    return TracedStep(concrete, batch_size)


class _OneStep:
    """A feed that gives one step per call."""

    call_steps = 1

    def __init__(self, feed: Any) -> None:
        self.steps_per_epoch = feed.steps_per_epoch
