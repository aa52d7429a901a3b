"""The recipe of a flagfile, for the programs of other frameworks."""

from __future__ import annotations

import json
import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


class Recipe:
    """What the settings of a run say about its training.

    Args:
        case: `settings` (flat, as of `Config.to_flat`), `network`, `seed`.
        examples: size of the training set.

    Raises:
        ValueError: a setting that the other programs do not have.
    """

    def __init__(self, case: dict[str, Any], examples: int) -> None:
        settings = case["settings"]
        for name, known in KNOWN.items():
            if settings[name] not in known:
                raise ValueError(f"--{name}: of {known}, got {settings[name]}")
        self.case, self.seed, self.precision = case, case["seed"], settings["precision"]
        self.batch_size, self.learning_rate = settings["batch_size"], settings["learning_rate"]
        self.ema_decay, self.is_dense = settings["ema_decay"], settings["network"] == "mlp"
        self.betas = settings["adam_beta1"], settings["adam_beta2"]
        self.epsilon = settings["adam_epsilon"]
        per_epoch = examples // self.batch_size
        self.steps = settings["epochs"] * per_epoch
        is_constant = settings["learning_rate_schedule"] == "constant"
        self.final_fraction = 1.0 if is_constant else settings["learning_rate_final_fraction"]
        is_linear = settings["kl_schedule"] == "linear"
        self._warmup = settings["kl_warmup_epochs"] * per_epoch if is_linear else 0.0
        self._final_kl_weight = settings["kl_weight"]

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step."""
        height = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * (self.final_fraction + (1.0 - self.final_fraction) * height)

    def kl_weight(self, step: int) -> float:
        """Returns the KL weight of a step."""
        return self._final_kl_weight * (min(1.0, step / self._warmup) if self._warmup else 1.0)


KNOWN = {
    "learning_rate_schedule": ("constant", "cosine"),
    "learning_rate_warmup_steps": (0,),
    "kl_schedule": ("constant", "linear"),
    "clip_norm": (None,),
    "model": ("vae",),
    "posterior": ("diagonal",),
    "prior": ("standard",),
    "objective": ("elbo",),
}


def main(train: Callable[[Recipe, np.ndarray, np.ndarray], float]) -> None:
    """Reads the case, trains, and writes the loss on the test set."""
    case_path, loss_path = map(pathlib.Path, sys.argv[1:])
    case = json.loads(case_path.read_text(encoding="utf-8"))
    train_images, test_images = (np.load(case["images"][split]) for split in ("train", "test"))
    loss = train(Recipe(case, len(train_images)), train_images, test_images)
    loss_path.write_text(json.dumps(loss), encoding="utf-8")
