"""The settings of a run: frozen, checked dataclasses. No TensorFlow, so that errors come at once.

Each field is also the flag of that name. `Config.from_flat` and `Config.to_flat` convert between
the groups and the flat names. A group, one per file, checks its own values; `Config` checks the
combinations of several groups. Fields hold what the user gave, None where nothing was given;
what follows from them (`Config.model_dir`, `ModelConfig.sizes`) is computed by properties.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from vae_lowlevel import files
from vae_lowlevel.config.data import MOST_DEFAULT_VALIDATION, DataConfig
from vae_lowlevel.config.fields import Options
from vae_lowlevel.config.model import ModelConfig
from vae_lowlevel.config.network import NetworkSizes
from vae_lowlevel.config.objective import ObjectiveConfig
from vae_lowlevel.config.optimizer import OptimizerConfig
from vae_lowlevel.config.run import RunConfig
from vae_lowlevel.config.strategy import StrategyConfig
from vae_lowlevel.config.training import TrainingConfig
from vae_lowlevel.errors import ConfigError

__all__ = [
    "PER_WORKER",
    "Config",
    "DataConfig",
    "ModelConfig",
    "NetworkSizes",
    "ObjectiveConfig",
    "OptimizerConfig",
    "RunConfig",
    "StrategyConfig",
    "TrainingConfig",
    "digest",
]

# Settings of which each worker of a run may have its own: folders have other names on each machine.
PER_WORKER = ("data_dir", "model_dir", "export_dir", "tensorflow_log")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Options):
    """All settings of a training run.

    Example:
        >>> config = Config.from_flat({"network": "resnet", "variant": "small"})
        >>> config.model.sizes.latent_dim, config.replace(variant="large").model.sizes.latent_dim
        (64, 256)

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
        if self.training.early_stopping_patience and self.data.validation_size == 0:
            raise ConfigError(
                "--early_stopping_patience needs validation images, but --validation_size is 0"
            )
        if self.data.tf_data_service and self.training.deterministic:
            raise ConfigError(
                f"--tf_data_service={self.data.tf_data_service} does not return the data in the "
                "same order twice, so no run can be repeated: add --deterministic=false, or leave "
                "the service out"
            )
        _check_objective(self)
        _check_replicas(self)

    @property
    def model_dir(self) -> str:
        """The run folder: `--model_dir`, or `runs/<name of the data set>`."""
        return self.run.model_dir or os.path.join("runs", self.data.name)

    @property
    def name(self) -> str:
        """The name of the export: the last part of the run folder's path.

        Below a folder `runs`, it is all parts after it: `fast_fashion` for `runs/fast/fashion`, so
        that it is not a version of `runs/fashion`.
        """
        parts = pathlib.Path(os.path.abspath(self.model_dir)).parts
        below = list(itertools.takewhile(lambda part: part != "runs", reversed(parts)))
        return "_".join(reversed(below)) if "runs" in parts and below else parts[-1]

    @property
    def tensorflow_log(self) -> bool:
        """Whether TensorFlow's own start-up lines are shown."""
        return self.run.tensorflow_log

    @property
    def has_batch_means(self) -> bool:
        """Whether the loss of an example depends on a mean over the whole batch."""
        is_sparse = self.model.model == "sparse_autoencoder"
        return self.objective.limits_kl or self.objective.objective == "tcvae" or is_sparse

    @property
    def best_criterion(self) -> str:
        """What chooses the best weights: "elbo" (higher is better) or "loss" (lower is better)."""
        objective = self.objective
        if self.training.best_by != "auto":
            return self.training.best_by
        is_weighted = (
            self.has_batch_means
            or objective.objective != "elbo"
            or objective.kl_weight != 1.0
            or objective.pixel_reduction == "mean"
        )
        return "loss" if is_weighted else "elbo"

    @classmethod
    def groups(cls) -> dict[str, type]:
        """Returns the attribute name and dataclass of each group of settings."""
        return {field.name: field.default_factory for field in dataclasses.fields(cls)}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Config:
        """Builds a config from `{flag name: value}`; settings left out keep their defaults."""
        values = dict(values)
        groups = {}
        for name, group in cls.groups().items():
            own = [field.name for field in dataclasses.fields(group)]
            groups[name] = group(**{key: values.pop(key) for key in own if key in values})
        if values:
            raise ConfigError(f"no such setting: {', '.join(sorted(values))}")
        return cls(**groups)

    def to_flat(self) -> dict[str, Any]:
        """Returns `{flag name: value}` of every setting, as given."""
        flat = {}
        for name in self.groups():
            flat.update(dataclasses.asdict(getattr(self, name)))
        return flat

    def resolved_flat(self) -> dict[str, Any]:
        """Returns `{flag name: value}` in which runs of the same settings are equal.

        The sizes of the networks replace the shorthand `variant`, and the default
        `validation_size` of a published data set its None. For other data sets it depends on the
        number of images and stays None.
        """
        flat = {**self.to_flat(), **dataclasses.asdict(self.model.sizes)}
        del flat["variant"]
        if self.data.validation_size is None and self.data.is_published:
            # Their tenth is not less.
            flat["validation_size"] = MOST_DEFAULT_VALIDATION
        return flat

    def worker_settings(self) -> dict[str, Any]:
        """Returns `{flag name: value}` of the settings that all workers of a run must share."""
        return {name: value for name, value in self.to_flat().items() if name not in PER_WORKER}

    def replace(self, **changes: Any) -> Config:
        """Returns a config in which the named settings have other values; None unsets one."""
        return self.from_flat({**self.to_flat(), **changes})

    def on_one_device(self, device: str, device_index: int = 0) -> Config:
        """Returns the settings for an evaluation on one device, however the run was trained.

        Args:
            device: "auto", "cpu" or "gpu".
            device_index: number of the GPU.
        """
        training = dataclasses.replace(self.training, device=device, device_index=device_index)
        return dataclasses.replace(self, training=training, strategy=StrategyConfig())

    def check_run_folder(self) -> None:
        """Checks that training can write its run folder; reading a run does not depend on this.

        Raises:
            ConfigError: a TPU on another machine cannot reach the folder.
        """
        tpu = self.strategy.tpu
        if tpu not in (None, "local") and not files.is_remote(self.model_dir):
            raise ConfigError(
                f"--model_dir={self.model_dir}: --tpu={tpu} writes checkpoints from its own "
                "machines, so the run folder must be an address that they reach, such as "
                "gs://bucket/runs/mine"
            )


def digest(value: Any) -> int:
    """Returns 48 bits that are equal for equal settings, in every process; exact as a float64."""
    return int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:6], "big")


def _check_objective(config: Config) -> None:
    """Refuses an objective or data that do not fit the model."""
    model, objective, binarize = config.model, config.objective, config.data.binarize
    if objective.kl_estimator == "analytic" and model.model == "ladder":
        raise ConfigError(
            "--kl_estimator=analytic: the KL of --model=ladder has no closed form; use "
            "--kl_estimator=auto, or --model=vae"
        )
    if objective.kl_estimator == "analytic" and not model.has_closed_form_kl:
        raise ConfigError(
            f"--kl_estimator=analytic: the KL of --posterior={model.posterior} from --prior="
            f"{model.prior} has no closed form; use --kl_estimator=auto, or --posterior=diagonal "
            "or full with --prior=standard"
        )
    is_squared_error = model.likelihood == "gaussian" and objective.pixel_reduction == "mean"
    if is_squared_error and model.scale_kind != "fixed":
        raise ConfigError(
            f"--likelihood_scale_kind={model.scale_kind} with --pixel_reduction=mean: the squared "
            "error would not train the scale; use --pixel_reduction=sum or a fixed scale"
        )
    if binarize != "none" and model.likelihood != "bernoulli":
        raise ConfigError(
            f"--binarize={binarize} makes black and white pixels, which do not fit --likelihood="
            f"{model.likelihood}: use --likelihood=bernoulli or --binarize=none"
        )
    if model.has_prior:
        _check_bound(config)
        return
    if objective.objective != "elbo" or objective.num_samples > 1:
        raise ConfigError(
            f"--objective={objective.objective} --num_samples={objective.num_samples} is for "
            f"--model=vae, but --model is {model.model}; leave both out, or use --model=vae"
        )
    if objective.limits_kl:
        raise ConfigError(
            f"--free_bits and --capacity limit the KL, but --model={model.model} has no KL; leave "
            "them out, or use --model=vae"
        )
    if config.training.best_by == "elbo":
        raise ConfigError(
            f"--best_by=elbo: --model={model.model} has no ELBO; use --best_by=loss or auto"
        )


def _check_bound(config: Config) -> None:
    """Refuses an objective of a VAE that does not fit its distributions."""
    model, objective = config.model, config.objective.objective
    if model.model == "ladder" and objective in ("dreg", "tcvae"):
        raise ConfigError(
            f"--objective={objective} needs a Gaussian posterior, but the levels of --model=ladder "
            "depend on each other: use --objective=elbo or iwae, or --model=vae"
        )
    if objective == "dreg" and model.posterior not in ("diagonal", "full"):
        raise ConfigError(
            f"--objective=dreg needs a Gaussian posterior, but --posterior is {model.posterior}: "
            "use --objective=iwae, or --posterior=diagonal or full"
        )
    if objective == "tcvae" and (model.posterior, model.prior) != ("diagonal", "standard"):
        raise ConfigError(
            "--objective=tcvae needs --posterior=diagonal and --prior=standard, whose dimensions "
            f"are independent, but they are {model.posterior} and {model.prior}"
        )


def _check_replicas(config: Config) -> None:
    """Refuses settings that do not work with several replicas, or with parts of a batch."""
    training, kind = config.training, config.strategy.distribution_strategy
    if training.accumulate_steps > 1 and config.has_batch_means:
        raise ConfigError(
            f"--accumulate_steps={training.accumulate_steps}: the loss of --free_bits, --capacity, "
            "--objective=tcvae and --model=sparse_autoencoder depends on a mean over the whole "
            "batch, which a micro-batch does not know; leave --accumulate_steps out"
        )
    if training.device == "gpu" and kind != "one_device":
        raise ConfigError(
            f"--device=gpu is a single GPU, but --distribution_strategy is {kind}; leave --device "
            "out, and set the number of GPUs with --num_gpus"
        )
    if config.run.overwrite and kind == "multi_worker_mirrored":
        raise ConfigError(
            "--overwrite: one worker would delete what another has started; delete "
            f"{config.model_dir} before the workers start"
        )
