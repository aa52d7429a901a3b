"""The files of checkpoints of two numbers: damaged, deleted, cut short, left behind."""

import errno
import os

import pytest
import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.errors import RunError
from vae_lowlevel.training.checkpoint_files import CheckpointFiles


@pytest.fixture
def checkpoint():
    return tf.train.Checkpoint(value=tf.Variable([1.0, 2.0]), step=tf.Variable(0))


@pytest.fixture
def saved(checkpoint, tmp_path):
    """Checkpoints of steps 2, 4 and 6, of which two are kept."""
    folder = CheckpointFiles(str(tmp_path))
    for step in (2, 4, 6):
        checkpoint.step.assign(step)
        folder.save(checkpoint, step, max_to_keep=2)
    return folder


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped": flip,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": os.remove,
}


def test_the_newest_are_kept_and_tensorflow_finds_them(saved, tmp_path):
    assert saved.steps() == [4, 6]
    assert saved.newest_sound() == (6, {})
    assert tf.train.latest_checkpoint(str(tmp_path)) == saved.prefix(6)
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert list(state.all_model_checkpoint_paths) == [saved.prefix(4), saved.prefix(6)]


def test_a_folder_without_checkpoints_has_none(tmp_path):
    assert CheckpointFiles(str(tmp_path / "none")).newest_sound() == (None, {})
    assert CheckpointFiles(str(tmp_path)).newest_sound() == (None, {})


def test_best_weights_of_an_earlier_step_replace_those_of_a_later_one(saved, checkpoint):
    saved.save(checkpoint, 3, max_to_keep=1)
    assert saved.steps() == [3]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_checkpoints_are_found_without_the_state_file(saved, tmp_path, damage):
    damage(tmp_path / "checkpoint")
    assert saved.newest_sound() == (6, {})


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_the_one_before_a_damaged_checkpoint_is_found(saved, tmp_path, suffix, damage):
    damage(tmp_path / f"ckpt-6.{suffix}")
    step, found = saved.newest_sound()
    assert step == 4
    assert list(found) == [6]
    assert "ckpt-6" in found[6]


def test_a_damaged_checkpoint_is_set_aside_and_stays_so(saved, checkpoint, tmp_path):
    flip(tmp_path / "ckpt-6.data-00000-of-00001")
    content = (tmp_path / "ckpt-6.data-00000-of-00001").read_bytes()
    saved.set_aside(6)
    saved.tidy(max_to_keep=2)
    assert saved.newest_sound() == (4, {})
    saved.save(checkpoint, 6, max_to_keep=1)
    assert saved.newest_sound() == (6, {})
    assert (tmp_path / "ckpt-6.data-00000-of-00001.damaged").read_bytes() == content


def test_a_file_that_cannot_be_read_is_not_called_damaged(saved, monkeypatch):
    def denied(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(files, "check_readable", denied)
    with pytest.raises(PermissionError):
        saved.newest_sound()


def test_what_a_killed_process_left_is_deleted(saved, tmp_path):
    before = sorted(os.listdir(tmp_path))
    (tmp_path / "ckpt-8_temp").mkdir()
    (tmp_path / "unfinished").mkdir()
    for name in (
        "unfinished/ckpt-8.index",
        "ckpt-8_temp/part-00000-of-00001.data-00000-of-00001",
        "ckpt-8.data-00000-of-00001",  # Its index was not written yet.
        "checkpoint.partial",
        "checkpoint.tmp5e8",
        "ckpt-8.index.tempstate17",
    ):
        (tmp_path / name).write_bytes(b"x")
    assert saved.newest_sound() == (6, {})
    saved.tidy(max_to_keep=2)
    assert sorted(os.listdir(tmp_path)) == before


def test_the_old_is_deleted_after_the_new_is_durable(saved, checkpoint, tmp_path, monkeypatch):
    calls = []

    def note(name):
        original = getattr(files, name)

        def noted(path, *content):
            calls.append(f"{name} {os.path.basename(path)}")
            original(path, *content)

        monkeypatch.setattr(files, name, noted)

    for name in ("sync", "rename", "write", "delete"):
        note(name)
    saved.save(checkpoint, 8, max_to_keep=2)
    data, folder = "ckpt-8.data-00000-of-00001", tmp_path.name
    assert calls[:4] == [
        f"sync {data}",
        f"rename {data}",
        "sync ckpt-8.index",
        "rename ckpt-8.index",
    ]
    assert calls[4:7] == [f"sync {folder}", "delete unfinished", "write checkpoint"]
    assert calls[-2:] == ["delete ckpt-4.index", "delete ckpt-4.data-00000-of-00001"]


def test_what_was_no_longer_kept_is_deleted_after_a_kill(saved, checkpoint, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saved, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            saved.save(checkpoint, 8, max_to_keep=2)
    assert saved.steps() == [4, 6, 8]
    saved.tidy(max_to_keep=2)
    assert saved.steps() == [6, 8]
    assert tf.train.latest_checkpoint(str(tmp_path)) == saved.prefix(8)


@pytest.mark.parametrize("name", ["ckpt-6.index", "ckpt-6.data-00000-of-00001", "checkpoint"])
def test_a_folder_in_the_place_of_a_file_is_damage(saved, checkpoint, tmp_path, name):
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    step, damage = saved.newest_sound()
    assert (step, list(damage)) == ((6, []) if name == "checkpoint" else (4, [6]))
    for damaged in damage:
        saved.set_aside(damaged)
    saved.save(checkpoint, 6, max_to_keep=2)
    assert saved.newest_sound() == (6, {})
    assert (tmp_path / f"{name}.damaged").is_dir()


def test_a_disk_error_names_the_file_and_what_is_safe(saved, checkpoint, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(RunError, match=r"cannot save .*ckpt-8: .*No space left[^$]*whole"):
        saved.save(checkpoint, 8, max_to_keep=2)
    monkeypatch.undo()
    assert saved.newest_sound() == (6, {})


def test_a_folder_that_cannot_be_written_is_one_error(checkpoint, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"cannot save .*ckpt-1"):
        CheckpointFiles(str(tmp_path / "file")).save(checkpoint, 1, max_to_keep=2)


def test_a_run_folder_that_was_deleted_is_not_made_again(checkpoint, tmp_path):
    with pytest.raises(RunError, match=rf"{tmp_path}/gone was deleted or moved during the run"):
        CheckpointFiles(str(tmp_path / "gone" / "ckpt")).save(checkpoint, 1, max_to_keep=2)
    assert not (tmp_path / "gone").exists()


def test_an_address_works_too(checkpoint, tmp_path):
    folder = CheckpointFiles(f"ram://{tmp_path.name}/ckpt")
    for step in (1, 2, 3):
        folder.save(checkpoint, step, max_to_keep=2)
    assert folder.newest_sound() == (3, {})
    assert folder.steps() == [2, 3]
