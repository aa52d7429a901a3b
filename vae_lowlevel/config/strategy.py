"""Settings of several GPUs, machines and TPUs."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import check, option
from vae_lowlevel.errors import ConfigError

STRATEGIES = ("one_device", "mirrored", "multi_worker_mirrored", "tpu")
CLUSTER_RESOLVERS = ("tf_config", "slurm", "kubernetes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StrategyConfig:
    """Several GPUs, machines and TPUs."""

    distribution_strategy: str = option(
        "one_device",
        "How training is distributed; batch_size is the total over all replicas. mirrored: over "
        "the GPUs of this machine. multi_worker_mirrored: over several machines, with one process "
        "per machine. tpu: over the cores of a TPU.",
        choices=STRATEGIES,
        resume="numerics",
    )
    num_gpus: int | None = option(
        None,
        "mirrored, multi_worker_mirrored: number of GPUs of this machine (default: all).",
        at_least=1,
        resume="numerics",
    )
    tpu: str | None = option(
        None,
        "tpu: local for a TPU of this machine, or the name or grpc:// address of another one.",
        resume="numerics",
    )
    cluster_resolver: str = option(
        "tf_config",
        "multi_worker_mirrored: source of the addresses of the workers. tf_config: the environment "
        "variable TF_CONFIG. slurm: the environment variables that srun sets. kubernetes: an "
        "Indexed Job with a headless service.",
        choices=CLUSTER_RESOLVERS,
        resume="free",
    )
    num_workers: int | None = option(
        None,
        "kubernetes: number of pods of the job.",
        at_least=1,
        at_most=2**16,
        resume="numerics",
    )
    kubernetes_service: str | None = option(
        None, "kubernetes: name of the headless service of the job.", resume="free"
    )
    worker_port: int = option(
        8888,
        "slurm, kubernetes: port of a worker; further workers on the same machine use the next "
        "ports.",
        at_least=1,
        below=2**16,
        resume="free",
    )

    def __post_init__(self) -> None:
        check(self)
        strategy = self.distribution_strategy
        if self.num_gpus is not None and strategy not in ("mirrored", "multi_worker_mirrored"):
            raise ConfigError(
                f"--num_gpus={self.num_gpus} requires --distribution_strategy=mirrored or "
                f"multi_worker_mirrored, got {strategy}"
            )
        if (self.tpu is not None) != (strategy == "tpu"):
            raise ConfigError(
                "--distribution_strategy=tpu and --tpu=<local or name> require each other, got "
                f"--distribution_strategy={strategy} and --tpu={self.tpu}"
            )
        is_kubernetes = self.cluster_resolver == "kubernetes"
        if self.cluster_resolver != "tf_config" and strategy != "multi_worker_mirrored":
            raise ConfigError(
                f"--cluster_resolver={self.cluster_resolver} requires --distribution_strategy="
                f"multi_worker_mirrored, got {strategy}"
            )
        for name in ("num_workers", "kubernetes_service"):
            if (getattr(self, name) is not None) != is_kubernetes:
                raise ConfigError(
                    f"--{name} and --cluster_resolver=kubernetes require each other, got "
                    f"--{name}={getattr(self, name)} and --cluster_resolver={self.cluster_resolver}"
                )
