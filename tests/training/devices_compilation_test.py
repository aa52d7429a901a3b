import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training.devices import choose_call_steps, choose_compilation


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
