"""Settings of the networks: their kind and sizes, and the named sizes of residual networks."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import option
from vae_lowlevel.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Variant:
    """One named size of `--network=resnet`.

    Attributes:
        filters: channels of each level; each level halves height and width.
        blocks: residual blocks per level.
        latent_dim: dimensions of the latent space.
        suits: the images it is meant for.
    """

    filters: tuple[int, ...]
    blocks: int
    latent_dim: int
    suits: str


VARIANTS = {
    "micro": Variant((16, 32), 1, 32, "16x16"),
    "small": Variant((32, 64), 1, 64, "MNIST"),
    "medium": Variant((32, 64, 128), 1, 128, "CIFAR-10"),
    "large": Variant((64, 128, 256), 2, 256, "64x64 to 128x128"),
    "xlarge": Variant((64, 128, 256, 512), 2, 512, "larger images"),
}
DEFAULT_VARIANT = "small"
DEFAULT_LATENT_DIM = 16
# Units, filters or dimensions of one layer: far above useful sizes, far below an int32 overflow.
MAX_WIDTH = 2**16
# From 127 on, the fused convolution of TensorFlow 2.21 ends the process on some images.
_MAX_KERNEL = 63


@dataclasses.dataclass(frozen=True)
class NetworkSizes:
    """The sizes that follow from the given settings and the variant.

    Attributes:
        latent_dim: dimensions of the latent space.
        resnet_filters: filters of each level; empty for other networks.
        resnet_blocks: residual blocks of each level; empty for other networks.
    """

    latent_dim: int
    resnet_filters: tuple[int, ...]
    resnet_blocks: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The part of the model's settings that describes its networks."""

    network: str = option(
        "conv", "Kind of the encoder and decoder networks.", choices=("conv", "mlp", "resnet")
    )
    variant: str | None = option(
        None,
        f"resnet: named size of the networks (default: {DEFAULT_VARIANT}). --latent_dim, "
        "--resnet_filters and --resnet_blocks override parts of it. "
        + "; ".join(
            f"{name}: filters {','.join(map(str, variant.filters))}, for {variant.suits}"
            for name, variant in VARIANTS.items()
        )
        + ".",
        choices=tuple(VARIANTS),
    )
    latent_dim: int | None = option(
        None,
        f"Dimensions of the latent space (default: {DEFAULT_LATENT_DIM}; for resnet, by variant: "
        + ", ".join(f"{name} {variant.latent_dim}" for name, variant in VARIANTS.items())
        + "; for ladder, the sum of ladder_dims).",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    encoder_filters: tuple[int, ...] = option(
        (32, 64), "conv: filters of each encoder convolution.", at_least=1, at_most=MAX_WIDTH
    )
    encoder_strides: tuple[int, ...] = option(
        (2, 2), "conv: stride of each encoder convolution.", at_least=1, at_most=1024
    )
    encoder_units: tuple[int, ...] = option(
        (128,),
        "conv, mlp: units of each dense encoder layer (conv: after the convolutions).",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    decoder_units: tuple[int, ...] = option(
        (),
        "conv, mlp: units of each dense decoder layer (conv: before the convolutions).",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    decoder_filters: tuple[int, ...] = option(
        (64, 64, 32),
        "conv: channels of the decoder's first feature map, then of each transposed convolution.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    decoder_strides: tuple[int, ...] = option(
        (2, 2), "conv: stride of each transposed convolution.", at_least=1, at_most=1024
    )
    resnet_filters: tuple[int, ...] | None = option(
        None,
        "resnet: filters of each level (default: the variant's). Each level halves the height and "
        "width of the image.",
        at_least=2,
        at_most=MAX_WIDTH,
    )
    resnet_blocks: tuple[int, ...] | None = option(
        None,
        "resnet: residual blocks of each level, or one number for all levels (default: the "
        "variant's).",
        at_least=0,
        at_most=1000,
    )
    normalization: str = option(
        "group",
        "resnet: normalisation within each example, over groups of channels (group) or all "
        "channels (layer). There is no batch normalisation, because its result would depend on "
        "the number of replicas.",
        choices=("group", "layer", "none"),
    )
    dense_layer: str = option(
        "plain",
        "mlp: kind of the hidden layers; ladder: also of those between the levels. gated: each "
        "layer is multiplied by the sigmoid of a second one.",
        choices=("plain", "gated"),
    )
    kernel_size: int = option(
        3, "conv: height and width of every kernel in pixels.", at_least=1, at_most=_MAX_KERNEL
    )
    activation: str = option(
        "relu",
        "Activation function of the hidden layers; silu is also called swish.",
        choices=("relu", "gelu", "silu", "elu", "tanh"),
    )
    precision: str = option(
        "float32",
        "Number format of the hidden layers; variables, distributions and losses are always "
        "float32. float16 trains with a dynamic loss scale. auto: bfloat16 where the device "
        "computes in it, else float32; a run keeps the choice of its start.",
        choices=("float32", "bfloat16", "float16", "auto"),
    )

    @property
    def sizes(self) -> NetworkSizes:
        """The sizes of the networks: given ones, and the variant's or defaults for the others."""
        if self.network != "resnet":
            latent_dim = DEFAULT_LATENT_DIM if self.latent_dim is None else self.latent_dim
            return NetworkSizes(latent_dim, (), ())
        variant = VARIANTS[self.variant or DEFAULT_VARIANT]
        filters = variant.filters if self.resnet_filters is None else self.resnet_filters
        blocks = (variant.blocks,) if self.resnet_blocks is None else self.resnet_blocks
        return NetworkSizes(
            latent_dim=variant.latent_dim if self.latent_dim is None else self.latent_dim,
            resnet_filters=filters,
            resnet_blocks=blocks * len(filters) if len(blocks) == 1 else blocks,
        )


def check_network(settings: NetworkSettings) -> None:
    """Checks that the settings of the networks fit together.

    Raises:
        ConfigError: they do not; the message names the flags, their values and the remedy.
    """
    if settings.network == "resnet":
        sizes = settings.sizes
        if not sizes.resnet_filters:
            raise ConfigError("--resnet_filters needs at least one number")
        _check_lengths("resnet_filters", sizes.resnet_filters, "resnet_blocks", sizes.resnet_blocks)
    else:
        _refuse_resnet_settings(settings)
    if settings.network == "conv":
        _check_lengths(
            "encoder_filters", settings.encoder_filters, "encoder_strides", settings.encoder_strides
        )
        if not settings.decoder_filters:
            raise ConfigError("--decoder_filters needs at least one number for --network=conv")
        _check_lengths(
            "decoder_filters after the first",
            settings.decoder_filters[1:],
            "decoder_strides",
            settings.decoder_strides,
        )


def _refuse_resnet_settings(settings: NetworkSettings) -> None:
    for name in ("variant", "resnet_filters", "resnet_blocks"):
        value = getattr(settings, name)
        if value is not None:
            raise ConfigError(
                f"--{name} is a setting of --network=resnet, but --network is {settings.network}: "
                f"set --network=resnet, or unset it with --{name}="
            )


def _check_lengths(name: str, values: tuple, other_name: str, other: tuple) -> None:
    if len(values) != len(other):
        raise ConfigError(
            f"--{name} and --{other_name} need the same number of entries, "
            f"got {len(values)} {values} and {len(other)} {other}"
        )
