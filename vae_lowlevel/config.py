"""The settings of a run: frozen, checked dataclasses. No TensorFlow, so that errors come at once.

Each field is also the flag of that name; `Config.from_flat` and `Config.to_flat` go between the
groups and the flat names.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.options import check, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Data."""

    dataset: str = option(
        "shapes",
        "What to learn from. shapes is drawn by the package and needs no download.",
        choices=("fashion_mnist", "mnist", "shapes"),
    )
    data_dir: str | None = option(
        None,
        "Folder with the data files or with <dataset>/; looked into before $VAE_LOWLEVEL_DATA_DIR "
        "and the cache folder.",
        resume="free",
    )
    validation_size: int = option(
        5000, "Examples held out from the training set for validation.", at_least=0
    )
    image_size: int = option(32, "Height and width of the images of shapes, in pixels.", at_least=8)
    shapes_examples: int = option(
        20000, "Training images of shapes; a sixth as many more are the test set.", at_least=6
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Model."""

    network: str = option("conv", "Body of encoder and decoder.", choices=("conv", "mlp"))
    latent_dim: int = option(16, "Dimensions of the latent space.", at_least=1)
    encoder_filters: tuple[int, ...] = option(
        (32, 64), "conv: filters of each encoder convolution.", at_least=1
    )
    encoder_strides: tuple[int, ...] = option(
        (2, 2), "conv: stride of each encoder convolution.", at_least=1
    )
    encoder_units: tuple[int, ...] = option(
        (128,), "Units of each dense encoder layer (conv: after the convolutions).", at_least=1
    )
    decoder_units: tuple[int, ...] = option(
        (), "Units of each dense decoder layer (conv: before the convolutions).", at_least=1
    )
    decoder_filters: tuple[int, ...] = option(
        (64, 64, 32),
        "conv: channels of the decoder's first feature map, then of each transposed convolution.",
        at_least=1,
    )
    decoder_strides: tuple[int, ...] = option(
        (2, 2), "conv: stride of each transposed convolution.", at_least=1
    )
    kernel_size: int = option(3, "conv: height and width of every kernel.", at_least=1)
    activation: str = option(
        "relu", "Activation of hidden layers.", choices=("relu", "gelu", "silu", "elu", "tanh")
    )
    likelihood: str = option(
        "bernoulli", "Distribution p(x|z) of a pixel.", choices=("bernoulli", "gaussian")
    )
    likelihood_scale: float = option(
        1.0, "gaussian: standard deviation of a pixel, in units of the [0, 1] range.", above=0
    )
    precision: str = option(
        "float32",
        "Number format of the hidden layers; variables, distributions and losses are float32.",
        choices=("float32", "bfloat16"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Objective."""

    pixel_reduction: str = option(
        "sum",
        "sum: loss in nats an example. mean: reconstruction error a pixel (gaussian: squared "
        "error, bernoulli: cross-entropy) + kl_weight x KL summed over the latent dimensions.",
        choices=("sum", "mean"),
    )
    kl_weight: float = option(1.0, "Weight of the KL term (beta).", at_least=0)
    kl_schedule: str = option(
        "constant", "How the weight reaches kl_weight.", choices=("constant", "linear", "cyclical")
    )
    kl_warmup_epochs: float = option(
        5.0, "linear: epochs over which the weight rises from 0.", above=0
    )
    kl_cycle_epochs: float = option(10.0, "cyclical: epochs of one cycle.", above=0)
    kl_ramp_fraction: float = option(
        0.5, "cyclical: part of a cycle in which the weight rises.", above=0, at_most=1
    )
    free_bits: float = option(
        0.0,
        "Nats a latent dimension may use before its KL is penalised (mean over the batch).",
        at_least=0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimiser."""

    learning_rate: float = option(1e-3, "Peak learning rate of Adam.", above=0)
    learning_rate_schedule: str = option(
        "constant",
        "Decay after the warm-up. cosine goes over all steps of the run.",
        choices=("constant", "cosine", "exponential"),
    )
    learning_rate_warmup_steps: int = option(
        0, "Steps over which the learning rate rises linearly from 0.", at_least=0
    )
    learning_rate_final_fraction: float = option(
        0.01, "cosine: final learning rate as a part of the peak.", at_least=0, at_most=1
    )
    learning_rate_decay: float = option(
        0.9, "exponential: factor a learning_rate_decay_epochs.", above=0, at_most=1
    )
    learning_rate_decay_epochs: float = option(
        1.0, "exponential: epochs in which the rate falls by the factor.", above=0
    )
    adam_beta1: float = option(0.9, "Decay of Adam's first moment.", at_least=0, below=1)
    adam_beta2: float = option(0.999, "Decay of Adam's second moment.", at_least=0, below=1)
    adam_epsilon: float = option(1e-7, "Adam's epsilon, added to the root.", above=0)
    clip_norm: float | None = option(None, "Bound on the global norm of the gradient.", above=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training."""

    batch_size: int = option(128, "Examples a step, over all replicas.", at_least=1)
    epochs: int | None = option(
        None, "Length of the run in epochs (10 if no length is given).", at_least=1, resume="total"
    )
    train_steps: int | None = option(
        None, "Length of the run in steps, instead of epochs.", at_least=1, resume="total"
    )
    steps_per_loop: int = option(
        100, "Steps between two reads of the host (a block).", at_least=1, resume="numerics"
    )
    early_stopping_patience: int | None = option(
        None,
        "Stop after so many epochs without a better validation ELBO.",
        at_least=1,
        resume="total",
    )
    seed: int = option(0, "Seed of initial weights, data order and noise.", at_least=0, below=2**31)
    deterministic: bool = option(
        True,
        "Repeat bit for bit on the same machine, even where that is slower.",
        resume="numerics",
    )
    jit_compile: str = option(
        "auto",
        "Compile training with XLA. auto: everything on GPU and TPU; on a CPU the mlp only.",
        choices=("auto", "true", "false"),
        resume="numerics",
    )
    intra_op_threads: int = option(
        0, "Threads within an operation; 0 lets TensorFlow choose.", at_least=0, resume="numerics"
    )
    inter_op_threads: int = option(
        0, "Operations at once; 0 takes two a core.", at_least=0, resume="numerics"
    )
    checkpoint_every: int | None = option(
        None, "Steps between checkpoints (default: each epoch).", at_least=1, resume="free"
    )
    max_to_keep: int = option(2, "Checkpoints kept.", at_least=1, resume="free")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run folder and export."""

    model_dir: str | None = option(None, "Run folder (default: runs/<dataset>).", resume="free")
    overwrite: bool = option(False, "Delete the run folder and start anew.", resume="free")
    export_dir: str = option(
        "saved_models",
        "Folder of the exports <export_dir>/<name of the run folder>/<version>; empty for none.",
        resume="free",
    )
    tensorflow_log: bool = option(
        False, "Show TensorFlow's own start-up lines on stderr.", resume="free"
    )


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
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        for group in dataclasses.fields(self):
            check(getattr(self, group.name))
        _check_lengths(self.model)
        training = self.training
        if training.epochs is not None and training.train_steps is not None:
            raise ConfigError(
                f"--epochs={training.epochs} and --train_steps={training.train_steps}: "
                "give one of the two"
            )
        if training.early_stopping_patience and not self.data.validation_size:
            raise ConfigError(
                "--early_stopping_patience needs validation images, but --validation_size is 0"
            )
        if not self.run.model_dir:
            run = dataclasses.replace(self.run, model_dir=os.path.join("runs", self.data.dataset))
            object.__setattr__(self, "run", run)

    @property
    def name(self) -> str:
        """The name of the run folder, which the export takes too."""
        return os.path.basename(os.path.abspath(self.run.model_dir))

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


def _check_lengths(model: ModelConfig) -> None:
    if model.network == "conv":
        _check_pair(
            "encoder_filters", model.encoder_filters, "encoder_strides", model.encoder_strides
        )
        if not model.decoder_filters:
            raise ConfigError("--decoder_filters needs at least one number for network conv")
        _check_pair(
            "decoder_filters after its first",
            model.decoder_filters[1:],
            "decoder_strides",
            model.decoder_strides,
        )


def _check_pair(name: str, values: tuple, other_name: str, other: tuple) -> None:
    if len(values) != len(other):
        raise ConfigError(
            f"--{name} and --{other_name} need the same number of entries, "
            f"got {len(values)} {values} and {len(other)} {other}"
        )
