"""The package: its train block with its feed, as the training loop calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
from turns import Contender, take_turns, timed

from vae_lowlevel.config import Config
from vae_lowlevel.experiment.start import build_trainer, prepare_run
from vae_lowlevel.training.devices import (
    choose_batch_parts,
    choose_precision,
    configure_runtime,
    deterministic_operations,
)
from vae_lowlevel.training.strategy import join_workers
from vae_lowlevel.types import Dataset, Examples

FEWEST_STEPS = 10
# More than any turn trains: the schedules do not end.
TOTAL_STEPS = 10**6


def build(case: dict[str, Any]) -> Contender:
    """Builds what `vae_lowlevel.train` builds for these settings."""
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in case["settings"].items()
    }
    config = Config.from_flat({**settings, "epochs": None, "train_steps": TOTAL_STEPS})
    config = config.replace(precision=choose_precision(config))
    config = config.replace(batch_parts=choose_batch_parts(config))
    training = config.training
    configure_runtime(training, training.parts)
    workers = join_workers(config.strategy)
    images = np.load(case["images"])
    examples = Examples(images, np.zeros([len(images)], np.int32))
    run = prepare_run(config, Dataset(examples, examples, examples), workers)
    train_block = build_trainer(config, run, workers).train_block
    steps_per_epoch, loss_column = run.feed.steps_per_epoch, run.columns.index("loss")

    def train(steps: int) -> float:
        step = int(run.state.step.numpy())
        end = step + steps
        with deterministic_operations(training.deterministic):
            while step < end:
                epoch_end = (step // steps_per_epoch + 1) * steps_per_epoch
                block = min(training.steps_per_loop, end - step, epoch_end - step)
                calls = [(train_block(*call), call.steps) for call in run.feed.calls(step, block)]
                rows = np.concatenate([values.numpy()[:count] for values, count in calls])
                step += block
        return float(rows[:, loss_column].mean())

    parameters = sum(variable.shape.num_elements() for variable in run.state.trained_variables())
    return Contender(timed(train, training.batch_size), parameters, FEWEST_STEPS)


if __name__ == "__main__":
    take_turns({"": build})
