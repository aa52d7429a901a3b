import pytest

from vae_lowlevel.config import Config
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
