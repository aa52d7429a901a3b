from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.checkpoint import RunCheckpoints, restore_best
from vae_lowlevel.training.progress import Progress


def train(run, first, last):
    for step in range(first, last):
        rows = np.zeros_like(run.order)
        rows[0] = run.order[step]
        run.block(run.images, run.labels, tf.constant(rows), tf.constant(1))


def checkpoints(run, folder):
    return RunCheckpoints(str(folder), run.state, Progress(2), max_to_keep=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "precision": "float16", "loss_scale_growth_steps": 2},
        {"model": "sparse_autoencoder", "corruption": "mask", "ema_decay": 0.9},
        {"conditional": True, "freeze": "encoder/conv_0", "capacity": 3.0},
    ],
    ids=str,
)
def test_restored_state_goes_on_bit_for_bit(make_run, tmp_path, settings):
    whole, first, second = (make_run(**settings) for _ in range(3))
    if whole.state.loss_scale is not None:
        for run in (whole, first):
            # Overflows now and then, so that what is restored is not where it began.
            run.state.loss_scale.scale.assign(2.0**24)
    train(whole, 0, 4)
    train(first, 0, 3)
    checkpoints(first, tmp_path).save()
    assert checkpoints(second, tmp_path).restore()
    train(second, 3, 4)
    names = [variable.name for variable in whole.state.variables]
    for name, a, b in zip(names, whole.state.variables, second.state.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)


def test_best_weights_are_the_averages(make_run, tmp_path):
    run = make_run(ema_decay=0.9)
    train(run, 0, 4)
    checkpoints(run, tmp_path).save_best()
    other = make_run(seed=5).state.model
    restore_best(str(tmp_path), other)
    for restored, average, trained in zip(
        other.variables, run.state.averaged.model.variables, run.state.model.variables, strict=True
    ):
        np.testing.assert_array_equal(restored, average)
        assert np.any(restored.numpy() != trained.numpy())


def test_a_run_without_weights_says_how_to_get_them(make_run, tmp_path):
    with pytest.raises(RunError, match="has not finished an epoch yet"):
        restore_best(str(tmp_path), make_run().state.model)
