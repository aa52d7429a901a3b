"""Config -> built objects. The one place that knows which setting chooses which class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from vae_lowlevel.config import Config, ModelConfig, ObjectiveConfig, OptimizerConfig
from vae_lowlevel.distributions import likelihoods, posteriors, priors, scales
from vae_lowlevel.layers.activations import ACTIVATIONS
from vae_lowlevel.models.vae import VAE
from vae_lowlevel.networks.conv import conv_decoder, conv_encoder
from vae_lowlevel.networks.coupling import coupling_network
from vae_lowlevel.networks.made import Made
from vae_lowlevel.networks.mlp import mlp_decoder, mlp_encoder
from vae_lowlevel.networks.resnet import resnet_decoder, resnet_encoder
from vae_lowlevel.objectives import kl_schedules
from vae_lowlevel.objectives.bits_per_dim import WithBitsPerDim
from vae_lowlevel.objectives.dynamic_binarization import DynamicBinarization
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.optimizers import schedules
from vae_lowlevel.optimizers.adam import Adam
from vae_lowlevel.randomness import fold, make_seed


def build_model(config: ModelConfig, image_shape: tuple[int, int, int], seed: int) -> VAE:
    """Builds the model with all its variables.

    Args:
        config: the model's settings.
        image_shape: (H, W, C).
        seed: of the initial weights.
    """
    height, width, channels = image_shape
    init_seed = fold(make_seed(seed), "initial weights")
    posterior = _build_posterior(config, fold(init_seed, "posterior"))
    likelihood = _build_likelihood(config)
    shared = {"activation": ACTIVATIONS[config.activation], "dtype": tf.as_dtype(config.precision)}
    encoder = {
        **shared,
        "image_shape": image_shape,
        "out_features": posterior.parameter_size,
        "seed": fold(init_seed, "encoder"),
    }
    decoder = {
        **shared,
        "image_shape": (height, width, channels * likelihood.parameters_per_value),
        "in_features": config.latent_dim,
        "seed": fold(init_seed, "decoder"),
    }
    if config.network == "mlp":
        gated = config.dense_layer == "gated"
        networks = (
            mlp_encoder(**encoder, units=config.encoder_units, gated=gated),
            mlp_decoder(**decoder, units=config.decoder_units, gated=gated),
        )
    elif config.network == "resnet":
        levels = {"filters": config.resnet_filters, "blocks": config.resnet_blocks}
        networks = (
            resnet_encoder(**encoder, **levels, norm=config.normalization),
            resnet_decoder(**decoder, **levels, norm=config.normalization),
        )
    else:
        networks = (
            conv_encoder(
                **encoder,
                units=config.encoder_units,
                filters=config.encoder_filters,
                strides=config.encoder_strides,
                kernel_size=config.kernel_size,
            ),
            conv_decoder(
                **decoder,
                units=config.decoder_units,
                filters=config.decoder_filters,
                strides=config.decoder_strides,
                kernel_size=config.kernel_size,
            ),
        )
    encoder, decoder_network = networks
    return VAE(
        image_shape=image_shape,
        latent_dim=config.latent_dim,
        encoder=encoder,
        posterior=posterior,
        prior=_build_prior(
            config,
            image_shape,
            encode=lambda image: posterior(encoder(image)),
            seed=fold(init_seed, "prior"),
        ),
        decoder=decoder_network,
        likelihood=likelihood,
    )


def build_float32_model(config: Config, image_shape: tuple[int, int, int]) -> VAE:
    """Builds the model that is evaluated and exported: float32 throughout."""
    model_config = dataclasses.replace(config.model, precision="float32")
    return build_model(model_config, image_shape, config.training.seed)


def _build_posterior(config: ModelConfig, seed: tf.Tensor) -> tf.Module:
    if config.posterior == "full":
        return posteriors.FullPosterior(config.latent_dim)
    if config.posterior == "iaf":
        made = [
            Made(
                config.latent_dim,
                config.iaf_context,
                units=config.iaf_units,
                activation=ACTIVATIONS[config.activation],
                seed=fold(seed, f"step_{index}"),
                name=f"step_{index}",
            )
            for index in range(config.iaf_steps)
        ]
        return posteriors.AutoregressiveFlowPosterior(config.latent_dim, config.iaf_context, made)
    return posteriors.DiagonalPosterior(config.latent_dim)


def _build_prior(
    config: ModelConfig,
    image_shape: tuple[int, int, int],
    *,
    encode: Callable[[tf.Tensor], Any],
    seed: tf.Tensor,
) -> tf.Module:
    if config.prior == "mixture":
        return priors.MixturePrior(config.latent_dim, config.prior_components, seed=seed)
    if config.prior == "vamp":
        return priors.VampPrior(encode, image_shape, config.prior_components, seed=seed)
    if config.prior == "flow":
        couplings = [
            coupling_network(
                config.latent_dim,
                units=config.prior_flow_units,
                activation=ACTIVATIONS[config.activation],
                seed=fold(seed, f"coupling_{index}"),
                name=f"coupling_{index}",
            )
            for index in range(config.prior_flow_steps)
        ]
        return priors.FlowPrior(config.latent_dim, couplings)
    return priors.StandardPrior(config.latent_dim)


def _build_likelihood(config: ModelConfig) -> tf.Module:
    if config.likelihood == "bernoulli":
        return likelihoods.BernoulliLikelihood()
    if config.likelihood == "continuous_bernoulli":
        return likelihoods.ContinuousBernoulliLikelihood()
    kinds = {
        "fixed": scales.FixedScale,
        "learned": scales.LearnedScale,
        "per_pixel": scales.PixelScale,
    }
    scale = kinds[config.scale_kind](config.initial_scale)
    if config.likelihood == "gaussian":
        return likelihoods.GaussianLikelihood(scale)
    return likelihoods.DiscretizedLogisticLikelihood(scale)


def build_objective(config: ObjectiveConfig, steps_per_epoch: int) -> Elbo:
    """Builds the objective; schedules given in epochs become steps."""
    if config.kl_schedule == "linear":
        weight = kl_schedules.linear(config.kl_weight, config.kl_warmup_epochs * steps_per_epoch)
    elif config.kl_schedule == "cyclical":
        weight = kl_schedules.cyclical(
            config.kl_weight, config.kl_cycle_epochs * steps_per_epoch, config.kl_ramp_fraction
        )
    else:
        weight = kl_schedules.constant(config.kl_weight)
    return Elbo(
        kl_weight=weight,
        pixel_reduction=config.pixel_reduction,
        free_bits=config.free_bits,
        kl_estimator=config.kl_estimator,
    )


def build_final_objective(config: ObjectiveConfig) -> Elbo:
    """Builds the objective with the full KL weight, for the test at the end."""
    return build_objective(dataclasses.replace(config, kl_schedule="constant"), steps_per_epoch=1)


def fit_to_pixels(config: Config, objective: Callable[..., Any]) -> Callable[..., Any]:
    """Adds to an objective what the kind of its pixels asks for.

    Bits per dimension for a likelihood of grey levels; a new draw of black and white pixels at
    every step for `--binarize=dynamic`.
    """
    if config.model.likelihood == "discretized_logistic":
        objective = WithBitsPerDim(objective)
    if config.data.binarize == "dynamic":
        objective = DynamicBinarization(objective)
    return objective


def describe_kl(objective: Elbo, model: VAE) -> str:
    """Returns one line on how the KL is computed, for the log."""
    if objective.is_analytic(model):
        return "KL from its closed form"
    return "KL from one draw of z an image (Monte Carlo): no closed form is used"


def build_learning_rate(
    config: OptimizerConfig, steps_per_epoch: int, total_steps: int
) -> schedules.Schedule:
    """Builds the learning-rate schedule."""
    if config.learning_rate_schedule == "cosine":
        schedule = schedules.cosine(
            config.learning_rate, total_steps, config.learning_rate_final_fraction
        )
    elif config.learning_rate_schedule == "exponential":
        schedule = schedules.exponential(
            config.learning_rate,
            config.learning_rate_decay,
            config.learning_rate_decay_epochs * steps_per_epoch,
        )
    else:
        schedule = schedules.constant(config.learning_rate)
    return schedules.with_warmup(schedule, config.learning_rate_warmup_steps)


def build_optimizer(config: OptimizerConfig, model: VAE) -> Adam:
    """Builds the optimiser with the moments of the model's variables."""
    return Adam(
        model.trainable_variables,
        beta1=config.adam_beta1,
        beta2=config.adam_beta2,
        epsilon=config.adam_epsilon,
    )
