"""The anomaly scores of normal images, from which an export takes its threshold.

The scores of the validation images are kept in the run folder, so that an export needs no data:
one file for each kind of score and each precision.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np

from vae_lowlevel import files
from vae_lowlevel.data.arrays import parse_npz
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import DataError, RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import BestModel
from vae_lowlevel.serving.predictor import Predictor
from vae_lowlevel.serving.scores import choose_score
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import Dataset

# Training images that are scored where there is no validation split.
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
    serving_model: ServingModel, best: BestModel, dataset: Dataset, folder: RunFolder
) -> NormalScores:
    """Scores a run's validation images and keeps the scores in its folder.

    Args:
        serving_model: what will be exported; the scores are its own, in its precision.
        best: the model in it.
        dataset: of the run.
        folder: of the run.
    """
    split = "validation" if len(dataset.validation) else "train"
    examples = getattr(dataset, split)[: None if split == "validation" else MOST_TRAINING_IMAGES]
    predictor = Predictor.from_model(serving_model)
    label = examples.label if predictor.is_conditional else None
    score = predictor.score(examples.image, label).anomaly_score
    scores = NormalScores(score, split, best.checkpoint)
    content = io.BytesIO()
    np.savez(content, **scores._asdict())
    files.write(_path(serving_model, best, folder), content.getvalue())
    return scores


def find_normal_scores(
    serving_model: ServingModel, best: BestModel, folder: RunFolder
) -> NormalScores:
    """Returns the scores kept in a run's folder; measures them if it has none of these weights.

    Raises:
        RunError: they have to be measured, and the run's data cannot be read.
    """
    path = _path(serving_model, best, folder)
    if files.is_file(path):
        try:
            content = io.BytesIO(files.read(path))
            arrays = parse_npz(content, path, NormalScores._fields).arrays
            kept = NormalScores(arrays["score"], str(arrays["split"]), str(arrays["weights"]))
            if kept.score.ndim != 1 or not len(kept.score) or kept.score.dtype != np.float32:
                raise ValueError(f"scores of {kept.score.dtype} {list(kept.score.shape)}")
        except (DataError, KeyError, ValueError) as error:
            raise RunError(f"{path}: not what training wrote: {error}; delete it") from error
        if kept.weights == best.checkpoint:
            return kept
    try:
        dataset = load_dataset(folder.read_config().data)
    except DataError as error:
        raise RunError(
            "the threshold of is_anomaly needs the scores of the run's validation images; "
            f"{path} does not have them for these weights, and the data cannot be read: {error}\n"
            "Let training finish, or say where the data are with $VAE_LOWLEVEL_DATA_DIR"
        ) from error
    return measure_normal_scores(serving_model, best, dataset, folder)


def _path(serving_model: ServingModel, best: BestModel, folder: RunFolder) -> str:
    """Returns the path of the scores of this kind, in this precision."""
    kind = serving_model.anomaly_score
    is_default = kind == choose_score(best.model, None)
    return folder.anomaly_scores(best.precision, "" if is_default else kind)
