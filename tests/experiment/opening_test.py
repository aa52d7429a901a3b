import os
import pathlib

import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import format_flagfile
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.opening import check_same_run, open_run_folder


def test_the_same_settings_open_it_again(folder, config):
    again, notes = open_run_folder(config)
    assert (again.path, notes) == (folder.path, [])


def test_another_model_is_refused_with_every_difference(folder, config):
    other = config.replace(latent_dim=5, dataset="mnist", steps_per_loop=3)
    with pytest.raises(ConfigError) as refused:
        open_run_folder(other)
    assert "--latent_dim: was 4, now 5" in str(refused.value)
    assert "--dataset: was shapes, now mnist" in str(refused.value)
    assert "steps_per_loop" not in str(refused.value)
    assert "--overwrite" in str(refused.value)


def test_other_numerics_are_said(config):
    (note,) = check_same_run(config, config.replace(steps_per_loop=3, checkpoint_every=9))
    assert "bit for bit" in note
    assert "--steps_per_loop: was 100, now 3" in note
    assert "checkpoint_every" not in note


def test_a_new_length_names_the_schedule_that_depends_on_it(config):
    config = config.replace(epochs=2, learning_rate_schedule="cosine")
    notes = check_same_run(config, config.replace(epochs=4))
    assert any("--epochs: was 2, now 4" in note for note in notes)
    assert any("cosine" in note for note in notes)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path, config):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("important")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="not a run folder"):
            open_run_folder(config.replace(overwrite=overwrite))
    assert (tmp_path / "run" / "thesis.tex").read_text() == "important"


def test_what_was_written_before_the_settings_does_not_block_the_folder(config):
    os.makedirs(config.model_dir)
    for name in ("data.npz", "data.npz.partial.npz", "run.lock", "flags.cfg.partial"):
        pathlib.Path(config.model_dir, name).write_bytes(b"")
    assert open_run_folder(config)[1] == []


# As the version before wrote them: sizes resolved, the shorthand next to them.
OLD_FLAGS = """--dataset=mnist
--validation_size=5000
--network=resnet
--variant=small
--latent_dim=64
--resnet_filters=32,64
--resnet_blocks=1,1
"""


def test_a_run_that_saved_resolved_sizes_resumes_by_the_command_that_made_it(tmp_path):
    (tmp_path / "flags.cfg").write_text(OLD_FLAGS)
    given = Config.from_flat(
        {"dataset": "mnist", "network": "resnet", "model_dir": str(tmp_path), "epochs": 3}
    )
    (note,) = open_run_folder(given)[1]
    assert "--epochs: was not set, now 3" in note
    with pytest.raises(ConfigError) as refused:
        open_run_folder(given.replace(variant="micro"))
    assert "--latent_dim: was 64, now 32" in str(refused.value)
    assert "--resnet_filters: was (32, 64), now (16, 32)" in str(refused.value)
    assert "--variant" not in str(refused.value).split("\nGive")[0]


def test_a_copy_of_the_run_of_a_remote_tpu_is_read_but_not_trained(tmp_path):
    values = {"distribution_strategy": "tpu", "tpu": "my-tpu", "model_dir": "gs://bucket/run"}
    (tmp_path / "flags.cfg").write_text(format_flagfile(Config.from_flat(values)))
    config = RunFolder(str(tmp_path)).read_config()
    assert (config.model_dir, config.strategy.tpu) == (str(tmp_path), "my-tpu")
    with pytest.raises(ConfigError, match=r"--model_dir=.* gs://bucket"):
        open_run_folder(config)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_loaded(tmp_path, config):
    (tmp_path / "file").write_text("")
    os.symlink(tmp_path / "nothing", tmp_path / "link")
    for place, found in (("file", "is a file"), ("file/run/mine", "file is no folder")):
        with pytest.raises(ConfigError, match=rf"--model_dir=.*{found}"):
            open_run_folder(config.replace(model_dir=str(tmp_path / place)))
    with pytest.raises(ConfigError, match=r"--model_dir=.* a link to nothing"):
        open_run_folder(config.replace(model_dir=str(tmp_path / "link")))
    assert open_run_folder(config.replace(model_dir=str(tmp_path / "new" / "run")))[1] == []


def test_a_folder_that_is_not_writable_is_refused(tmp_path, config, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=rf"--model_dir=.*{tmp_path} is not writable"):
        open_run_folder(config)


def test_initial_weights_are_looked_for_at_once_but_not_for_a_run_that_has_begun(tmp_path):
    config = Config.from_flat(
        {"model_dir": str(tmp_path / "run"), "init_from": str(tmp_path / "nowhere")}
    )
    with pytest.raises(RunError, match=r"--init_from: .*nowhere: expected a run .*no such folder"):
        open_run_folder(config)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.cfg").write_text(format_flagfile(config))
    assert open_run_folder(config)[1] == []
    with pytest.raises(RunError, match="--init_from"):
        open_run_folder(config.replace(overwrite=True))


def test_the_variables_of_a_cluster_are_read_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    config = {"model_dir": str(tmp_path / "run"), "distribution_strategy": "multi_worker_mirrored"}
    with pytest.raises(ConfigError, match="needs the variable TF_CONFIG"):
        open_run_folder(Config.from_flat(config))
