"""Settings of the figures of a run."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.anomalies import CLASS_HELP, OOD_HELP, check_ood_dataset
from vae_lowlevel.config.fields import Options, check, option, quote
from vae_lowlevel.config.training import DEVICES
from vae_lowlevel.errors import ConfigError

FIGURES = {
    "reconstructions": "test images, their reconstructions and the errors",
    "denoising": "the same of images that are corrupted as in training",
    "samples": "draws from the prior, and the same draws at several temperatures",
    "classes": "conditional: a row of samples per class",
    "manifold": "two latent dimensions: the plane, decoded",
    "latent": "latents of test images by class, with the contours of the prior",
    "traversals": "each active unit from -3 to 3 standard deviations of the prior",
    "interpolations": "straight and spherical ways between test images",
    "class_means": "ways between the mean latents of classes",
    "curves": "the course of the training by epoch",
    "rate_distortion": "this run and --runs in the plane of rate and distortion",
    "anomaly_scores": "histogram of the scores, with those of anomalies, and the threshold",
    "anomaly_extremes": "the most and the least anomalous test images",
    "anomaly_maps": "error of each pixel of normal and anomalous images",
    "units": "sparse autoencoder: what each unit of the code draws",
    "codes": "sparse autoencoder: how active the units are",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisualizeOptions(Options):
    """Figures."""

    model_dir: str | None = option(None, "Run folder whose figures are drawn.")
    what: str = option(
        "all",
        "What is drawn, separated by commas; all: every figure that applies to the model. "
        + "; ".join(f"{name}: {text}" for name, text in FIGURES.items())
        + ".",
    )
    runs: str | None = option(
        None, "rate_distortion: other run folders, separated by commas, of the same data."
    )
    ood_dataset: str | None = option(None, f"anomaly_scores, anomaly_maps: {OOD_HELP}")
    anomaly_class: str | None = option(
        None, f"anomaly_scores, anomaly_maps: {CLASS_HELP}", instead_of="ood_dataset"
    )
    anomaly_quantile: float = option(
        0.99,
        "anomaly_scores: the threshold is the score that this part of the run's validation images "
        "does not exceed.",
        above=0,
        at_most=1,
    )
    examples: int = option(
        5000,
        "Number of test images, from the first on, whose latents, activities and scores are drawn.",
        at_least=1,
        at_most=1_000_000,
    )
    example: int = option(
        0, "traversals: number of the test image whose other units are kept.", at_least=0
    )
    manifold_side: int = option(
        15, "manifold: number of images in a row, and of rows.", at_least=2, at_most=100
    )
    seed: int | None = option(
        None, "Seed of the samples (default: that of the run).", at_least=0, below=2**31
    )
    device: str = option("auto", "Device that computes, whatever training used.", choices=DEVICES)
    device_index: int = option(0, "Number of the GPU, with --device=gpu.", at_least=0)
    data_dir: str | None = option(
        None, "Folder with the data files (default: the one of training)."
    )
    tensorflow_log: bool = option(
        False, "Shows TensorFlow's start-up lines, as setting TF_CPP_MIN_LOG_LEVEL does."
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder whose figures are drawn")
        names = _split(self.what)
        if not names or any(name not in (*FIGURES, "all") for name in names):
            raise ConfigError(
                f"--what must be all, or some of {', '.join(FIGURES)}, separated by commas, got "
                f"{quote(self.what)}"
            )
        check_ood_dataset(self.ood_dataset)

    @property
    def named(self) -> tuple[str, ...]:
        """The figures that are named in `what`, each once, in their order; none for all."""
        names = _split(self.what)
        return () if "all" in names else names

    @property
    def other_runs(self) -> tuple[str, ...]:
        """The folders in `runs`, each once, in their order."""
        return _split(self.runs or "")


def _split(text: str) -> tuple[str, ...]:
    parts = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))
