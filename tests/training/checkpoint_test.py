from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.checkpoint import (
    RunCheckpoints,
    latest_step,
    restore_best,
    restore_full,
)
from vae_lowlevel.training.progress import Progress


def train(run, first, last):
    for step in range(first, last):
        rows = np.zeros_like(run.order)
        rows[0] = run.order[step]
        run.block(run.images, run.labels, tf.constant(rows), tf.constant(1))


def checkpoints(run, folder):
    full, best = str(folder / "full"), str(folder / "best")
    return RunCheckpoints(full, best, run.state, Progress(("loss", "skipped")), max_to_keep=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "precision": "float16", "loss_scale_growth_steps": 2},
        {"model": "sparse_autoencoder", "corruption": "mask", "ema_decay": 0.9},
        {"conditional": True, "freeze": "encoder/conv_0", "capacity": 3.0},
        {"network": "mlp", "posterior": "iaf", "prior": "flow", "prior_flow_steps": 2},
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
    assert latest_step(str(tmp_path / "full")) == 3
    assert restore_full(str(tmp_path / "full"), second.state, Progress(("loss", "skipped")))
    train(second, 3, 4)
    names = [variable.name for variable in whole.state.variables]
    for name, a, b in zip(names, whole.state.variables, second.state.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)


def test_best_weights_are_the_averages(make_run, tmp_path):
    run = make_run(ema_decay=0.9)
    train(run, 0, 4)
    checkpoints(run, tmp_path).save_best()
    other = make_run(seed=5).state.model
    restore_best(tf.train.latest_checkpoint(str(tmp_path / "best")), other)
    for restored, average, trained in zip(
        other.variables, run.state.averaged.model.variables, run.state.model.variables, strict=True
    ):
        np.testing.assert_array_equal(restored, average)
        assert np.any(restored.numpy() != trained.numpy())


def test_a_folder_without_a_state_restores_nothing(make_run, tmp_path):
    assert latest_step(str(tmp_path)) == -1
    assert not restore_full(str(tmp_path), make_run().state, Progress(("loss", "skipped")))


def test_the_state_of_another_model_is_refused(make_run, tmp_path):
    checkpoints(make_run(), tmp_path).save()
    other = make_run(latent_dim=4)
    with pytest.raises(RunError, match=r"cannot restore .*full"):
        restore_full(str(tmp_path / "full"), other.state, Progress(("loss", "skipped")))


def test_running_sums_of_other_columns_are_refused_within_an_epoch_only(make_run, tmp_path):
    run = make_run()
    written = Progress(("loss", "bpd", "skipped"))
    folder = str(tmp_path / "full")
    saved = RunCheckpoints(folder, str(tmp_path / "best"), run.state, written, max_to_keep=2)
    saved.save()
    progress = Progress(("loss", "skipped"))
    assert restore_full(folder, run.state, progress)
    assert progress.epoch_sums.tolist() == [0.0, 0.0]
    written.add_step(np.array([1.0, 2.0, 0.0]))
    run.state.step.assign(1)
    saved.save()
    with pytest.raises(RunError, match="stopped this run within an epoch"):
        restore_full(folder, run.state, progress)
