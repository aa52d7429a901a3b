import pytest

from vae_lowlevel.serving.publish import newest_export, next_version, versions


def make_export(folder):
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()


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
