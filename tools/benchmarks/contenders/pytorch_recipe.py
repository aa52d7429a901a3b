"""Trains by a recipe with an ordinary eager loop of PyTorch and writes the loss on the test set.

python pytorch_recipe.py CASE.json LOSS.json
"""

from __future__ import annotations

import numpy as np
import torch
from pytorch import TorchVAE
from recipe import Recipe, main
from torch.optim import swa_utils


def train(recipe: Recipe, train_images: np.ndarray, test_images: np.ndarray) -> float:
    """Returns the loss on the test set."""
    torch.manual_seed(recipe.seed)
    images, tests = (
        torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()
        for array in (train_images, test_images)
    )
    model = TorchVAE(recipe.case)
    optimizer = torch.optim.Adam(
        model.parameters(), recipe.learning_rate, recipe.betas, recipe.epsilon, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: recipe.rate(step) / recipe.learning_rate
    )
    averaged = None
    if recipe.ema_decay is not None:
        average = swa_utils.get_ema_multi_avg_fn(recipe.ema_decay)
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=average)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision != "float32")
    per_epoch = len(images) // recipe.batch_size
    for step in range(recipe.steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(images))
        first = step % per_epoch * recipe.batch_size
        model.kl_weight = recipe.kl_weight(step)
        with autocast:
            loss = model(images[order[first : first + recipe.batch_size]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if averaged:
            averaged.update_parameters(model)
    trained = averaged.module if averaged else model
    trained.kl_weight = recipe.kl_weight(recipe.steps)
    with torch.inference_mode(), autocast:
        return float(np.mean([trained(batch).item() for batch in tests.split(500)]))


if __name__ == "__main__":
    main(train)
