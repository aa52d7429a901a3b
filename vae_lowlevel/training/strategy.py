"""The strategy that places a run on its devices."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.config import StrategyConfig
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training.cluster import find_cluster
from vae_lowlevel.training.devices import INSTALL_GPU
from vae_lowlevel.training.rendezvous import JOIN_SECONDS, exit_after, wait_for_workers
from vae_lowlevel.training.workers import Workers


def join_workers(config: StrategyConfig) -> Workers:
    """Finds the processes that train together and builds the strategy that spans their devices.

    Everything of a run is built inside the strategy's scope and every step goes through its `run`.
    Call it before TensorFlow does anything else: a cluster is joined when the runtime starts, which
    waits for all workers.

    Args:
        config: of the run.

    Raises:
        ConfigError: devices or workers are missing.
    """
    kind = config.distribution_strategy
    if kind == "mirrored":
        return Workers(_build_mirrored(config.num_gpus))
    if kind == "multi_worker_mirrored":
        return _join_cluster(config)
    if kind == "tpu":
        return Workers(_build_tpu(config.tpu))
    return Workers(tf.distribute.get_strategy())


def place_on_replicas(strategy: tf.distribute.Strategy, array: np.ndarray) -> Any:
    """Copies an array to the device of each replica of this process, where it stays."""
    if strategy.num_replicas_in_sync == 1:
        return tf.constant(array)
    if isinstance(strategy, tf.distribute.TPUStrategy):
        # Anything but a variable would be copied from the host to the TPU at every step.
        with strategy.scope():
            return tf.Variable(array, trainable=False)

    def place(context: tf.distribute.ValueContext) -> tf.Tensor:
        replicas = len(strategy.extended.worker_devices)
        local = context.replica_id_in_sync_group % replicas
        with tf.device(strategy.extended.worker_devices[local]):
            return tf.identity(tf.constant(array))

    return strategy.experimental_distribute_values_from_function(place)


def check_batch_size(batch_size: int, replicas: int, accumulate_steps: int) -> None:
    """Checks that every replica can have the same number of examples.

    Raises:
        ConfigError: the batch size is not a multiple.
    """
    if batch_size % (replicas * accumulate_steps):
        raise ConfigError(
            f"--batch_size={batch_size} is over all {replicas} replicas and "
            f"--accumulate_steps={accumulate_steps}, so it must be a multiple of "
            f"{replicas * accumulate_steps}"
        )


def _take_gpus(num_gpus: int | None) -> int:
    """Makes the first `num_gpus` GPUs visible to TensorFlow, or all; returns how many."""
    gpus = tf.config.get_visible_devices("GPU")
    if num_gpus is None:
        return len(gpus)
    if num_gpus > len(gpus):
        raise ConfigError(f"--num_gpus={num_gpus}: TensorFlow sees {len(gpus)}; {INSTALL_GPU}")
    tf.config.set_visible_devices(gpus[:num_gpus], "GPU")
    return num_gpus


def _build_mirrored(num_gpus: int | None) -> tf.distribute.Strategy:
    gpus = _take_gpus(num_gpus)
    if gpus:
        return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(gpus)])
    cpus = tf.config.list_logical_devices("CPU")
    # Several collectives in one step, between logical CPUs of one process, mix up their messages.
    return tf.distribute.MirroredStrategy(
        [cpu.name for cpu in cpus], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def _join_cluster(config: StrategyConfig) -> Workers:
    cluster = find_cluster(config, os.environ)
    gpus = _take_gpus(config.num_gpus)
    count = len(cluster.addresses)
    wait_for_workers(cluster.addresses, cluster.index)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
        num_accelerators={"GPU": gpus} if gpus else {},
    )
    lost = (
        f"error: worker {cluster.index} of {count} lost another one while they joined each other. "
        "Start all of them again with the same command"
    )
    with exit_after(JOIN_SECONDS, lost):
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    return Workers(strategy, cluster.index, count)


def _build_tpu(name: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise ConfigError(
            f"--tpu={name}: expected a TPU that TensorFlow can reach (local on a TPU VM, with the "
            "TensorFlow build for TPUs; otherwise its name or grpc:// address), found: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
