import os

import pytest
import tensorflow as tf

from vae_lowlevel.serving.publish import newest_export, next_version, versions


def make_export(folder):
    tf.io.gfile.makedirs(str(folder))
    tf.io.write_file(os.path.join(folder, "saved_model.pb"), b"")


def test_only_integer_names_are_versions_in_numeric_order(tmp_path):
    for name in ("10", "9", "2", ".tiny-1f", "v3", "1.5", "-4", "²"):
        (tmp_path / name).mkdir()
    assert versions(str(tmp_path)) == ["2", "9", "10"]
    assert next_version(str(tmp_path)) == "11"


@pytest.mark.parametrize("exists", [True, False])
def test_first_version_is_1(tmp_path, exists):
    folder = tmp_path if exists else tmp_path / "new"
    assert next_version(str(folder)) == "1"


def test_newest_export_of_a_version_is_itself(tmp_path):
    make_export(tmp_path / "4")
    assert newest_export(str(tmp_path / "4")) == str(tmp_path / "4")


def test_newest_export_of_a_parent_is_the_highest_version_that_is_one(tmp_path):
    for name in ("2", "10", "x"):
        make_export(tmp_path / name)
    (tmp_path / "11").mkdir()
    assert newest_export(str(tmp_path)) == str(tmp_path / "10")


def test_newest_export_of_another_folder_is_none(tmp_path):
    assert newest_export(str(tmp_path)) is None
    assert newest_export(str(tmp_path / "missing")) is None


def test_an_export_at_an_address_is_found(tmp_path):
    address = f"ram://{tmp_path.name}/exports"
    for name in ("9", "10", "x"):
        make_export(os.path.join(address, name))
    assert versions(address) == ["9", "10"]
    assert newest_export(address) == f"{address}/10"
    assert newest_export(f"{address}/9") == f"{address}/9"
    assert newest_export(f"{address}/missing") is None


def test_names_of_folders_in_a_bucket_end_in_a_slash(monkeypatch):
    monkeypatch.setattr(tf.io.gfile, "isdir", lambda path: True)
    monkeypatch.setattr(tf.io.gfile, "listdir", lambda path: ["9/", "10/", "models.config"])
    assert versions("gs://bucket/saved_models/fashion") == ["9", "10"]
