"""Settings of the model: its networks and distributions."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.options import check, option


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

    def __post_init__(self) -> None:
        check(self)
        _check_lengths(self)


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
