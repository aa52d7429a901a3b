"""Sets TensorFlow's runtime up, before anything of it is used."""

from __future__ import annotations

import contextlib
import os

import tensorflow as tf

from vae_lowlevel.config import TrainingConfig


def configure_runtime(config: TrainingConfig) -> None:
    """Sets threads, determinism and GPU memory, as far as nothing of TensorFlow is used yet.

    In a process where it is, such as a notebook, threads and memory stay as that process has them.

    Two operations a core at once gain about a tenth on small convolutions, whose kernels leave
    cores idle between them.
    """
    inter_op = config.inter_op_threads or 2 * (os.cpu_count() or 1)
    # RuntimeError: the runtime has started, and takes these settings no more.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)
        tf.config.threading.set_intra_op_parallelism_threads(config.intra_op_threads)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def device_type() -> str:
    """Returns what training runs on: "GPU" if TensorFlow sees one, else "CPU"."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
