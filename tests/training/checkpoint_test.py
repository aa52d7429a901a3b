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


def checkpoints(run, folder, progress=None):
    full, best = str(folder / "full"), str(folder / "best")
    progress = progress or Progress(("loss", "skipped"))
    return RunCheckpoints(full, best, run.state, progress, max_to_keep=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "precision": "float16", "loss_scale_growth_steps": 2},
        {"model": "sparse_autoencoder", "corruption": "mask", "ema_decay": 0.9},
        {"conditional": True, "freeze": "encoder/conv_0", "capacity": 3.0},
        pytest.param(
            {"network": "mlp", "posterior": "iaf", "prior": "flow", "prior_flow_steps": 2},
            marks=pytest.mark.long,
        ),
        pytest.param(
            {
                "model": "ladder",
                "latent_dim": None,
                "ladder_dims": (2, 3),
                "freeze": "prior/top_down_1",
            },
            marks=pytest.mark.long,
        ),
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
    checkpoints(second, tmp_path).restore(str(tmp_path / "full" / "ckpt-3"))
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


def test_the_state_of_another_model_is_refused(make_run, tmp_path):
    checkpoints(make_run(), tmp_path).save()
    other = make_run(latent_dim=4)
    with pytest.raises(RunError, match=r"cannot restore .*full"):
        checkpoints(other, tmp_path).restore(str(tmp_path / "full" / "ckpt-0"))


def test_running_sums_of_other_columns_are_refused_within_an_epoch_only(make_run, tmp_path):
    run = make_run()
    written = Progress(("loss", "bpd", "skipped"))
    saved = checkpoints(run, tmp_path, written)
    saved.save()
    progress = Progress(("loss", "skipped"))
    restored = checkpoints(run, tmp_path, progress)
    restored.restore(str(tmp_path / "full" / "ckpt-0"))
    assert progress.epoch_sums.tolist() == [0.0, 0.0]
    written.add_step(np.array([1.0, 2.0, 0.0]))
    run.state.step.assign(1)
    saved.save()
    with pytest.raises(RunError, match="stopped this run within an epoch"):
        restored.restore(str(tmp_path / "full" / "ckpt-1"))


def test_a_checkpoint_that_tensorflow_numbered_is_restored(make_run, tmp_path):
    # As runs of earlier versions of the package have it: with a counter above 0.
    run = make_run()
    checkpoint = tf.train.Checkpoint(state=run.state, progress=Progress(("loss", "skipped")))
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path / "full"), 2)
    manager.save(checkpoint_number=4)
    checkpoints(run, tmp_path).restore(str(tmp_path / "full" / "ckpt-4"))
