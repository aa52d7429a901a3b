"""Sets TensorFlow's runtime up, before anything of it is used."""

from __future__ import annotations

import contextlib
import os

import tensorflow as tf

from vae_lowlevel.config import TrainingConfig
from vae_lowlevel.errors import ConfigError

INSTALL_GPU = "install its CUDA libraries with pip install 'tensorflow[and-cuda]', and a GPU driver"


def configure_runtime(config: TrainingConfig) -> None:
    """Sets device, threads, determinism and GPU memory, while nothing of TensorFlow is used.

    In a process where it is, such as a notebook, threads and memory stay as that process has them.

    Two operations a core at once gain about a tenth on small convolutions, whose kernels leave
    cores idle between them.

    Raises:
        ConfigError: the device is not there, or can no longer be chosen.
    """
    show_device(config.device, config.device_index)
    inter_op = config.inter_op_threads or 2 * (os.cpu_count() or 1)
    # RuntimeError: the runtime has started, and takes these settings no more.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)
        tf.config.threading.set_intra_op_parallelism_threads(config.intra_op_threads)
        for device in tf.config.get_visible_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def show_device(device: str, index: int = 0) -> None:
    """Leaves TensorFlow the named device; the CPU, which feeds the others, is always there.

    Args:
        device: "auto" (all there are), "cpu" or "gpu".
        index: which GPU.

    Raises:
        ConfigError: the device is not there, or TensorFlow has started with others.
    """
    if device == "auto":
        return
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and index >= len(gpus):
        raise ConfigError(
            f"--device=gpu --device_index={index} is not there: TensorFlow sees {len(gpus)} GPUs"
            + (f", 0 to {len(gpus) - 1}" if gpus else f"; {INSTALL_GPU}, or use --device=cpu")
        )
    try:
        tf.config.set_visible_devices(gpus[index] if device == "gpu" else [], "GPU")
    except RuntimeError as error:
        raise ConfigError(
            f"--device={device}: TensorFlow runs with others already; choose in a new process"
        ) from error


def device_type(strategy: tf.distribute.Strategy) -> str:
    """Returns what training runs on: "TPU" by the strategy, "GPU" if one is shown, else "CPU"."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "TPU"
    return "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
