"""The model card of an export: what it is, its test metrics, signatures, limits and recipe.

References:
    Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from vae_lowlevel import files
from vae_lowlevel.serving.scores import ANOMALY_SCORES
from vae_lowlevel.serving.signatures import ServingModel

FILE = "MODEL_CARD.md"

_SAMPLERS = {
    "prior": "the prior p(z)",
    "gmm": "a mixture of Gaussians, fitted to codes of training images",
    "aggregate": "the mixture of posteriors of training images",
    "flow": "a normalising flow, fitted to codes of training images",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a model card tells about the run behind an export.

    Attributes:
        name: name of the export.
        dataset: name of the data set.
        network: kind of networks.
        likelihood: kind of p(x|z).
        flagfile: all settings of the run, as a flagfile.
        metrics: name -> value on the test split; empty if the run was not evaluated.
        checkpoint: name of the exported weights.
        sampler: density from which z is sampled, "prior" or what was fitted to codes.
        anomaly_quantile: part of the normal images whose scores do not exceed the threshold.
        anomaly_split: the split these images are from.
        precision: number format of the hidden layers in the export.
        figures: paths of the pictures to show.
    """

    name: str
    dataset: str
    network: str
    likelihood: str
    flagfile: str
    metrics: Mapping[str, Any]
    checkpoint: str
    sampler: str
    anomaly_quantile: float
    anomaly_split: str
    precision: str
    figures: tuple[str, ...]


def write_model_card(folder: str, serving_model: ServingModel, facts: RunFacts) -> None:
    """Writes `MODEL_CARD.md` and copies the pictures it shows.

    Args:
        folder: the version's folder.
        serving_model: the exported model.
        facts: about the run.
    """
    figures = os.path.join(folder, "figures")
    for path in facts.figures:
        os.makedirs(figures, exist_ok=True)
        files.write(os.path.join(figures, os.path.basename(path)), files.read(path))
    sections = (
        _head(serving_model, facts),
        _metrics(facts),
        _pictures(facts),
        _signatures(serving_model),
        _limits(serving_model, facts),
        f"## Recipe\n\n```\n{facts.flagfile.strip()}\n```",
    )
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as file:
        file.write("\n\n".join(section for section in sections if section) + "\n")


def _head(serving_model: ServingModel, facts: RunFacts) -> str:
    height, width, channels = serving_model.model.image_shape
    parameters = sum(variable.shape.num_elements() for variable in serving_model.model.variables)
    has_samples = serving_model.model.has_prior
    samples = f"\n| samples | z from {_SAMPLERS[facts.sampler]} |" if has_samples else ""
    return f"""# {facts.name}

A {type(serving_model.model).__name__} for images of {height} x {width} x {channels}, trained on \
`{facts.dataset}` with vae_lowlevel.

| | |
|---|---|
| network | {facts.network} |
| latent dimensions | {serving_model.model.latent_dim} |
| likelihood | {facts.likelihood} |
| parameters | {parameters:,} |
| hidden layers | {facts.precision}; inputs, outputs and distributions are float32 |
| weights | `{facts.checkpoint}` |{samples}"""


def _metrics(facts: RunFacts) -> str:
    rows = [
        f"| {name} | {value:.4f} |" if isinstance(value, float) else f"| {name} | {value} |"
        for name, value in facts.metrics.items()
        if isinstance(value, (int, float))
    ]
    if not rows:
        return ""
    heading = (
        "## Test split\n\nNats per image, unless the name says otherwise.\n\n| | |\n|---|---|\n"
    )
    return heading + "\n".join(rows)


def _pictures(facts: RunFacts) -> str:
    names = [os.path.basename(path) for path in facts.figures]
    return "\n\n".join(f"![{name.removesuffix('.png')}](figures/{name})" for name in names)


def _signatures(serving_model: ServingModel) -> str:
    lines = ["## Signatures", "", "B is the number of rows; it may be 0.", ""]
    lines += ["| signature | inputs | outputs |", "|---|---|---|"]
    for name, function in serving_model.signatures.items():
        outputs = function.get_concrete_function().structured_outputs
        cells = (
            ", ".join(_describe(spec.name, spec) for spec in function.input_signature),
            ", ".join(_describe(key, spec) for key, spec in sorted(outputs.items())),
        )
        lines.append(f"| `{name}` | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _describe(name: str, spec: Any) -> str:
    sizes = ", ".join(["B", *map(str, spec.shape[1:])])
    return f"`{name}` {spec.dtype.name} [{sizes}]"


def _limits(serving_model: ServingModel, facts: RunFacts) -> str:
    height, width, channels = serving_model.model.image_shape
    threshold = float(serving_model.anomaly_threshold.numpy())
    return f"""## Limits

- Images must be {height} x {width} x {channels}, float32 in [0, 1]. Others are refused with a
  message that names the input.
- The model was trained on `{facts.dataset}` only. Other images are encoded and reconstructed as if
  they were from that data set.
- `anomaly_score` is {serving_model.anomaly_score}: {ANOMALY_SCORES[serving_model.anomaly_score]}.
- `is_anomaly` is `anomaly_score` > {threshold:.6g}, which {1.0 - facts.anomaly_quantile:.2%} of the
  {facts.anomaly_split} images exceed. An unusual image can have a low score; simple images often
  do. Test it on your own anomalies before you rely on it.
- Where the KL has a closed form, `score` computes `distortion` at the posterior mean, so its `elbo`
  is a little higher than that of the test metrics, which use draws from the posterior.
- Samples and reconstructions are means of p(x|z), so they are smoother than the images."""
