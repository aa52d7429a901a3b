"""Settings of an evaluation."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.anomalies import CLASS_HELP, OOD_HELP, check_ood_dataset
from vae_lowlevel.config.fields import Options, check, option, quote
from vae_lowlevel.config.objective import CORRUPTIONS, STRENGTH_HELP, check_corruption
from vae_lowlevel.config.sampler import (
    COMPONENTS_HELP,
    MOST_COMPONENTS,
    SAMPLER_HELP,
    SAMPLERS,
)
from vae_lowlevel.config.training import DEVICES
from vae_lowlevel.errors import ConfigError

PROPOSALS = ("posterior", "fitted")
METRICS = {
    "test": "the terms of the objective, image quality and figures, as at the end of training",
    "likelihood": "log p(x) by importance sampling",
    "samples": "the density of --sampler next to the prior, by the likelihood of test codes and by "
    "the distance of its samples from the test images",
    "decomposition": "the KL as mutual information, total correlation and KL of each dimension",
    "latents": "accuracy of classifiers of z; reconstructions compared with a PCA",
    "disentanglement": "shapes: how well dimensions of z represent the known factors of variation",
    "anomaly": "how well scores of an image tell anomalies from test images; needs --ood_dataset "
    "or --anomaly_class",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Evaluation."""

    model_dir: str | None = option(None, "Run folder to evaluate.")
    metrics: str = option(
        "test",
        "What is measured, separated by commas. "
        + "; ".join(f"{name}: {text}" for name, text in METRICS.items())
        + ".",
    )
    examples: int | None = option(
        None, "Number of test images, from the first on (default: all).", at_least=1
    )
    seed: int = option(0, "Seed of what a measurement draws.", at_least=0, below=2**31)
    importance_samples: int = option(
        5000, "likelihood: number of draws of z per image.", at_least=1, at_most=1_000_000
    )
    proposal: str = option(
        "posterior",
        "likelihood: from what z is drawn. posterior: from q(z|x) as the encoder gives it; fitted: "
        "from a Gaussian with all covariances, fitted to each image, with which far fewer draws "
        "often give a tighter bound.",
        choices=PROPOSALS,
    )
    proposal_scale: float = option(
        1.0,
        "likelihood: standard deviation of the draws in units of the proposal's. Slightly above 1 "
        "the tails are covered, and the bound can be tighter.",
        above=0,
        at_most=100,
    )
    decode_batch: int | None = option(
        None,
        "likelihood, anomaly: number of z that are decoded at once, of all images together; memory "
        "grows with it (default: 2000; for importance sampling from a network with convolutions on "
        "a CPU, 250).",
        at_least=1,
        at_most=10_000_000,
    )
    decomposition_draws: int = option(
        2000, "decomposition: number of draws of z.", at_least=2, at_most=10_000_000
    )
    probe_examples: int = option(
        10_000,
        "latents: number of training images, drawn at random, to which the classifiers and the PCA "
        "are fitted; all if there are fewer.",
        at_least=2,
        at_most=10_000_000,
    )
    sampler: str = option("prior", f"samples: {SAMPLER_HELP}", choices=SAMPLERS)
    sampler_components: int = option(100, COMPONENTS_HELP, at_least=1, at_most=MOST_COMPONENTS)
    corruption: str = option(
        "none",
        "test: corrupts the images that the encoder sees. Reconstructions are measured against the "
        "clean images; the metrics are stored as test_corrupted.",
        choices=CORRUPTIONS,
    )
    corruption_strength: float = option(0.25, STRENGTH_HELP, above=0)
    ood_dataset: str | None = option(None, f"anomaly: {OOD_HELP}")
    anomaly_class: str | None = option(None, f"anomaly: {CLASS_HELP}", instead_of="ood_dataset")
    anomaly_samples: int = option(
        100,
        "anomaly: number of draws of z per image from which the score nll is computed.",
        at_least=1,
        at_most=1_000_000,
    )
    regret_steps: int = option(
        100,
        "anomaly: number of steps of Adam that search the best posterior of each image, for the "
        "score likelihood_regret.",
        at_least=1,
        at_most=100_000,
    )
    precision: str = option(
        "float32",
        "Number format of the hidden layers, whatever training used; distributions and sums are "
        "always float32.",
        choices=("float32", "bfloat16"),
    )
    device: str = option(
        "auto", "Device of the evaluation, whatever training used.", choices=DEVICES
    )
    device_index: int = option(0, "Number of the GPU, with --device=gpu.", at_least=0)
    data_dir: str | None = option(
        None, "Folder with the data files (default: the one of training)."
    )
    tensorflow_log: bool = option(
        False, "Shows TensorFlow's start-up lines, as setting TF_CPP_MIN_LOG_LEVEL does."
    )

    def __post_init__(self) -> None:
        check(self)
        check_corruption(self.corruption, self.corruption_strength)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder to evaluate")
        unknown = [name for name in self.metric_names if name not in METRICS]
        if unknown or not self.metric_names:
            raise ConfigError(
                f"--metrics must be some of {', '.join(METRICS)}, separated by commas, got "
                f"{quote(self.metrics)}"
            )
        if self.corruption != "none" and "test" not in self.metric_names:
            raise ConfigError(
                f"--corruption={self.corruption} needs --metrics=test, got {quote(self.metrics)}"
            )
        check_ood_dataset(self.ood_dataset)
        for name in ("ood_dataset", "anomaly_class"):
            value = getattr(self, name)
            if value is not None and "anomaly" not in self.metric_names:
                raise ConfigError(
                    f"--{name}={value} needs --metrics=anomaly, got {quote(self.metrics)}"
                )

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names in `metrics`, each once, in their order."""
        names = (name.strip() for name in self.metrics.split(","))
        return tuple(dict.fromkeys(name for name in names if name))
