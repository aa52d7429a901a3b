"""Devices as a process of its own sees them; they cannot be changed once TensorFlow runs."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from vae_lowlevel.config import Config
from vae_lowlevel.training import devices
from vae_lowlevel.training.devices import (
    choose_precision,
    deterministic_operations,
    has_bfloat16_instructions,
)

PROGRAM = """
import json
import sys
import tensorflow as tf
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training import devices

class Gpu(str):
    device_type = "GPU"

for device, index, count in json.loads(sys.argv[1]):
    gpus = [Gpu(f"gpu {number}") for number in range(count)]
    shown = []
    tf.config.list_physical_devices = lambda kind: gpus
    tf.config.set_visible_devices = lambda devices, kind: shown.append((devices, kind))
    try:
        devices.show_device(device, index)
    except ConfigError as error:
        print(error)
    else:
        print(shown)
"""


@pytest.mark.long
def test_the_device_is_the_only_one_shown():
    cases = [
        (("auto", 0, 2), "[]"),
        (("cpu", 0, 2), "[([], 'GPU')]"),
        (("gpu", 0, 2), "[('gpu 0', 'GPU')]"),
        (("gpu", 1, 2), "[('gpu 1', 'GPU')]"),
        (("gpu", 2, 2), "--device_index=2 does not exist: TensorFlow sees 2 GPUs, 0 to 1"),
        (("gpu", 0, 0), "0 GPUs; install its CUDA libraries with pip install 'tensorflow[and-cud"),
    ]
    program = [sys.executable, "-c", PROGRAM, json.dumps([case for case, _ in cases])]
    lines = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    for (case, wanted), found in zip(cases, lines, strict=True):
        assert wanted in found, case


@pytest.fixture
def nondeterministic():
    """The process as a notebook has it, whatever other tests left."""
    from tensorflow.python.framework import config

    was_enabled = config.is_op_determinism_enabled()
    config.disable_op_determinism()
    yield config.is_op_determinism_enabled
    if was_enabled:
        tf.config.experimental.enable_op_determinism()


def test_determinism_ends_with_the_training(nondeterministic):
    with deterministic_operations(False):
        assert not nondeterministic()
    with pytest.raises(KeyError), deterministic_operations(True):  # noqa: PT012
        assert nondeterministic()
        with deterministic_operations(True):
            pass
        assert nondeterministic()
        raise KeyError
    assert not nondeterministic()
    tf.random.normal([2])  # Would raise under op determinism: it has no seed.


def test_determinism_that_the_user_chose_stays(nondeterministic):
    tf.config.experimental.enable_op_determinism()
    with deterministic_operations(True):
        pass
    assert nondeterministic()


@pytest.mark.long
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
    assert "--device_index=77 does not exist" in failed.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\nbugs\t: amx_bf16\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
    ],
)
def test_instructions_for_bfloat16_are_read_from_the_systems_description(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16_instructions(str(tmp_path / "cpuinfo")) is expected
    assert not has_bfloat16_instructions(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("settings", "is_native", "capability", "expected"),
    [
        ({}, True, None, "bfloat16"),
        ({}, False, None, "float32"),
        ({"network": "mlp"}, True, None, "float32"),
        ({"network": "mlp"}, False, (9, 0), "bfloat16"),
        ({}, True, (7, 5), "float32"),
        ({"device": "cpu"}, False, (9, 0), "float32"),
        ({"distribution_strategy": "tpu", "tpu": "local"}, False, None, "bfloat16"),
        ({"precision": "float16"}, True, (9, 0), "float16"),
    ],
)
def test_auto_is_bfloat16_where_the_device_computes_in_it(
    settings, is_native, capability, expected, monkeypatch
):
    monkeypatch.setattr(devices, "has_bfloat16_instructions", lambda: is_native)
    gpus = [] if capability is None else ["gpu"]
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": capability},
    )
    config = Config.from_flat({"precision": "auto", **settings})
    assert choose_precision(config) == expected


def test_auto_keeps_what_a_run_began_with(monkeypatch):
    monkeypatch.setattr(devices, "has_bfloat16_instructions", lambda: True)
    config = Config.from_flat({"precision": "auto"})
    assert choose_precision(config, kept="float32") == "float32"
