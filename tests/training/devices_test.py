"""Devices as a process of its own sees them; they cannot be changed once TensorFlow runs."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import tensorflow as tf
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training import runtime

class Gpu(str):
    device_type = "GPU"

gpus = [Gpu(f"gpu {index}") for index in range(int(sys.argv[3]))]
shown = []
tf.config.list_physical_devices = lambda kind: gpus
tf.config.set_visible_devices = lambda devices, kind: shown.append((devices, kind))
try:
    runtime.show_device(sys.argv[1], int(sys.argv[2]))
except ConfigError as error:
    print(error)
else:
    print(shown)
"""


@pytest.mark.parametrize(
    ("device", "index", "gpus", "shown"),
    [
        ("auto", 0, 2, "[]"),
        ("cpu", 0, 2, "[([], 'GPU')]"),
        ("gpu", 0, 2, "[('gpu 0', 'GPU')]"),
        ("gpu", 1, 2, "[('gpu 1', 'GPU')]"),
        ("gpu", 2, 2, "--device_index=2 is not there: TensorFlow sees 2 GPUs, 0 to 1"),
        (
            "gpu",
            0,
            0,
            "sees 0 GPUs; install its CUDA libraries with pip install 'tensorflow[and-cuda]'",
        ),
    ],
)
def test_device_is_the_only_one_shown(device, index, gpus, shown):
    arguments = [device, str(index), str(gpus)]
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    assert shown in found.stdout


def test_train_on_a_device_that_is_not_there_is_a_usage_error(tmp_path):
    flags = ["--dataset=shapes", "--device=gpu", "--device_index=77", "--model_dir=run"]
    failed = subprocess.run(
        [sys.executable, "-m", "vae_lowlevel.train", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 2
    assert "--device_index=77 is not there" in failed.stderr
    assert not list(tmp_path.iterdir())
