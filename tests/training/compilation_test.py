import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training.compilation import choose_call_steps, choose_compilation


@pytest.mark.parametrize(
    ("settings", "device", "compiled"),
    [
        ({"network": "conv"}, "CPU", False),
        ({"network": "mlp"}, "CPU", True),
        ({"network": "conv"}, "GPU", True),
        ({"network": "conv", "jit_compile": "true"}, "CPU", True),
        ({"network": "mlp", "jit_compile": "false"}, "CPU", False),
    ],
)
def test_auto_compiles_where_measured_faster(settings, device, compiled):
    assert choose_compilation(Config.from_flat(settings), device) is compiled


BATCH_MEANS = [{"free_bits": 0.1}, {"capacity": 5.0}, {"model": "sparse_autoencoder"}]


@pytest.mark.parametrize("settings", BATCH_MEANS, ids=str)
def test_losses_with_batch_means_are_not_compiled_on_several_cpus(settings):
    config = Config.from_flat({"network": "mlp", **settings})
    assert not choose_compilation(config, "CPU", replicas=2)
    assert choose_compilation(config, "CPU", replicas=1)
    assert choose_compilation(config, "GPU", replicas=2)
    with pytest.raises(ConfigError, match="on 2 CPU replicas; take --jit_compile=auto"):
        choose_compilation(config.replace(jit_compile="true"), "CPU", replicas=2)


@pytest.mark.parametrize(
    ("settings", "is_compiled", "steps"),
    [
        ({}, False, 1),
        ({}, True, 100),
        ({"precision": "bfloat16"}, False, 100),
        ({"deterministic": False}, False, 100),
        ({"steps_per_loop": 7, "precision": "bfloat16"}, False, 7),
    ],
)
def test_float32_without_xla_takes_one_step_a_call(settings, is_compiled, steps):
    assert choose_call_steps(Config.from_flat(settings), "CPU", is_compiled) == steps
