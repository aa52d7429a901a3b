import glob

import pytest
import tensorflow as tf

from vae_lowlevel.training.observers import Profile


@pytest.mark.parametrize("is_cut_short", [False, True])
def test_a_range_of_steps_is_written_for_tensorboard(tmp_path, is_cut_short):
    profile = Profile(str(tmp_path), (3, 4))
    assert profile.events == (2, 4)
    written = str(tmp_path / "summaries/plugins/profile/*/*.xplane.pb")
    for step in range(2 if is_cut_short else 5):
        profile.before(step)
        tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
        profile.after(step + 1)
        assert bool(glob.glob(written)) == (step >= 3)
    if is_cut_short:
        profile.before(2)
    profile.close()
    assert len(glob.glob(written)) == 1


def test_without_a_range_nothing_is_profiled(tmp_path):
    profile = Profile(str(tmp_path), None)
    profile.before(0)
    profile.after(1)
    profile.close()
    assert profile.events == ()
    assert not list(tmp_path.iterdir())
