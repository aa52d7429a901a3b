"""Exports on a disk that is full, at every size, or that is read-only."""

import contextlib
import os
import subprocess

import pytest

from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.anomaly import find_normal_scores
from vae_lowlevel.experiment.exporting import publish_model
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best, load_predictor
from vae_lowlevel.serving.signatures import ServingModel

pytestmark = pytest.mark.faults

# KiB. The export of the tiny run needs about 900.
SIZES = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 60, 100, 200, 400, 600, *range(680, 1000, 8))


@contextlib.contextmanager
def small_disk(folder, size):
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def publish(tiny_run, tmp_path, unchecked):
    """Exports the run to `tmp_path / "disk"`."""
    folder = RunFolder(tiny_run)
    best = load_best(folder)
    serving_model = ServingModel(best.model)
    scores = find_normal_scores(serving_model, best, folder)
    (tmp_path / "disk").mkdir()
    options = ExportOptions(model_dir=tiny_run, export_dir=str(tmp_path / "disk" / "exports"))
    return lambda: publish_model(serving_model, best, scores, {}, options)


def left(disk):
    return [name for _, _, names in os.walk(disk) for name in names]


def test_a_full_disk_at_every_size(publish, tmp_path, count):
    disk = tmp_path / "disk"
    errors = []
    for size in SIZES:
        with small_disk(disk, size):
            try:
                publish()
            except RunError as error:
                errors.append(str(error))
                if "is exported, but not the settings" not in str(error):
                    assert left(disk) == []
                    continue
            load_predictor(str(disk / "exports" / "tiny"))
    count("export to a full disk", sizes=len(SIZES), refused=len(errors))
    assert len(SIZES) > len(errors) > 20
    for text in errors:
        assert f"{disk}/exports/tiny" in text
        assert "No space left on device" in text
        assert text.count("\n") <= 1


def test_a_read_only_disk(publish, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, 4000):
        publish()
        before = left(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(RunError, match=r"exports/tiny: .*Read-only file system"):
            publish()
        assert left(disk) == before
