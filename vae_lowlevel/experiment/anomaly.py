"""How images like those a run was trained on score: what an export takes its threshold from.

The scores of the validation images are kept in the run folder, so that an export needs no data.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_lowlevel import files
from vae_lowlevel.config.flags import read_run
from vae_lowlevel.errors import DataError, RunError

if TYPE_CHECKING:
    from vae_lowlevel.models.vae import VariationalAutoencoder
    from vae_lowlevel.types import Dataset

FILE = "anomaly_scores.npz"
# Without validation images, so many training images stand for them.
MOST_TRAINING_IMAGES = 5000


class NormalScores(NamedTuple):
    """`anomaly_score` of images that are no anomalies.

    Attributes:
        score: float32 [N].
        split: where the images are from, "validation" or "train".
        weights: the name of the checkpoint the scores are of.
    """

    score: np.ndarray
    split: str
    weights: str

    def threshold(self, quantile: float) -> float:
        """Returns the score that a part `quantile` of the images does not exceed."""
        return float(np.quantile(self.score, quantile))


def measure_normal_scores(
    model: VariationalAutoencoder, weights: str, dataset: Dataset, model_dir: str
) -> NormalScores:
    """Scores a run's validation images and keeps the scores in its folder.

    Args:
        model: with the weights that will be exported.
        weights: path of their checkpoint.
        dataset: of the run.
        model_dir: its folder.
    """
    from vae_lowlevel.serving.predictor import Predictor
    from vae_lowlevel.serving.signatures import ServingModel

    split = "validation" if len(dataset.validation) else "train"
    examples = getattr(dataset, split)[: None if split == "validation" else MOST_TRAINING_IMAGES]
    inference = Predictor(ServingModel(model), model.image_shape, model.latent_dim)
    label = examples.label if inference.is_conditional else None
    score = inference.score(examples.image, label).anomaly_score
    scores = NormalScores(score, split, os.path.basename(weights))
    content = io.BytesIO()
    np.savez(content, **scores._asdict())
    files.write(os.path.join(model_dir, FILE), content.getvalue())
    return scores


def normal_scores(model: VariationalAutoencoder, weights: str, model_dir: str) -> NormalScores:
    """Returns the scores kept in a run's folder; measures them where there are none of its weights.

    Raises:
        RunError: they have to be measured, and the run's data are not there.
    """
    path = os.path.join(model_dir, FILE)
    if files.is_file(path):
        try:
            with np.load(io.BytesIO(files.read(path))) as arrays:
                kept = NormalScores(arrays["score"], str(arrays["split"]), str(arrays["weights"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RunError(f"{path}: not what training wrote: {error}; delete it") from error
        if kept.weights == os.path.basename(weights):
            return kept

    from vae_lowlevel.data.load import load_dataset

    try:
        dataset = load_dataset(read_run(model_dir).data)
    except DataError as error:
        raise RunError(
            f"the threshold of is_anomaly needs the scores of the run's validation images, which "
            f"{path} has not for these weights, and the data cannot be read: {error}\n"
            "Let training finish, or say where the data are with $VAE_LOWLEVEL_DATA_DIR"
        ) from error
    return measure_normal_scores(model, weights, dataset, model_dir)
