"""Settings of the model's distributions: posterior, prior and likelihood."""

from __future__ import annotations

import dataclasses
import math

from vae_lowlevel.config.fields import option
from vae_lowlevel.errors import ConfigError

# Bounds of a scale that is learned: exp(-5) and exp(5), as in distributions/scales.py.
_LEAST_SCALE, _GREATEST_SCALE = math.exp(-5.0), math.exp(5.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistributionOptions:
    """The part of the model's settings that chooses its distributions."""

    posterior: str = option(
        "diagonal",
        "q(z|x). diagonal, full: a Gaussian of diagonal or full covariance. iaf: a diagonal "
        "Gaussian sent through an inverse autoregressive flow.",
        choices=("diagonal", "full", "iaf"),
    )
    iaf_steps: int = option(2, "iaf: autoregressive steps.", at_least=1)
    iaf_units: tuple[int, ...] = option(
        (128,), "iaf: units of each hidden layer of a step's masked network.", at_least=1
    )
    iaf_context: int = option(
        32, "iaf: features the encoder gives to every step, besides mean and variance.", at_least=1
    )
    prior: str = option(
        "standard",
        "p(z). standard: N(0, I). mixture: learned diagonal Gaussians. vamp: the posteriors of "
        "learned pseudo-inputs. flow: N(0, I) sent through affine couplings (RealNVP).",
        choices=("standard", "mixture", "vamp", "flow"),
    )
    prior_components: int = option(
        100, "mixture: number of Gaussians; vamp: number of pseudo-inputs.", at_least=1
    )
    prior_flow_steps: int = option(6, "flow: coupling layers.", at_least=1)
    prior_flow_units: tuple[int, ...] = option(
        (64, 64), "flow: units of each hidden layer of a coupling's network.", at_least=1
    )
    likelihood: str = option(
        "bernoulli",
        "p(x|z) of a pixel. bernoulli: cross-entropy. continuous_bernoulli: the same, made a "
        "density of grey levels. gaussian. discretized_logistic: of the 256 grey levels, reports "
        "bits per dimension too.",
        choices=("bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"),
    )
    likelihood_scale: float | None = option(
        None,
        "gaussian (standard deviation), discretized_logistic: scale of a pixel in units of the "
        "[0, 1] range; where it starts if it is learned (default: 1 if fixed, 0.1 if learned).",
        above=0,
    )
    likelihood_scale_kind: str = option(
        "auto",
        "gaussian, discretized_logistic: fixed; learned, one for all pixels; per_pixel, given by "
        "the decoder. auto: fixed for gaussian, learned for discretized_logistic.",
        choices=("auto", "fixed", "learned", "per_pixel"),
    )

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether KL(q(z|x) || p(z)) has a closed form: of a Gaussian from N(0, I)."""
        return self.posterior != "iaf" and self.prior == "standard"

    @property
    def scale_kind(self) -> str:
        """The kind of the likelihood's scale: "fixed", "learned" or "per_pixel"."""
        if self.likelihood_scale_kind != "auto":
            return self.likelihood_scale_kind
        return "learned" if self.likelihood == "discretized_logistic" else "fixed"

    @property
    def initial_scale(self) -> float:
        """The likelihood's scale, or where it starts."""
        if self.likelihood_scale is not None:
            return self.likelihood_scale
        return 1.0 if self.scale_kind == "fixed" else 0.1


def check_distributions(model: DistributionOptions, latent_dim: int) -> None:
    """Refuses distributions that do not go together.

    Raises:
        ConfigError: says which, why, and what to do.
    """
    if model.posterior == "iaf" and not model.iaf_units:
        raise ConfigError("--iaf_units needs at least one number for posterior iaf")
    if model.posterior == "iaf" and model.prior == "vamp":
        raise ConfigError(
            "--prior=vamp needs the density of the posterior at any z, which posterior iaf gives "
            "only one dimension after another: take --posterior=diagonal or full, or another prior"
        )
    if model.prior == "flow" and latent_dim < 2:
        raise ConfigError(
            f"--prior=flow couples two halves of z: --latent_dim must be at least 2, "
            f"got {latent_dim}"
        )
    has_scale = model.likelihood in ("gaussian", "discretized_logistic")
    if has_scale and model.scale_kind != "fixed":
        _check_learned_scale(model.initial_scale)


def _check_learned_scale(scale: float) -> None:
    if not _LEAST_SCALE < scale < _GREATEST_SCALE:
        raise ConfigError(
            f"--likelihood_scale of a learned scale must be in ({_LEAST_SCALE:.4f}, "
            f"{_GREATEST_SCALE:.1f}), got {scale}"
        )
