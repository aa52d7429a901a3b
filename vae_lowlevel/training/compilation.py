"""What is compiled, and how many steps one call to the device runs."""

from __future__ import annotations

from typing import Literal

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError

# Nothing; forward and backward pass of a replica; all steps of a call in one program.
Compilation = Literal["none", "gradients", "block"]


def choose_compilation(config: Config, device: str, replicas: int = 1) -> Compilation:
    """Returns what of training XLA compiles.

    One GPU: the block. Several GPUs: the gradients of each, all-reduce and update outside. A TPU's
    strategy compiles all that a replica does by itself.

    On a CPU, convolutions run faster through oneDNN than through XLA; chains of small dense layers
    gain most from one compiled program.

    Args:
        config: the run's settings.
        device: "CPU", "GPU" or "TPU".
        replicas: on how many of them.

    Raises:
        ConfigError: XLA was asked for, and cannot compile this.
    """
    wanted, network = config.training.jit_compile, config.model.network
    if wanted == "false" or device == "TPU":
        return "none"
    # XLA for CPUs has no all-reduce, which these losses need in the middle of the forward pass.
    if device == "CPU" and replicas > 1 and config.has_batch_means:
        if wanted == "true":
            raise ConfigError(
                f"--jit_compile=true: XLA cannot compile --free_bits, --capacity or --model="
                f"sparse_autoencoder on {replicas} CPU replicas; take --jit_compile=auto"
            )
        return "none"
    if wanted == "auto" and device == "CPU" and network != "mlp":
        return "none"
    # The block of a residual network takes XLA for CPUs minutes to compile.
    if replicas > 1 or (device == "CPU" and network == "resnet"):
        return "gradients"
    return "block"


def choose_call_steps(config: Config, device: str, compilation: Compilation) -> int:
    """Returns how many steps one call to the device runs, at most `steps_per_loop`.

    TensorFlow 2.21 on a CPU does not repeat a float32 loop of steps bit for bit unless XLA compiled
    it; one call a step does, at a cost of up to 5%. bfloat16 loops repeat.

    Args:
        config: the run's settings.
        device: "CPU", "GPU" or "TPU".
        compilation: what XLA compiles.
    """
    is_bfloat16 = config.model.precision == "bfloat16"
    repeats = compilation == "block" or device != "CPU" or is_bfloat16
    if config.training.deterministic and not repeats:
        return 1
    return config.training.steps_per_loop
