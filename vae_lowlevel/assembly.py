"""Config -> built objects. The one place that knows which setting chooses which class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from vae_lowlevel.config import Config, ModelConfig, ObjectiveConfig, OptimizerConfig
from vae_lowlevel.distributions import likelihoods, posteriors, priors, scales
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.layers.activations import ACTIVATIONS
from vae_lowlevel.models.conditional_vae import ConditionalVAE
from vae_lowlevel.models.sparse_autoencoder import SparseAutoencoder, SparseCode
from vae_lowlevel.models.vae import VAE
from vae_lowlevel.networks.conv import conv_decoder, conv_encoder
from vae_lowlevel.networks.coupling import coupling_network
from vae_lowlevel.networks.made import Made
from vae_lowlevel.networks.mlp import mlp_decoder, mlp_encoder
from vae_lowlevel.networks.resnet import resnet_decoder, resnet_encoder
from vae_lowlevel.objectives import kl_schedules
from vae_lowlevel.objectives.bits_per_dim import WithBitsPerDim
from vae_lowlevel.objectives.corruption import build_corruption
from vae_lowlevel.objectives.denoising import Denoising
from vae_lowlevel.objectives.dynamic_binarization import DynamicBinarization
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.objectives.sparsity import Sparsity
from vae_lowlevel.optimizers import schedules
from vae_lowlevel.optimizers.adam import Adam
from vae_lowlevel.optimizers.averaging import AveragedModel
from vae_lowlevel.optimizers.loss_scale import LossScale
from vae_lowlevel.randomness import fold, make_seed

Model = VAE | ConditionalVAE | SparseAutoencoder


def build_model(
    config: ModelConfig, image_shape: tuple[int, int, int], seed: int, num_classes: int = 0
) -> Model:
    """Builds the model with all its variables.

    Args:
        config: the model's settings.
        image_shape: (H, W, C).
        seed: of the initial weights.
        num_classes: of the data; 0 where they have no labels.

    Raises:
        ConfigError: the model is conditional, and the data have no labels.
    """
    height, width, channels = image_shape
    if config.conditional and not num_classes:
        raise ConfigError("--conditional needs labels, but the data have no classes")
    # Numbers a label adds to every pixel and to z.
    label_size = num_classes if config.conditional else 0
    init_seed = fold(make_seed(seed), "initial weights")
    posterior = _build_posterior(config, fold(init_seed, "posterior"))
    likelihood = _build_likelihood(config)
    shared = {"activation": ACTIVATIONS[config.activation], "dtype": tf.as_dtype(config.precision)}
    encoder = {
        **shared,
        "image_shape": (height, width, channels + label_size),
        "out_features": posterior.parameter_size,
        "seed": fold(init_seed, "encoder"),
    }
    decoder = {
        **shared,
        "image_shape": (height, width, channels * likelihood.parameters_per_value),
        "in_features": config.latent_dim + label_size,
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
    if config.model == "sparse_autoencoder":
        return SparseAutoencoder(
            image_shape=image_shape,
            latent_dim=config.latent_dim,
            encoder=encoder,
            code=posterior,
            decoder=decoder_network,
            likelihood=likelihood,
        )
    vae = VAE(
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
    return ConditionalVAE(vae, num_classes) if config.conditional else vae


def build_float32_model(
    config: Config, image_shape: tuple[int, int, int], num_classes: int = 0
) -> Model:
    """Builds the model that is evaluated and exported: float32 throughout."""
    model_config = dataclasses.replace(config.model, precision="float32")
    return build_model(model_config, image_shape, config.training.seed, num_classes)


def _build_posterior(config: ModelConfig, seed: tf.Tensor) -> tf.Module:
    if config.model == "sparse_autoencoder":
        return SparseCode(config.latent_dim, config.latent_activation)
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


def build_objective(
    config: ObjectiveConfig, steps_per_epoch: int, model: str = "vae"
) -> Elbo | Sparsity:
    """Builds the objective of a kind of model; schedules given in epochs become steps."""
    if model == "sparse_autoencoder":
        return Sparsity(
            target=config.sparsity_target,
            weight=config.sparsity_weight,
            pixel_reduction=config.pixel_reduction,
        )
    if config.kl_schedule == "linear":
        weight = kl_schedules.linear(config.kl_weight, config.kl_warmup_epochs * steps_per_epoch)
    elif config.kl_schedule == "cyclical":
        weight = kl_schedules.cyclical(
            config.kl_weight, config.kl_cycle_epochs * steps_per_epoch, config.kl_ramp_fraction
        )
    else:
        weight = kl_schedules.constant(config.kl_weight)
    capacity = None
    if config.capacity is not None:
        capacity = kl_schedules.linear(config.capacity, config.capacity_epochs * steps_per_epoch)
    return _build_elbo(config, weight, capacity)


def _build_elbo(
    config: ObjectiveConfig,
    kl_weight: kl_schedules.Schedule,
    capacity: kl_schedules.Schedule | None,
) -> Elbo:
    return Elbo(
        kl_weight=kl_weight,
        pixel_reduction=config.pixel_reduction,
        free_bits=config.free_bits,
        kl_estimator=config.kl_estimator,
        capacity=capacity,
    )


def build_final_objective(config: ObjectiveConfig, model: str = "vae") -> Elbo | Sparsity:
    """Builds the objective with the full KL weight and capacity, for the test at the end."""
    if model == "sparse_autoencoder":
        return build_objective(config, steps_per_epoch=1, model=model)
    capacity = None if config.capacity is None else kl_schedules.constant(config.capacity)
    return _build_elbo(config, kl_schedules.constant(config.kl_weight), capacity)


def build_training_objective(config: Config, objective: Elbo | Sparsity) -> Callable[..., Any]:
    """Builds what training minimises: the objective, of corrupted images where that is asked.

    What is corrupted is the target, so dynamically binarised images first get their black and
    white pixels.
    """
    settings = config.objective
    corruption = build_corruption(settings.corruption, settings.corruption_strength)
    if corruption is not None:
        objective = Denoising(objective, corruption)
    return fit_to_pixels(config, objective)


def fit_to_pixels(config: Config, objective: Callable[..., Any]) -> Callable[..., Any]:
    """Adds to an objective what the kind of its pixels asks for.

    Bits per dimension for a VAE with a likelihood of grey levels; a new draw of black and white
    pixels at every step for `--binarize=dynamic`.
    """
    if config.model.likelihood == "discretized_logistic" and config.model.model == "vae":
        objective = WithBitsPerDim(objective)
    if config.data.binarize == "dynamic":
        objective = DynamicBinarization(objective)
    return objective


def describe_kl(objective: Elbo, model: VAE | ConditionalVAE) -> str:
    """Returns one line on how the KL is computed, for the log."""
    if objective.is_analytic(model.given(tf.constant([0]))):
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


def build_optimizer(
    config: OptimizerConfig, model: Model, trained: Sequence[tf.Variable] | None = None
) -> Adam:
    """Builds the optimiser with the moments of what is trained; None for all of the model."""
    return Adam(
        model.trainable_variables if trained is None else trained,
        beta1=config.adam_beta1,
        beta2=config.adam_beta2,
        epsilon=config.adam_epsilon,
    )


def build_averaged_model(
    config: Config, model: Model, image_shape: tuple[int, int, int], num_classes: int = 0
) -> AveragedModel | None:
    """Builds the moving averages of a model, at its present weights; None where none are asked."""
    if config.optimizer.ema_decay is None:
        return None
    averaged = AveragedModel(
        build_model(config.model, image_shape, config.training.seed, num_classes),
        config.optimizer.ema_decay,
    )
    averaged.start(model)
    return averaged


def build_loss_scale(config: Config) -> LossScale | None:
    """Builds the dynamic loss scale of float16; None for other formats."""
    if config.model.precision != "float16":
        return None
    return LossScale(config.optimizer.loss_scale_growth_steps)
