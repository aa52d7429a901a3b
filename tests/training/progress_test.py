import math

import numpy as np
import pytest

from vae_lowlevel.training.progress import Progress, step_means

COLUMNS = ("loss", "rate", "skipped")


def test_json_keeps_every_bit():
    progress = Progress(COLUMNS)
    progress.epoch_sums = np.array([0.1, 1 / 3, 1e300])
    progress.history.append({"epoch": 1, "train": {"loss": 0.1 + 0.2}})
    progress.best_score = -1 / 3
    other = Progress(COLUMNS)
    other.deserialize(progress.serialize())
    np.testing.assert_array_equal(other.epoch_sums, progress.epoch_sums)
    assert other.history == progress.history
    assert other.best_score == progress.best_score


def test_a_state_of_an_earlier_version_is_read():
    progress = Progress(COLUMNS)
    progress.deserialize(
        '{"history": [], "epoch_sums": [1.0, 2.0, 0.0], "epoch_steps": 1, "epoch_seconds": 1.0,'
        ' "skipped_in_row": 0, "best_score": -3.0, "best_epoch": 2, "seconds": 5.0}'
    )
    assert (progress.best_score, progress.best_epoch, progress.best_by) == (-3.0, 2, None)


def test_patience_counts_epochs_since_the_best():
    progress = Progress(COLUMNS)
    assert not progress.is_out_of_patience(1)
    progress.history.append({"epoch": 5})
    progress.best_epoch = 3
    assert progress.is_out_of_patience(2)
    assert not progress.is_out_of_patience(3)
    assert not progress.is_out_of_patience(None)


def test_a_skipped_step_counts_as_skipped_and_no_more():
    progress = Progress(COLUMNS)
    for row in ([4.0, 1.0, 0.0], [np.nan, np.inf, 1.0], [2.0, 3.0, 0.0]):
        progress.add_step(np.array(row, np.float32))
    assert progress.skipped_in_row == 0
    assert progress.epoch_means() == {"loss": 3.0, "rate": 2.0, "skipped": pytest.approx(1 / 3)}


def test_skipped_steps_alone_have_no_means():
    progress = Progress(COLUMNS)
    for _ in range(2):
        progress.add_step(np.array([np.nan, 0.0, 1.0], np.float32))
    assert progress.skipped_in_row == 2
    assert progress.epoch_means() == {"skipped": 1.0}
    assert step_means(COLUMNS, np.array([0.0, 0.0, 4.0]), 4) == {"skipped": 1.0}


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        # No validation split: the latest weights.
        ([None, None, None], [1, 2, 3]),
        ([-5.0, -4.0, -4.5], [1, 2, 2]),
        # A number that is not finite never stays the best, nor becomes it.
        ([math.nan, -4.0, -5.0], [1, 2, 2]),
        ([-4.0, math.nan, math.inf], [1, 1, 1]),
        ([-math.inf, math.nan, -4.0], [1, 2, 3]),
        # Epochs of the warm-up do not compare.
        ([None, None, -9.0, -8.0, None], [1, 2, 3, 4, 4]),
    ],
)
def test_the_best_epoch(scores, best):
    progress = Progress(COLUMNS)
    found = []
    for epoch, score in enumerate(scores, start=1):
        progress.note_score(score, epoch)
        found.append(progress.best_epoch)
    assert found == best


def test_another_criterion_scores_the_best_epoch_again():
    progress = Progress(COLUMNS)
    progress.choose_by("elbo", lambda step, means: means["elbo"])
    for epoch, validation in enumerate(({"elbo": -9.0, "loss": 3.0}, {"elbo": -8.0, "loss": 4.0})):
        progress.record_epoch({"epoch": epoch, "step": epoch, "validation": validation})
        progress.note_score(validation["elbo"], epoch)
    assert (progress.best_epoch, progress.best_score) == (1, -8.0)
    progress.choose_by("loss", lambda step, means: -means["loss"])
    assert (progress.best_epoch, progress.best_score, progress.best_by) == (1, -4.0, "loss")
    # The same criterion changes nothing.
    progress.choose_by("loss", lambda step, means: 7.0)
    assert progress.best_score == -4.0


def test_an_epoch_that_was_ended_before_is_recorded_once():
    progress = Progress(COLUMNS)
    progress.record_epoch({"epoch": 1, "step": 3})
    progress.record_epoch({"epoch": 1, "step": 5})
    progress.record_epoch({"epoch": 2, "step": 10})
    assert [record["step"] for record in progress.history] == [5, 10]
