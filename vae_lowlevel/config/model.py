"""Settings of the model: its networks and distributions."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.distributions import DistributionOptions, check_distributions
from vae_lowlevel.config.fields import check, option
from vae_lowlevel.config.variants import DEFAULT_VARIANT, VARIANTS
from vae_lowlevel.errors import ConfigError

DEFAULT_LATENT_DIM = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(DistributionOptions):
    """Model."""

    model: str = option(
        "vae",
        "vae: q(z|x), p(z) and p(x|z). sparse_autoencoder: a deterministic code with a penalty on "
        "the mean activity of its units; it cannot be sampled.",
        choices=("vae", "sparse_autoencoder"),
    )
    conditional: bool = option(
        False, "vae: encoder and decoder see the label too; needs data with classes."
    )
    latent_activation: str = option(
        "sigmoid",
        "sparse_autoencoder: activation of the code. The activity that the penalty counts is the "
        "code (sigmoid), (1 + code) / 2 (tanh) or 1 - exp(-code) (relu, softplus).",
        choices=("sigmoid", "tanh", "relu", "softplus"),
    )
    network: str = option("conv", "Body of encoder and decoder.", choices=("conv", "mlp", "resnet"))
    variant: str | None = option(
        None,
        "resnet: size of the networks (default: small), which the flags below change in part: "
        + "; ".join(
            f"{name}, filters {','.join(map(str, variant.filters))}, for {variant.suits}"
            for name, variant in VARIANTS.items()
        )
        + ".",
        choices=tuple(VARIANTS),
    )
    latent_dim: int | None = option(
        None,
        f"Dimensions of the latent space (default: {DEFAULT_LATENT_DIM}; of resnet's variants "
        + ", ".join(f"{name} {variant.latent_dim}" for name, variant in VARIANTS.items())
        + ").",
        at_least=1,
    )
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
    resnet_filters: tuple[int, ...] | None = option(
        None,
        "resnet: filters of each level (default: the variant's); each level halves the image.",
        at_least=2,
    )
    resnet_blocks: tuple[int, ...] | None = option(
        None,
        "resnet: residual blocks of each level, or one number for all (default: the variant's).",
        at_least=0,
    )
    normalization: str = option(
        "group",
        "resnet: normalisation within one example, of groups of channels or of all. There is no "
        "batch normalisation: its result would depend on the number of replicas.",
        choices=("group", "layer", "none"),
    )
    dense_layer: str = option(
        "plain",
        "mlp: hidden layers. gated: each is multiplied by a second one with a sigmoid.",
        choices=("plain", "gated"),
    )
    kernel_size: int = option(3, "conv: height and width of every kernel.", at_least=1)
    activation: str = option(
        "relu",
        "Activation of hidden layers; silu is also called swish.",
        choices=("relu", "gelu", "silu", "elu", "tanh"),
    )
    precision: str = option(
        "float32",
        "Number format of the hidden layers; variables, distributions and losses are float32. "
        "float16 trains with a dynamic loss scale.",
        choices=("float32", "bfloat16", "float16"),
    )

    def __post_init__(self) -> None:
        check(self)
        _check_lengths(self)
        _check_model(self)
        if self.network == "resnet":
            self._take_from_variant()
        else:
            _refuse_resnet_settings(self)
            if self.latent_dim is None:
                object.__setattr__(self, "latent_dim", DEFAULT_LATENT_DIM)
        check_distributions(self, self.latent_dim)

    def _take_from_variant(self) -> None:
        """Fills in what is not given, so that a run's settings say all there is to know."""
        name = self.variant or DEFAULT_VARIANT
        variant = VARIANTS[name]
        filters = variant.filters if self.resnet_filters is None else self.resnet_filters
        blocks = (variant.blocks,) if self.resnet_blocks is None else self.resnet_blocks
        if not filters:
            raise ConfigError("--resnet_filters needs at least one number")
        if len(blocks) == 1:
            blocks = blocks * len(filters)
        _check_pair("resnet_filters", filters, "resnet_blocks", blocks)
        latent_dim = variant.latent_dim if self.latent_dim is None else self.latent_dim
        for field, value in (
            ("variant", name),
            ("latent_dim", latent_dim),
            ("resnet_filters", filters),
            ("resnet_blocks", blocks),
        ):
            object.__setattr__(self, field, value)


def _check_model(model: ModelConfig) -> None:
    if model.model != "vae":
        for name, default in (("posterior", "diagonal"), ("prior", "standard")):
            if getattr(model, name) != default:
                raise ConfigError(
                    f"--{name}={getattr(model, name)} is for --model=vae, got --model={model.model}"
                )
        if model.conditional:
            raise ConfigError(f"--conditional is for --model=vae, got --model={model.model}")


def _refuse_resnet_settings(model: ModelConfig) -> None:
    for name in ("variant", "resnet_filters", "resnet_blocks"):
        if getattr(model, name) is not None:
            raise ConfigError(
                f"--{name} is a setting of --network=resnet, found --network={model.network}: "
                "give --network=resnet, or leave it out"
            )


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
