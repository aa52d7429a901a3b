"""Devices of a run: TensorFlow's runtime, what XLA compiles, and how many steps one call runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import tensorflow as tf

# Not public: TensorFlow offers to enable op determinism, but neither to ask nor to disable it.
from tensorflow.python.framework import config as framework_config

from vae_lowlevel.config import Config, TrainingConfig
from vae_lowlevel.errors import ConfigError

# What was measured; small matrix products are slow.
FEWEST_PART_ROWS = 16
# From this size on, the parts of a float32 mlp are faster than one program of XLA.
FEWEST_UNCOMPILED_ROWS = 256

INSTALL_GPU = "install its CUDA libraries with pip install 'tensorflow[and-cuda]', and a GPU driver"


def configure_runtime(config: TrainingConfig, batch_parts: int = 1) -> None:
    """Sets device, threads and GPU memory, before TensorFlow starts its runtime.

    In a process where the runtime has started, such as a notebook, threads and memory stay as that
    process has them.

    Two operations per core at once gain about a tenth on small convolutions, whose kernels leave
    cores idle between them. Parts of a batch share the cores: an operation of one part does not
    spread over the cores of the others.

    Args:
        config: devices and threads.
        batch_parts: number of parts of a batch that are processed at the same time.

    Raises:
        ConfigError: the device does not exist, or can no longer be chosen.
    """
    show_device(config.device, config.device_index)
    cores = count_cores()
    inter_op, intra_op = 2 * cores, 0
    if batch_parts > 1:
        inter_op, intra_op = cores, max(1, cores // batch_parts)
    inter_op = config.inter_op_threads or inter_op
    intra_op = config.intra_op_threads or intra_op
    # RuntimeError: the runtime has started and no longer accepts these settings.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
        for device in tf.config.get_visible_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)


def count_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not on macOS.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_batch_parts(config: Config, kept: int = 0) -> int:
    """Returns the number of parts in which a batch is processed.

    Where many operations follow each other, cores lose time at the start and the end of each; a
    core that processes its own part of the batch does not wait for the others. What is faster as
    one program of XLA, such as small batches of an mlp, GPUs and several replicas process a batch
    as a whole.

    Args:
        config: of the run; its own `batch_parts` counts first.
        kept: the number with which the run began; 0 if it has not begun.
    """
    training = config.training
    if training.batch_parts:
        return training.batch_parts
    # Before the runtime is configured, a machine's GPUs are visible with device=cpu too.
    is_cpu = training.device == "cpu" or visible_device_type() == "CPU"
    if config.strategy.distribution_strategy != "one_device" or not is_cpu:
        return 1
    cores = count_cores()
    is_small = training.batch_size < cores * FEWEST_UNCOMPILED_ROWS
    prefers_xla = config.model.precision == "float32" and is_small and not kept
    may_compile = training.jit_compile == "true" or prefers_xla
    if may_compile and choose_compilation(config, "CPU") != "none":
        return 1
    return kept or max(1, min(cores, training.batch_size // FEWEST_PART_ROWS))


def choose_precision(config: Config, kept: str = "") -> str:
    """Returns the number format of the hidden layers.

    bfloat16 where the device computes in it. A processor without such instructions converts every
    number, which makes convolutions about ten times slower than in float32. XLA, which is
    faster for dense networks on a CPU, has no products of bfloat16 there.

    Args:
        config: of the run; its own `precision` counts first, unless it is auto.
        kept: the format with which the run began; empty if it has not begun.
    """
    if config.model.precision != "auto":
        return config.model.precision
    if kept:
        return kept
    training = config.training
    if config.strategy.distribution_strategy == "tpu":
        return "bfloat16"
    gpus = [] if training.device == "cpu" else tf.config.get_visible_devices("GPU")
    if gpus:
        details = map(tf.config.experimental.get_device_details, gpus)
        is_fast = all(found.get("compute_capability", (0, 0)) >= (8, 0) for found in details)
    else:
        is_fast = config.model.network != "mlp" and has_bfloat16_instructions()
    return "bfloat16" if is_fast else "float32"


def has_bfloat16_instructions(cpu_info: str = "/proc/cpuinfo") -> bool:
    """Returns whether the processor multiplies bfloat16 numbers: AVX-512 BF16 or AMX.

    Args:
        cpu_info: Linux's description of the processors. Where there is none, the answer is no.
    """
    with contextlib.suppress(FileNotFoundError), open(cpu_info, encoding="utf-8") as file:
        for line in file:
            name, _, flags = line.partition(":")
            if name.strip() == "flags":
                return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())
    return False


@contextlib.contextmanager
def deterministic_operations(enabled: bool) -> Iterator[None]:
    """Makes TensorFlow's operations repeatable within its body, and restores the process after it.

    The switch is process-wide: left on, the user's own unseeded `tf.random` would raise.

    Args:
        enabled: False changes nothing.
    """
    if not enabled or framework_config.is_op_determinism_enabled():
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        framework_config.disable_op_determinism()


def show_device(device: str, index: int = 0) -> None:
    """Shows TensorFlow the named device only; the CPU, which feeds the others, is always visible.

    Args:
        device: "auto" (all devices), "cpu" or "gpu".
        index: which GPU.

    Raises:
        ConfigError: the device does not exist, or TensorFlow has started with others.
    """
    if device == "auto":
        return
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and index >= len(gpus):
        raise ConfigError(
            f"--device=gpu --device_index={index} does not exist: TensorFlow sees {len(gpus)} GPUs"
            + (f", 0 to {len(gpus) - 1}" if gpus else f"; {INSTALL_GPU}, or use --device=cpu")
        )
    try:
        tf.config.set_visible_devices(gpus[index] if device == "gpu" else [], "GPU")
    except RuntimeError as error:
        raise ConfigError(
            f"--device={device}: TensorFlow already runs with others; use a new process"
        ) from error


def device_type(strategy: tf.distribute.Strategy) -> str:
    """Returns what training runs on: "TPU", "GPU" if one is visible, or "CPU"."""
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return "TPU" if is_tpu else visible_device_type()


def visible_device_type() -> str:
    """Returns what a process without a strategy computes on: "GPU" if one is visible, or "CPU"."""
    return "GPU" if tf.config.get_visible_devices("GPU") else "CPU"


# Nothing; the forward and backward pass of a replica; all steps of a call as one program.
Compilation = Literal["none", "gradients", "block"]


def choose_compilation(config: Config, device: str, replicas: int = 1) -> Compilation:
    """Returns which part of training XLA compiles.

    One GPU: the block. Several GPUs: the gradients of each, with all-reduce and update outside. A
    TPU: the strategy itself compiles the whole step of a replica.

    On a CPU, convolutions run faster through oneDNN than through XLA; chains of small dense layers
    gain most from one compiled program, which does not run parts of a batch at the same time.

    Args:
        config: the run's settings.
        device: "CPU", "GPU" or "TPU".
        replicas: number of devices.

    Raises:
        ConfigError: `jit_compile` is true and XLA cannot compile this.
    """
    wanted, network = config.training.jit_compile, config.model.network
    if wanted == "false" or device == "TPU":
        return "none"
    # These losses need an all-reduce in the forward pass, which XLA for CPUs does not have.
    if device == "CPU" and replicas > 1 and config.has_batch_means:
        if wanted == "true":
            raise ConfigError(
                "--jit_compile=true: XLA cannot compile --free_bits, --capacity, --objective=tcvae "
                f"or --model=sparse_autoencoder on {replicas} CPU replicas; use --jit_compile=auto"
            )
        return "none"
    if wanted == "auto" and device == "CPU" and (network != "mlp" or config.training.parts > 1):
        return "none"
    # XLA for CPUs needs minutes to compile the block of a residual network.
    if replicas > 1 or (device == "CPU" and network == "resnet"):
        return "gradients"
    return "block"


def choose_call_steps(config: Config, device: str, compilation: Compilation) -> int:
    """Returns how many steps one call to the device runs, at most `steps_per_loop`.

    On a CPU, TensorFlow 2.21 does not repeat a float32 loop of steps bit for bit if several threads
    share an operation, unless XLA compiled it; with one call per step it does, at a cost of up to
    5%. bfloat16 loops repeat.

    Args:
        config: the run's settings.
        device: "CPU", "GPU" or "TPU".
        compilation: what XLA compiles.
    """
    repeats = (
        compilation == "block"
        or device != "CPU"
        or config.model.precision == "bfloat16"
        or tf.config.threading.get_intra_op_parallelism_threads() == 1
    )
    if config.training.deterministic and not repeats:
        return 1
    return config.training.steps_per_loop
