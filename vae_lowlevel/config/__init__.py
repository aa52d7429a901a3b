"""The settings of a run: frozen, checked dataclasses. No TensorFlow, so that errors come at once.

Each field is also the flag of that name; `Config.from_flat` and `Config.to_flat` go between the
groups and the flat names. A group, one a file, checks its own values; `Config` checks what two
groups have to agree on.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from vae_lowlevel import files
from vae_lowlevel.config.data import DataConfig
from vae_lowlevel.config.model import ModelConfig
from vae_lowlevel.config.objective import ObjectiveConfig
from vae_lowlevel.config.optimizer import OptimizerConfig
from vae_lowlevel.config.run import RunConfig
from vae_lowlevel.config.strategy import StrategyConfig
from vae_lowlevel.config.training import TrainingConfig
from vae_lowlevel.errors import ConfigError

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "RunConfig",
    "StrategyConfig",
    "TrainingConfig",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a training run.

    Raises:
        ConfigError: a value, or a combination of values, is not allowed.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    strategy: StrategyConfig = dataclasses.field(default_factory=StrategyConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.training.early_stopping_patience and not self.data.validation_size:
            raise ConfigError(
                "--early_stopping_patience needs validation images, but --validation_size is 0"
            )
        if self.data.tf_data_service and self.training.deterministic:
            raise ConfigError(
                f"--tf_data_service={self.data.tf_data_service} does not give the data in the same "
                "order twice, so that no run repeats: add --deterministic=false, or leave it out"
            )
        _check_distributions(self)
        if self.model.model != "vae" and (self.objective.free_bits or self.objective.capacity):
            raise ConfigError(
                "--free_bits and --capacity are about the KL, which --model="
                f"{self.model.model} has not; leave them out, or use --model=vae"
            )
        if not self.run.model_dir:
            run = dataclasses.replace(self.run, model_dir=os.path.join("runs", self.data.name))
            object.__setattr__(self, "run", run)
        _check_replicas(self)

    @property
    def name(self) -> str:
        """The name of the run folder, which the export takes too."""
        return os.path.basename(os.path.abspath(self.run.model_dir))

    @property
    def has_batch_means(self) -> bool:
        """Whether the loss of an example depends on a mean over the whole batch."""
        objective = self.objective
        is_sparse = self.model.model == "sparse_autoencoder"
        return bool(objective.free_bits or objective.capacity or is_sparse)

    @classmethod
    def groups(cls) -> dict[str, type]:
        """Returns the attribute name and dataclass of each group of settings."""
        return {field.name: field.default_factory for field in dataclasses.fields(cls)}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Config:
        """Builds a config from `{flag name: value}`; what is left out keeps its default."""
        values = dict(values)
        groups = {}
        for name, group in cls.groups().items():
            own = [field.name for field in dataclasses.fields(group)]
            groups[name] = group(**{key: values.pop(key) for key in own if key in values})
        if values:
            raise ConfigError(f"no such setting: {', '.join(sorted(values))}")
        return cls(**groups)

    def to_flat(self) -> dict[str, Any]:
        """Returns `{flag name: value}` of every setting."""
        flat = {}
        for name in self.groups():
            flat.update(dataclasses.asdict(getattr(self, name)))
        return flat

    def replace(self, **changes: Any) -> Config:
        """Returns a config in which the named settings have other values."""
        return self.from_flat({**self.to_flat(), **changes})


def _check_distributions(config: Config) -> None:
    """Refuses an objective or data that the model's distributions do not go with."""
    model, objective, binarize = config.model, config.objective, config.data.binarize
    if objective.kl_estimator == "analytic" and not model.has_closed_form_kl:
        raise ConfigError(
            f"--kl_estimator=analytic: the KL of posterior {model.posterior} from prior "
            f"{model.prior} has no closed form; take --kl_estimator=auto, or --posterior=diagonal "
            "or full with --prior=standard"
        )
    is_squared_error = model.likelihood == "gaussian" and objective.pixel_reduction == "mean"
    if is_squared_error and model.scale_kind != "fixed":
        raise ConfigError(
            f"--likelihood_scale_kind={model.scale_kind} with --pixel_reduction=mean: the squared "
            "error would leave the scale untrained; take --pixel_reduction=sum or a fixed scale"
        )
    if binarize != "none" and model.likelihood != "bernoulli":
        raise ConfigError(
            f"--binarize={binarize} leaves black and white pixels, which are not for --likelihood="
            f"{model.likelihood}: take --likelihood=bernoulli or --binarize=none"
        )


def _check_replicas(config: Config) -> None:
    """Refuses settings that do not go with several replicas, or with parts of a batch."""
    training, kind = config.training, config.strategy.distribution_strategy
    if training.accumulate_steps > 1 and config.has_batch_means:
        raise ConfigError(
            f"--accumulate_steps={training.accumulate_steps}: the loss of --free_bits, --capacity "
            "and --model=sparse_autoencoder takes a mean over the whole batch, which its parts do "
            "not know; leave the flag out"
        )
    if training.device == "gpu" and kind != "one_device":
        raise ConfigError(
            f"--device=gpu is one GPU, but --distribution_strategy is {kind}; choose how many with "
            "--num_gpus"
        )
    tpu, model_dir = config.strategy.tpu, config.run.model_dir
    if tpu not in (None, "local") and not files.is_remote(model_dir):
        raise ConfigError(
            f"--model_dir={model_dir}: --tpu={tpu} writes checkpoints from its own machines, so "
            "the run folder must be an address that they reach, such as gs://bucket/runs/mine"
        )
    if config.run.overwrite and kind == "multi_worker_mirrored":
        raise ConfigError(
            "--overwrite: one worker would delete what another has begun; delete "
            f"{config.run.model_dir} before the workers start"
        )
