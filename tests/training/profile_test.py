import glob

import pytest
import tensorflow as tf

from vae_lowlevel.training.profile import Profile

MEANS = {"loss": 4.0, "skipped": 0.0, "images_per_second": 100.0}


@pytest.mark.parametrize("is_cut_short", [False, True])
def test_a_range_of_steps_is_written_for_tensorboard(tmp_path, is_cut_short):
    profile = Profile(str(tmp_path), (3, 4))
    written = str(tmp_path / "plugins/profile/*/*.xplane.pb")
    profile.begin(0)
    for step in (1, 2, 3) if is_cut_short else (2, 4, 5):
        tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
        profile.block(step, MEANS)
        assert bool(glob.glob(written)) == (step >= 4)
    profile.close()
    assert len(glob.glob(written)) == 1


def test_a_profile_that_begins_with_the_run(tmp_path):
    profile = Profile(str(tmp_path), (1, 2))
    profile.begin(0)
    profile.block(2, MEANS)
    assert glob.glob(str(tmp_path / "plugins/profile/*/*.xplane.pb"))
