import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training import devices
from vae_lowlevel.training.devices import (
    choose_batch_parts,
    choose_call_steps,
    choose_compilation,
)


@pytest.mark.parametrize(
    ("settings", "device", "replicas", "compilation"),
    [
        ({"network": "conv"}, "CPU", 1, "none"),
        ({"network": "mlp"}, "CPU", 1, "block"),
        ({"network": "resnet"}, "CPU", 1, "none"),
        ({"network": "conv"}, "CPU", 2, "none"),
        ({"network": "mlp"}, "CPU", 2, "gradients"),
        ({"network": "conv"}, "GPU", 1, "block"),
        ({"network": "resnet"}, "GPU", 1, "block"),
        ({"network": "mlp"}, "GPU", 8, "gradients"),
        # By the strategy itself.
        ({"network": "conv"}, "TPU", 8, "none"),
        ({"network": "conv", "jit_compile": "true"}, "CPU", 1, "block"),
        ({"network": "resnet", "jit_compile": "true"}, "CPU", 1, "gradients"),
        ({"network": "mlp", "jit_compile": "false"}, "CPU", 1, "none"),
        ({"network": "mlp", "jit_compile": "false"}, "GPU", 2, "none"),
        ({"network": "mlp", "batch_parts": 2}, "CPU", 1, "none"),
        ({"network": "mlp", "batch_parts": 2, "jit_compile": "true"}, "CPU", 1, "block"),
        ({"network": "mlp", "batch_parts": 2}, "GPU", 1, "block"),
    ],
)
def test_auto_compiles_where_measured_faster(settings, device, replicas, compilation):
    assert choose_compilation(Config.from_flat(settings), device, replicas) == compilation


BATCH_MEANS = [{"free_bits": 0.1}, {"capacity": 5.0}, {"model": "sparse_autoencoder"}]


@pytest.mark.parametrize("settings", BATCH_MEANS, ids=str)
def test_losses_with_batch_means_are_not_compiled_on_several_cpus(settings):
    config = Config.from_flat({"network": "mlp", **settings})
    assert choose_compilation(config, "CPU", replicas=2) == "none"
    assert choose_compilation(config, "CPU", replicas=1) == "block"
    assert choose_compilation(config, "GPU", replicas=2) == "gradients"
    with pytest.raises(ConfigError, match="on 2 CPU replicas; use --jit_compile=auto"):
        choose_compilation(config.replace(jit_compile="true"), "CPU", replicas=2)


@pytest.mark.parametrize(
    ("settings", "compilation", "steps"),
    [
        ({}, "none", 1),
        ({}, "gradients", 1),
        ({}, "block", 100),
        ({"precision": "bfloat16"}, "none", 100),
        ({"deterministic": False}, "none", 100),
        ({"steps_per_loop": 7, "precision": "bfloat16"}, "none", 7),
    ],
)
def test_float32_without_xla_takes_one_step_a_call(settings, compilation, steps):
    assert choose_call_steps(Config.from_flat(settings), "CPU", compilation) == steps


@pytest.mark.parametrize(
    ("settings", "cores", "parts"),
    [
        ({"network": "conv"}, 2, 2),
        ({"network": "resnet"}, 4, 4),
        ({"network": "conv"}, 1, 1),
        # 16 rows per part or more.
        ({"network": "conv", "batch_size": 100}, 8, 6),
        ({"network": "conv", "batch_size": 10}, 8, 1),
        # XLA's one program is faster.
        ({"network": "mlp"}, 8, 1),
        ({"network": "mlp", "batch_size": 500}, 2, 1),
        # But not than parts of 256 rows.
        ({"network": "mlp", "batch_size": 512}, 2, 2),
        ({"network": "mlp", "batch_size": 512}, 1, 1),
        ({"network": "mlp", "batch_size": 512}, 4, 1),
        ({"network": "mlp", "batch_size": 512, "jit_compile": "true"}, 2, 1),
        ({"network": "mlp", "precision": "bfloat16"}, 2, 2),
        ({"network": "mlp", "jit_compile": "false"}, 2, 2),
        ({"network": "conv", "jit_compile": "true"}, 2, 1),
        # The replicas are parts already.
        ({"network": "conv", "distribution_strategy": "mirrored"}, 2, 1),
        ({"network": "conv", "batch_parts": 3}, 8, 3),
        ({"network": "mlp", "batch_parts": 1}, 8, 1),
    ],
)
def test_a_batch_has_one_part_per_core_where_that_is_faster(monkeypatch, settings, cores, parts):
    monkeypatch.setattr(devices, "count_cores", lambda: cores)
    config = Config.from_flat(settings)
    assert choose_batch_parts(config) == parts
    assert choose_batch_parts(config.replace(batch_parts=parts)) == parts


@pytest.mark.parametrize("kept", [0, 4])
def test_a_gpu_processes_a_batch_as_a_whole(monkeypatch, kept):
    monkeypatch.setattr(devices, "visible_device_type", lambda: "GPU")
    config = Config.from_flat({"network": "conv"})
    assert choose_batch_parts(config, kept) == 1
    monkeypatch.setattr(devices, "count_cores", lambda: 2)
    assert choose_batch_parts(config.replace(device="cpu"), kept) == (kept or 2)


def test_the_number_with_which_a_run_began_is_kept_where_there_are_parts(monkeypatch):
    monkeypatch.setattr(devices, "count_cores", lambda: 2)
    conv = Config.from_flat({"network": "conv"})
    assert choose_batch_parts(conv, 4) == 4
    assert choose_batch_parts(conv.replace(batch_parts=3), 4) == 3
    assert choose_batch_parts(conv.replace(distribution_strategy="mirrored"), 4) == 1
    assert choose_batch_parts(conv.replace(jit_compile="true"), 4) == 1
    # A run that began as one program of XLA stays one, whatever the machine.
    assert choose_batch_parts(Config.from_flat({"network": "mlp", "batch_size": 512}), 1) == 1


def test_float32_operations_of_one_thread_repeat_in_a_loop(monkeypatch):
    monkeypatch.setattr(devices.tf.config.threading, "get_intra_op_parallelism_threads", lambda: 1)
    assert choose_call_steps(Config.from_flat({}), "CPU", "none") == 100
