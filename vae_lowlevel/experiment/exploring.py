"""The latent explorer of a run: what its page shows, collected and written."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import choose_examples, padded_batches
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.evaluation.metrics import ACTIVE_VARIANCE
from vae_lowlevel.evaluation.units import unit_rates
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.pages.decoder_graph import decoder_program
from vae_lowlevel.pages.explorer import (
    CHANNELS,
    ExplorerData,
    Posteriors,
    Prior,
    Unit,
    explorer_page,
)
from vae_lowlevel.randomness import ALGORITHM, fold, make_seed
from vae_lowlevel.types import Dataset, Examples, Model, is_vector_shape, to_unit

# Test images whose latents are shown, and those that can be chosen.
MOST_POINTS = 2000
MOST_IMAGES = 24
# Draws that stand for a posterior which is no Gaussian, and for a prior which is none.
POSTERIOR_DRAWS = 64
PRIOR_DRAWS = 2000
# Sliders reach this many standard deviations of a Gaussian prior, or this part of other draws.
PRIOR_DEVIATIONS = 3.0
PRIOR_QUANTILES = (0.002, 0.998)
HISTOGRAM_BINS = 24
# A unit of a sparse code is dead when no image makes it more active.
ACTIVE_ACTIVITY = 0.01


def write_explorer(
    config: Config, folder: RunFolder, dataset: Dataset, model: Model, path: str
) -> str:
    """Writes the latent explorer of a run, an HTML file that needs no other file and no network.

    Args:
        config: of the run.
        folder: of the run; its name is the title.
        dataset: of the run; test images and their classes are shown.
        model: with the best weights, float32.
        path: of the file; its folder is made if missing.

    Returns:
        The path.

    Raises:
        ConfigError: the decoder cannot run in a page, or its results are no grey or RGB images.
        DataError: there are no test images.
    """
    _check(dataset, model)
    program = decoder_program(model)
    seed = fold(make_seed(config.training.seed), "explorer")
    test = choose_examples(dataset.test, MOST_POINTS, config.training.seed)
    chosen = test[_balanced_rows(test.label, MOST_IMAGES)]
    points = _encode(model, test, config.training.evaluation_batch_size)
    image_z = _encode(model, chosen, len(chosen))["z"]
    prior = _describe_prior(model, seed) if model.has_prior else None
    is_plane = model.latent_dim == 2
    data = ExplorerData(
        title=os.path.basename(os.path.normpath(folder.path)),
        description=_describe(config, model),
        program=program,
        is_conditional=bool(model.num_classes),
        class_names=tuple(dataset.class_names),
        images=chosen.image,
        image_labels=chosen.label,
        image_z=image_z,
        posteriors=_describe_posteriors(model, chosen, seed) if model.has_prior else None,
        prior=prior,
        points=points["z"] if is_plane else None,
        point_labels=test.label if is_plane else None,
        units=_describe_units(model, points, image_z, prior),
        unit_measure=_unit_measure(model, points),
    )
    files.make_folder(os.path.dirname(path) or ".")
    files.write(path, explorer_page(data).encode())
    return path


def _check(dataset: Dataset, model: Model) -> None:
    shape = tuple(model.image_shape)
    if is_vector_shape(shape) or shape[-1] not in CHANNELS:
        raise ConfigError(
            "the explorer draws images [H, W, 1] or [H, W, 3], but this model is one of "
            f"{list(shape)}: write the report without --explorer"
        )
    if not len(dataset.test):
        raise DataError("the explorer shows test images, but the test split has none")


def _describe(config: Config, model: Model) -> str:
    settings = config.model
    networks = {"mlp": "dense", "conv": "convolutional", "resnet": "residual"}
    network = networks.get(settings.network, settings.network)
    kind = {"vae": "VAE", "ladder": "ladder VAE", "sparse_autoencoder": "sparse autoencoder"}
    conditional = "conditional " if model.num_classes else ""
    name = f"{conditional}{network} {kind[settings.model]}"
    latents = f"{model.latent_dim} latent{'' if model.latent_dim == 1 else 's'}"
    return f"{name[0].upper()}{name[1:]} with {latents}, on {config.data.dataset}"


def _balanced_rows(label: np.ndarray, count: int) -> np.ndarray:
    """Returns rows in which the classes take turns, each from its first row on; int [<= count]."""
    turns = np.zeros(len(label), np.int64)
    for number in np.unique(label):
        turns[label == number] = np.arange(np.sum(label == number))
    return np.lexsort((label, turns))[:count]


def _encode(model: Model, examples: Examples, batch_size: int) -> dict[str, np.ndarray]:
    """Encodes images, given their classes.

    Returns:
        `z`, the embeddings, float32 [N, D]; `measure`, float32 [N, D]: the KL of each unit in nats
        where it has a closed form, for a code the activity; left out otherwise.
    """

    def encode(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        conditioned = model.conditioned_on(label)
        encoded = conditioned.encode(to_unit(image))
        if not model.has_prior:
            return {"z": encoded, "measure": model.activity(encoded)}
        values = {"z": conditioned.posterior.embedding(encoded)}
        rates = unit_rates(conditioned, encoded)
        return values if rates is None else {**values, "measure": rates}

    image = tf.TensorSpec([None, *model.image_shape], tf.uint8)
    signature = [image, tf.TensorSpec([None], tf.int32)]
    encode = tf.function(encode, input_signature=signature, autograph=False)
    parts: dict[str, list[np.ndarray]] = {}
    for batch, mask in padded_batches(examples, min(batch_size, len(examples))):
        for name, value in encode(batch.image, batch.label).items():
            parts.setdefault(name, []).append(value.numpy()[mask > 0])
    return {name: np.concatenate(part) for name, part in parts.items()}


def _describe_posteriors(model: Model, examples: Examples, seed: tf.Tensor) -> Posteriors:
    conditioned = model.conditioned_on(tf.constant(examples.label))
    posterior = conditioned.encode(to_unit(examples.image))
    if not conditioned.posterior.is_gaussian:
        shape = [POSTERIOR_DRAWS, len(examples), model.latent_dim]
        noise = tf.random.stateless_normal(shape, fold(seed, "posterior"), alg=ALGORITHM)
        draws, _ = conditioned.sample_and_log_prob(posterior, noise)
        return Posteriors(draws=draws.numpy().swapaxes(0, 1))
    parameters = conditioned.posterior.parameters(posterior)
    if "z_scale_tril" in parameters:
        return Posteriors(scale=parameters["z_scale_tril"].numpy())
    return Posteriors(scale=np.exp(0.5 * parameters["z_log_var"].numpy()))


def _describe_prior(model: Model, seed: tf.Tensor) -> Prior:
    prior = model.prior()
    if model.prior.is_gaussian:
        return Prior(loc=prior.mean().numpy(), scale=prior.stddev().numpy())
    return Prior(draws=prior.sample(PRIOR_DRAWS, seed=fold(seed, "prior")).numpy())


def _unit_measure(model: Model, points: dict[str, np.ndarray]) -> str:
    if not model.has_prior:
        return "mean activity"
    if "measure" in points:
        return "KL from the prior, in nats"
    return "the variance of z over the test images"


def _describe_units(
    model: Model, points: dict[str, np.ndarray], image_z: np.ndarray, prior: Prior | None
) -> tuple[Unit, ...]:
    """Returns the units, the most used first."""
    z = points["z"]
    variance = z.var(axis=0, dtype=np.float64)
    measure = points.get("measure")
    value = variance if measure is None else measure.mean(axis=0, dtype=np.float64)
    if model.has_prior:
        is_active = variance > ACTIVE_VARIANCE
    else:
        is_active = measure.max(axis=0) > ACTIVE_ACTIVITY
    low, high = _slider_ends(z, image_z, prior)
    return tuple(
        Unit(
            number=int(number),
            value=float(value[number]),
            low=float(low[number]),
            high=float(high[number]),
            histogram=tuple(
                np.histogram(z[:, number], HISTOGRAM_BINS, (low[number], high[number]))[0].tolist()
            ),
            is_active=bool(is_active[number]),
        )
        for number in np.argsort(-value, kind="stable")
    )


def _slider_ends(
    z: np.ndarray, image_z: np.ndarray, prior: Prior | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the sliders begin and end, float64 [D] each: all that z can usefully be.

    That is what the prior draws, nearly all test images, and all that can be chosen. The code of a
    sparse autoencoder begins at 0, or below where it is negative, and ends at its largest value.
    """
    if prior is None:
        low, high = np.minimum(z.min(0), 0.0), z.max(0)
    else:
        if prior.draws is None:
            usual = [prior.loc + sign * PRIOR_DEVIATIONS * prior.scale for sign in (-1.0, 1.0)]
        else:
            usual = np.quantile(prior.draws, PRIOR_QUANTILES, axis=0)
        seen = np.quantile(z, PRIOR_QUANTILES, axis=0)
        low, high = np.minimum(usual[0], seen[0]), np.maximum(usual[1], seen[1])
    low, high = np.minimum(low, image_z.min(0)), np.maximum(high, image_z.max(0))
    # A dead unit has one value, and still needs a slider.
    return low.astype(np.float64), np.where(high > low, high, low + 1.0).astype(np.float64)
