"""Which processes train together: read from what their launcher tells each of them.

TensorFlow is imported only to expand Slurm's list of machines, when everything else is right.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from vae_lowlevel.config import StrategyConfig
from vae_lowlevel.config.fields import quote
from vae_lowlevel.errors import ConfigError

_TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["host0:8888", "host1:8888"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
        addresses: host:port of each, in one order everywhere; the first is the chief.
        index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int


def find_cluster(config: StrategyConfig, environment: Mapping[str, str]) -> Cluster:
    """Finds the workers by the resolver that `cluster_resolver` names.

    Args:
        config: which resolver, and its settings.
        environment: variables of this process.

    Raises:
        ConfigError: a variable is missing or damaged, or does not describe workers.
    """
    if config.cluster_resolver == "slurm":
        return _read_slurm(config.worker_port, environment)
    if config.cluster_resolver == "kubernetes":
        return _read_kubernetes(config, environment)
    return _read_tf_config(environment)


def _read_tf_config(environment: Mapping[str, str]) -> Cluster:
    text = environment.get("TF_CONFIG")
    if not text:
        raise ConfigError(
            "--distribution_strategy=multi_worker_mirrored needs the variable TF_CONFIG in each "
            f"process, such as {_TF_CONFIG_EXAMPLE}, or --cluster_resolver=slurm or kubernetes"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _tf_config_error("JSON", f"{error} in {quote(text)}") from error
    cluster, task = _entry(content, "cluster", dict), _entry(content, "task", dict)
    if set(cluster) - {"chief", "worker"} or not cluster:
        raise _tf_config_error("jobs worker, or chief and worker, in cluster", sorted(cluster))
    if "chief" in cluster and len(_entry(cluster, "chief", list)) != 1:
        raise _tf_config_error("one chief", cluster["chief"])
    jobs = [(job, cluster[job]) for job in ("chief", "worker") if job in cluster]
    tasks = [(job, index) for job, _ in jobs for index in range(len(_entry(cluster, job, list)))]
    addresses = [address for _, of_job in jobs for address in of_job]
    for address in addresses:
        match = isinstance(address, str) and re.fullmatch(r"[^\s:/]+:(\d{1,5})", address)
        if not match or not 0 < int(match[1]) < 2**16:
            raise _tf_config_error("addresses host:port", address)
    if len(set(addresses)) != len(addresses):
        raise _tf_config_error("each address once", addresses)
    own = (task.get("type"), task.get("index"))
    if own not in tasks:
        raise _tf_config_error(f"task type and index to be one of {tasks}", own)
    return Cluster(tuple(addresses), tasks.index(own))


def _entry(content: Any, name: str, kind: type) -> Any:
    if not isinstance(content, dict) or not isinstance(content.get(name), kind):
        raise _tf_config_error(f"an entry {name} of type {kind.__name__}", content)
    return content[name]


def _tf_config_error(expected: str, found: Any) -> ConfigError:
    return ConfigError(
        f"TF_CONFIG: expected {expected}, found {_shown(found)}. It looks like {_TF_CONFIG_EXAMPLE}"
    )


def _shown(found: Any) -> str:
    return quote(found) if not isinstance(found, str) else quote(found)[1:-1]


def _read_slurm(port: int, environment: Mapping[str, str]) -> Cluster:
    names = ("PROCID", "STEP_NUM_TASKS", "STEP_NODELIST", "STEP_TASKS_PER_NODE")
    missing = [f"SLURM_{name}" for name in names if f"SLURM_{name}" not in environment]
    if missing:
        raise ConfigError(
            f"--cluster_resolver=slurm: {', '.join(missing)} not set; start the workers with srun, "
            "one task per worker"
        )
    numbers = {name: environment[f"SLURM_{name}"] for name in ("STEP_NUM_TASKS", "PROCID")}
    tasks, process = (int(n) if re.fullmatch(r"\d{1,5}", n) else -1 for n in numbers.values())
    if not 0 <= process < tasks:
        raise ConfigError(
            "--cluster_resolver=slurm: expected SLURM_PROCID below SLURM_STEP_NUM_TASKS, found "
            f"{numbers}"
        )
    import tensorflow as tf

    try:
        # One pretended GPU per task: the resolver counts tasks by GPUs. srun assigns the real ones.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            "--cluster_resolver=slurm: SLURM_STEP_NODELIST and SLURM_STEP_TASKS_PER_NODE do not "
            f"describe {tasks} tasks: {error}"
        ) from error
    if any(int(address.rpartition(":")[2]) >= 2**16 for address in addresses):
        raise ConfigError(
            f"--worker_port={port}: each task of a machine has the next port, and the last of "
            f"{tasks} tasks would have one above 65535"
        )
    return Cluster(tuple(addresses), resolver.task_id)


def _read_kubernetes(config: StrategyConfig, environment: Mapping[str, str]) -> Cluster:
    """Builds the addresses that a headless service gives the pods of an Indexed Job."""
    index, host = environment.get("JOB_COMPLETION_INDEX"), environment.get("HOSTNAME", "")
    job = host.removesuffix(f"-{index}")
    is_index = bool(re.fullmatch(r"\d{1,5}", index or "")) and int(index) < config.num_workers
    if not is_index or job == host:
        raise ConfigError(
            "--cluster_resolver=kubernetes: expected JOB_COMPLETION_INDEX below "
            f"--num_workers={config.num_workers} and HOSTNAME=<job>-<index>, as a pod of a Job "
            f"with completionMode: Indexed has them, found {quote(index)} and {quote(host)}"
        )
    return Cluster(
        tuple(
            f"{job}-{worker}.{config.kubernetes_service}:{config.worker_port}"
            for worker in range(config.num_workers)
        ),
        int(index),
    )
