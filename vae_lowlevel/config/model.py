"""Settings of the model: its kind, its networks and its distributions."""

from __future__ import annotations

import dataclasses
import math

from vae_lowlevel.config.fields import check, option, quote
from vae_lowlevel.config.network import (
    MAX_WIDTH,
    NetworkSettings,
    NetworkSizes,
    check_network,
)
from vae_lowlevel.errors import ConfigError

# The bounds of a learned scale, as in distributions/likelihoods.py.
_MIN_SCALE, _MAX_SCALE = math.exp(-5.0), math.exp(5.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(NetworkSettings):
    """Model."""

    model: str = option(
        "vae",
        "vae: variational autoencoder with q(z|x), p(z) and p(x|z). sparse_autoencoder: "
        "deterministic code with a penalty on the mean activity of its units; it cannot be "
        "sampled. ladder: hierarchical VAE, whose z has several levels, each given the levels "
        "above it.",
        choices=("vae", "sparse_autoencoder", "ladder"),
    )
    conditional: bool = option(
        False,
        "vae, ladder: passes the class label to the encoder and the decoder; needs data with "
        "labels.",
    )
    ladder_dims: tuple[int, ...] = option(
        (16, 32),
        "ladder: dimensions of each level, from the top level to the bottom level. z is all levels "
        "joined in this order; the decoder receives all of z.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    ladder_units: tuple[int, ...] = option(
        (128,),
        "ladder: units of each hidden layer of the networks between the levels. The first number "
        "is also that of the features that the encoder passes to the levels above the bottom.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    latent_activation: str = option(
        "sigmoid",
        "sparse_autoencoder: activation function of the code. The penalised activity is the code "
        "(sigmoid), (1 + code) / 2 (tanh) or 1 - exp(-code) (relu, softplus).",
        choices=("sigmoid", "tanh", "relu", "softplus"),
    )
    posterior: str = option(
        "diagonal",
        "q(z|x). diagonal, full: Gaussian with diagonal or full covariance. iaf: diagonal Gaussian "
        "transformed by an inverse autoregressive flow.",
        choices=("diagonal", "full", "iaf"),
    )
    iaf_steps: int = option(2, "iaf: number of autoregressive steps.", at_least=1, at_most=1000)
    iaf_units: tuple[int, ...] = option(
        (128,),
        "iaf: units of each hidden layer of the masked network of a step.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    iaf_context: int = option(
        32,
        "iaf: number of features that the encoder passes to every step, in addition to mean and "
        "variance.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    prior: str = option(
        "standard",
        "p(z); ladder: p(z) of the top level. standard: N(0, I). mixture: learned diagonal "
        "Gaussians. vamp: mixture of the posteriors of learned pseudo-inputs. flow: N(0, I) "
        "transformed by affine couplings (RealNVP).",
        choices=("standard", "mixture", "vamp", "flow"),
    )
    prior_components: int = option(
        100,
        "mixture: number of Gaussians; vamp: number of pseudo-inputs.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    prior_flow_steps: int = option(6, "flow: number of coupling layers.", at_least=1, at_most=1000)
    prior_flow_units: tuple[int, ...] = option(
        (64, 64),
        "flow: units of each hidden layer of a coupling network.",
        at_least=1,
        at_most=MAX_WIDTH,
    )
    likelihood: str = option(
        "bernoulli",
        "p(x|z) of each pixel. bernoulli: cross-entropy. continuous_bernoulli: normalised density "
        "over grey levels in [0, 1]. gaussian: normal density. discretized_logistic: probability "
        "of each of the 256 grey levels; also reports bits per dimension.",
        choices=("bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"),
    )
    likelihood_scale: float | None = option(
        None,
        "gaussian (standard deviation), discretized_logistic: scale of each pixel in units of the "
        "[0, 1] range; the initial value of a learned scale (default: 1 if fixed, 0.1 if learned).",
        above=0,
    )
    likelihood_scale_kind: str = option(
        "auto",
        "gaussian, discretized_logistic: how the scale is set. fixed: to likelihood_scale. "
        "learned: one value for all pixels. per_pixel: by the decoder. auto: fixed for gaussian, "
        "learned for discretized_logistic.",
        choices=("auto", "fixed", "learned", "per_pixel"),
    )

    def __post_init__(self) -> None:
        check(self)
        check_network(self)
        _check_kind(self)
        _check_distributions(self)

    @property
    def sizes(self) -> NetworkSizes:
        """The sizes of the networks; the latent space of a ladder has the dimensions of all levels.

        See `NetworkSettings.sizes`.
        """
        sizes = super().sizes
        if self.model != "ladder":
            return sizes
        return dataclasses.replace(sizes, latent_dim=sum(self.ladder_dims))

    @property
    def has_prior(self) -> bool:
        """Whether there is a p(z), and with it a KL and an ELBO."""
        return self.model != "sparse_autoencoder"

    @property
    def has_grey_levels(self) -> bool:
        """Whether p(x|z) is a probability of grey levels, so that there are bits per dimension."""
        return self.likelihood == "discretized_logistic"

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether KL(q(z|x) || p(z)) has a closed form: a Gaussian from N(0, I)."""
        is_standard = self.posterior != "iaf" and self.prior == "standard"
        return self.model != "ladder" and is_standard

    @property
    def scale_kind(self) -> str:
        """The kind of the likelihood's scale: "fixed", "learned" or "per_pixel"."""
        if self.likelihood_scale_kind != "auto":
            return self.likelihood_scale_kind
        return "learned" if self.likelihood == "discretized_logistic" else "fixed"

    @property
    def initial_scale(self) -> float:
        """The likelihood's scale, or its initial value if it is learned."""
        if self.likelihood_scale is not None:
            return self.likelihood_scale
        return 1.0 if self.scale_kind == "fixed" else 0.1

    def check_vectors(self) -> None:
        """Refuses a model that is not one of vectors.

        Raises:
            ConfigError: the network or the likelihood is one of images.
        """
        for name, wanted in (("network", "mlp"), ("likelihood", "gaussian")):
            if getattr(self, name) != wanted:
                raise ConfigError(
                    f"vectors [N, D] need --{name}={wanted}, got {quote(getattr(self, name))}"
                )


def _check_kind(model: ModelConfig) -> None:
    """Refuses settings of a VAE in another model."""
    if model.model == "vae":
        return
    if model.posterior != "diagonal":
        raise ConfigError(
            f"--posterior={model.posterior} requires --model=vae, but --model is {model.model}: "
            "leave out --posterior, or use --model=vae"
        )
    if model.prior != "standard" and not model.has_prior:
        raise ConfigError(
            f"--prior={model.prior} requires --model=vae or ladder, but --model is {model.model}: "
            "leave out --prior, or use --model=vae"
        )
    if model.model == "ladder":
        _check_ladder(model)
    elif model.conditional:
        raise ConfigError(
            f"--conditional requires --model=vae or ladder, but --model is {model.model}: leave "
            "out --conditional, or use --model=vae"
        )


def _check_ladder(model: ModelConfig) -> None:
    """Refuses levels without sizes, and another number of dimensions than theirs."""
    if not model.ladder_dims:
        raise ConfigError("--ladder_dims needs at least one number for --model=ladder")
    if len(model.ladder_dims) > 1 and not model.ladder_units:
        raise ConfigError(
            "--ladder_units needs at least one number for the networks between "
            f"{len(model.ladder_dims)} levels"
        )
    wanted = model.sizes.latent_dim
    if model.latent_dim not in (None, wanted):
        raise ConfigError(
            f"--latent_dim={model.latent_dim}: with --model=ladder it is the sum of --ladder_dims="
            f"{','.join(map(str, model.ladder_dims))}, {wanted}: leave out --latent_dim, or change "
            "--ladder_dims"
        )


def _check_distributions(model: ModelConfig) -> None:
    """Refuses distributions that do not fit together."""
    if model.posterior == "iaf" and not model.iaf_units:
        raise ConfigError("--iaf_units needs at least one number for --posterior=iaf")
    if model.posterior == "iaf" and model.prior == "vamp":
        raise ConfigError(
            "--prior=vamp evaluates the density of the posterior at any z, which --posterior=iaf "
            "computes only one dimension after another: use --posterior=diagonal or full, or "
            "another prior"
        )
    is_ladder = model.model == "ladder"
    coupled = model.ladder_dims[0] if is_ladder else model.sizes.latent_dim
    if model.prior == "flow" and coupled < 2:
        name = "the first of --ladder_dims" if is_ladder else "--latent_dim"
        raise ConfigError(
            f"--prior=flow couples two halves of z, so {name} must be at least 2, got {coupled}"
        )
    has_scale = model.likelihood in ("gaussian", "discretized_logistic")
    is_learned = has_scale and model.scale_kind != "fixed"
    if is_learned and not _MIN_SCALE < model.initial_scale < _MAX_SCALE:
        raise ConfigError(
            f"--likelihood_scale of a learned scale must be between {_MIN_SCALE:.4f} and "
            f"{_MAX_SCALE:.1f}, got {model.initial_scale}"
        )
