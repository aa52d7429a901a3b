"""What is compiled, and how many steps one call to the device runs."""

from __future__ import annotations

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError


def choose_compilation(config: Config, device: str, replicas: int = 1) -> bool:
    """Returns whether training is compiled with XLA.

    On a CPU, convolutions run faster through oneDNN than through XLA; chains of small dense layers
    gain from one compiled program.

    Args:
        config: the run's settings.
        device: "CPU", "GPU" or "TPU".
        replicas: on how many of them.

    Raises:
        ConfigError: XLA was asked for, and cannot compile this.
    """
    # XLA for CPUs has no all-reduce, which these losses need in the middle of the forward pass.
    is_impossible = device == "CPU" and replicas > 1 and config.has_batch_means
    if is_impossible and config.training.jit_compile == "true":
        raise ConfigError(
            f"--jit_compile=true: XLA cannot compile --free_bits, --capacity or --model="
            f"sparse_autoencoder on {replicas} CPU replicas; take --jit_compile=auto"
        )
    if is_impossible:
        return False
    if config.training.jit_compile != "auto":
        return config.training.jit_compile == "true"
    return device != "CPU" or config.model.network == "mlp"


def choose_call_steps(config: Config, device: str, is_compiled: bool) -> int:
    """Returns how many steps one call to the device runs, at most `steps_per_loop`.

    TensorFlow 2.21 on a CPU does not repeat a float32 loop of steps bit for bit unless XLA compiled
    it; one call a step does, at a cost of up to 5%. bfloat16 loops repeat.

    Args:
        config: the run's settings.
        device: "CPU", "GPU" or "TPU".
        is_compiled: whether XLA compiles the loop.
    """
    repeats = is_compiled or device != "CPU" or config.model.precision == "bfloat16"
    if config.training.deterministic and not repeats:
        return 1
    return config.training.steps_per_loop
