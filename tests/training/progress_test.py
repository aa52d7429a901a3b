import numpy as np

from vae_lowlevel.training.progress import Progress


def test_json_keeps_every_bit():
    progress = Progress(3)
    progress.epoch_sums = np.array([0.1, 1 / 3, 1e300])
    progress.history.append({"epoch": 1, "train": {"loss": 0.1 + 0.2}})
    progress.best_score = -1 / 3
    other = Progress(3)
    other.deserialize(progress.serialize())
    np.testing.assert_array_equal(other.epoch_sums, progress.epoch_sums)
    assert other.history == progress.history
    assert other.best_score == progress.best_score


def test_patience_counts_epochs_since_the_best():
    progress = Progress(1)
    assert not progress.is_out_of_patience(1)
    progress.history.append({"epoch": 5})
    progress.best_epoch = 3
    assert progress.is_out_of_patience(2)
    assert not progress.is_out_of_patience(3)
    assert not progress.is_out_of_patience(None)
