"""Settings of the model -> the model, from networks and distributions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.config import Config, ModelConfig
from vae_lowlevel.distributions import likelihoods, posteriors, priors
from vae_lowlevel.distributions.ladder import LadderPosterior, LadderPrior
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.layers.activations import ACTIVATIONS
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.models.conditional_vae import ConditionalVAE
from vae_lowlevel.models.sparse_autoencoder import SparseAutoencoder, SparseCode
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.networks.conv import conv_decoder, conv_encoder
from vae_lowlevel.networks.flows import Made, coupling_network
from vae_lowlevel.networks.ladder import bottom_up_networks, top_down_networks
from vae_lowlevel.networks.mlp import mlp_decoder, mlp_encoder
from vae_lowlevel.networks.resnet import resnet_decoder, resnet_encoder
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.types import Model


def build_model(
    config: ModelConfig,
    image_shape: tuple[int, int, int],
    seed: int,
    num_classes: int = 0,
    batch_parts: int = 1,
) -> Model:
    """Builds the model with all its variables.

    Args:
        config: the model's settings.
        image_shape: (H, W, C).
        seed: of the initial weights.
        num_classes: number of classes of the data; 0 where they have no labels.
        batch_parts: of encoder and decoder; see `Sequential`.

    Raises:
        ConfigError: the model is conditional and the data have no labels, or the images are too
            small for the network.
    """
    if config.conditional and not num_classes:
        raise ConfigError("--conditional needs labels, but the data have no classes")
    # A label adds one channel per class to the image and one number per class to z.
    label_size = num_classes if config.conditional else 0
    latent_dim = config.sizes.latent_dim
    height, width, channels = image_shape
    init_seed = fold(make_seed(seed), "initial weights")

    def encode_pseudo_inputs(image: tf.Tensor) -> tfp.distributions.Distribution:
        """Returns q(z|x) or, of a ladder, that of the top level; labels are those of no class."""
        parameters = encoder(tf.pad(image, [[0, 0], [0, 0], [0, 0], [0, label_size]]))
        is_ladder = config.model == "ladder"
        return posterior.top_level(parameters) if is_ladder else posterior(parameters)

    prior = _build_prior(
        config, image_shape, encode=encode_pseudo_inputs, seed=fold(init_seed, "prior")
    )
    if config.model == "ladder":
        posterior = _build_ladder_posterior(config, prior, fold(init_seed, "posterior"))
    else:
        posterior = _build_posterior(config, fold(init_seed, "posterior"))
    likelihood = _build_likelihood(config)
    encoder, decoder = _build_networks(
        config,
        encoder={
            "image_shape": (height, width, channels + label_size),
            "out_features": posterior.parameter_size,
            "seed": fold(init_seed, "encoder"),
        },
        decoder={
            "image_shape": (height, width, channels * likelihood.parameters_per_value),
            "in_features": latent_dim + label_size,
            "seed": fold(init_seed, "decoder"),
        },
    )
    encoder.batch_parts = decoder.batch_parts = batch_parts
    if config.model == "sparse_autoencoder":
        return SparseAutoencoder(
            image_shape=image_shape,
            latent_dim=latent_dim,
            encoder=encoder,
            code=posterior,
            decoder=decoder,
            likelihood=likelihood,
        )

    vae = VariationalAutoencoder(
        image_shape=image_shape,
        latent_dim=latent_dim,
        encoder=encoder,
        posterior=posterior,
        prior=prior,
        decoder=decoder,
        likelihood=likelihood,
    )
    return ConditionalVAE(vae, num_classes) if config.conditional else vae


def build_float32_model(
    config: Config, image_shape: tuple[int, int, int], num_classes: int = 0
) -> Model:
    """Builds the model in float32, in which it is evaluated and exported."""
    model_config = dataclasses.replace(config.model, precision="float32")
    return build_model(model_config, image_shape, config.training.seed, num_classes)


def _build_networks(
    config: ModelConfig, encoder: dict[str, Any], decoder: dict[str, Any]
) -> tuple[Sequential, Sequential]:
    """Builds encoder and decoder from their ends: shapes, features and seed of each."""
    shared = {"activation": ACTIVATIONS[config.activation], "dtype": tf.as_dtype(config.precision)}
    if config.network == "mlp":
        shared["gated"] = config.dense_layer == "gated"
        return (
            mlp_encoder(**encoder, **shared, units=config.encoder_units),
            mlp_decoder(**decoder, **shared, units=config.decoder_units),
        )
    if config.network == "resnet":
        shared["filters"] = config.sizes.resnet_filters
        shared["blocks"] = config.sizes.resnet_blocks
        shared["norm"] = config.normalization
        return resnet_encoder(**encoder, **shared), resnet_decoder(**decoder, **shared)
    shared["kernel_size"] = config.kernel_size
    return (
        conv_encoder(
            **encoder,
            **shared,
            units=config.encoder_units,
            filters=config.encoder_filters,
            strides=config.encoder_strides,
        ),
        conv_decoder(
            **decoder,
            **shared,
            units=config.decoder_units,
            filters=config.decoder_filters,
            strides=config.decoder_strides,
        ),
    )


def _build_posterior(config: ModelConfig, seed: tf.Tensor) -> tf.Module:
    latent_dim = config.sizes.latent_dim
    if config.model == "sparse_autoencoder":
        return SparseCode(latent_dim, config.latent_activation)
    if config.posterior == "full":
        return posteriors.FullPosterior(latent_dim)
    if config.posterior == "iaf":
        made = [
            Made(
                latent_dim,
                config.iaf_context,
                units=config.iaf_units,
                activation=ACTIVATIONS[config.activation],
                seed=fold(seed, f"step_{index}"),
                name=f"step_{index}",
            )
            for index in range(config.iaf_steps)
        ]
        return posteriors.AutoregressiveFlowPosterior(latent_dim, config.iaf_context, made)
    return posteriors.DiagonalPosterior(latent_dim)


def _build_prior(
    config: ModelConfig,
    image_shape: tuple[int, int, int],
    *,
    encode: Callable[[tf.Tensor], tfp.distributions.Distribution],
    seed: tf.Tensor,
) -> tf.Module:
    """Builds p(z); `encode` maps pseudo-inputs to posteriors of z or, of a ladder, of its top."""
    if config.model != "ladder":
        return _build_flat_prior(config, config.sizes.latent_dim, image_shape, encode, seed)
    networks = top_down_networks(config.ladder_dims, **_ladder_settings(config), seed=seed)
    top = _build_flat_prior(config, config.ladder_dims[0], image_shape, encode, fold(seed, "top"))
    return LadderPrior(config.ladder_dims, networks, top)


def _build_flat_prior(
    config: ModelConfig,
    latent_dim: int,
    image_shape: tuple[int, int, int],
    encode: Callable[[tf.Tensor], tfp.distributions.Distribution],
    seed: tf.Tensor,
) -> tf.Module:
    """Builds a prior of `latent_dim` dimensions without levels."""
    if config.prior == "mixture":
        return priors.MixturePrior(latent_dim, config.prior_components, seed=seed)
    if config.prior == "vamp":
        return priors.VampPrior(encode, image_shape, config.prior_components, seed=seed)
    if config.prior == "flow":
        couplings = [
            coupling_network(
                latent_dim,
                units=config.prior_flow_units,
                activation=ACTIVATIONS[config.activation],
                seed=fold(seed, f"coupling_{index}"),
                name=f"coupling_{index}",
            )
            for index in range(config.prior_flow_steps)
        ]
        return priors.FlowPrior(latent_dim, couplings)
    return priors.StandardPrior(latent_dim)


def _build_ladder_posterior(
    config: ModelConfig, prior: LadderPrior, seed: tf.Tensor
) -> LadderPosterior:
    networks = bottom_up_networks(config.ladder_dims, **_ladder_settings(config), seed=seed)
    # With one level there are no features and may be no units.
    features = config.ladder_units[0] if networks else 0
    return LadderPosterior(config.ladder_dims, features, networks, prior.conditional)


def _ladder_settings(config: ModelConfig) -> dict[str, Any]:
    return {
        "units": config.ladder_units,
        "activation": ACTIVATIONS[config.activation],
        "gated": config.dense_layer == "gated",
    }


def _build_likelihood(config: ModelConfig) -> likelihoods.Likelihood:
    if config.likelihood == "bernoulli":
        return likelihoods.BernoulliLikelihood()
    if config.likelihood == "continuous_bernoulli":
        return likelihoods.ContinuousBernoulliLikelihood()
    kinds = {
        "fixed": likelihoods.FixedScale,
        "learned": likelihoods.LearnedScale,
        "per_pixel": likelihoods.PixelScale,
    }
    scale = kinds[config.scale_kind](config.initial_scale)
    if config.likelihood == "gaussian":
        return likelihoods.GaussianLikelihood(scale)
    return likelihoods.DiscretizedLogisticLikelihood(scale)
