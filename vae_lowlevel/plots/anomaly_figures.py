"""Figures of anomaly scores: histograms, the images at both ends, maps of single images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_lowlevel.plots.image_figures import error_colors, error_map
from vae_lowlevel.plots.sheet import Panel, draw_sheet
from vae_lowlevel.plots.style import (
    BLUE,
    FAINT,
    INK,
    SUBTITLE,
    VERMILLION,
    add_axes,
    new_figure,
    plain_axes,
    wrap,
    write_legend,
    write_title,
)

_BINS = 60
_NOTE_WIDTH = 860.0
# Scores beyond this part of all of them are counted in the last bin: single ones may be far away.
_SHOWN_PART = 0.998


class ScoredImages(NamedTuple):
    """Images with their scores and reconstructions.

    Attributes:
        image: float [N, H, W, C] in [0, 1].
        reconstruction: as `image`.
        score: float [N], nats, higher for an anomaly.
        name: N texts, such as classes; may be empty texts.
    """

    image: np.ndarray
    reconstruction: np.ndarray
    score: np.ndarray
    name: Sequence[str]

    def rows(self, numbers: np.ndarray) -> ScoredImages:
        """Returns some of the images."""
        names = [self.name[number] for number in numbers]
        return ScoredImages(
            self.image[numbers], self.reconstruction[numbers], self.score[numbers], names
        )


class ScoredSet(NamedTuple):
    """Scores of a set of images.

    Attributes:
        name: what the images are.
        score: float [N], nats.
    """

    name: str
    score: np.ndarray


def draw_score_histograms(
    normal: ScoredSet,
    anomalies: ScoredSet | None,
    threshold: float,
    *,
    score_name: str,
    quantile: float,
    auroc: float | None = None,
    note: str = "",
) -> Figure:
    """Draws how the scores of normal images and of anomalies are distributed.

    Args:
        normal: test images like those of training.
        anomalies: images unlike them; None where there are none.
        threshold: an image is reported if it scores above.
        score_name: which score it is.
        quantile: part of the normal validation images that do not exceed the threshold.
        auroc: of the score, if there are anomalies.
        note: a sentence to add below the title.
    """
    sets = [(normal, BLUE)] + ([] if anomalies is None else [(anomalies, VERMILLION)])
    scores = np.concatenate([kind.score for kind, _ in sets]).astype(np.float64)
    lowest = min(scores.min(), threshold)
    highest = max(np.quantile(scores, _SHOWN_PART), threshold)
    highest = highest if highest > lowest else lowest + 1.0
    edges = np.linspace(lowest, highest, _BINS + 1)
    figure = new_figure(1340, 720)
    axes = add_axes(figure, 110, 130, 860, 510)
    handles = []
    for kind, color in sets:
        reported = f"{100 * np.mean(kind.score > threshold):.1f}% are reported"
        *_, bars = axes.hist(
            np.minimum(kind.score, highest),
            bins=edges,
            weights=np.full(len(kind.score), 100.0 / len(kind.score)),
            color=color,
            alpha=0.55,
            label=f"{kind.name}:\n{len(kind.score)} images, of which\n{reported}",
        )
        handles.append(bars[0])
    name = f"threshold {threshold:.4g}:\n{100 * quantile:g}% of the validation\nimages are below it"
    line = axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=name)
    plain_axes(axes, "", f"anomaly score: {score_name}, nats", "images, % of their set")
    title = "Anomaly scores" + ("" if auroc is None else f": AUROC {auroc:.3f}")
    write_title(figure, title)
    beyond = int(np.sum(scores > highest))
    if beyond:
        note += f" {beyond} images farther to the right are counted in the last bar."
    lines = wrap(note.strip(), _NOTE_WIDTH, SUBTITLE)
    axes.set_title("\n".join(lines), fontsize=SUBTITLE, color=FAINT, loc="left")
    write_legend(figure, [*handles, line], 1000, 130)
    return figure


def draw_extremes(images: ScoredImages, count: int, score_name: str) -> Figure:
    """Draws the test images of the highest and of the lowest scores.

    Args:
        images: all scored images.
        count: how many at each end.
        score_name: which score it is.
    """
    order = np.argsort(-images.score, kind="stable")
    ends = {"most anomalous": order[:count], "least anomalous": order[::-1][:count]}
    panels = []
    for title, numbers in ends.items():
        part = images.rows(numbers)
        labels = [f"{name}\n{score:.1f}" for name, score in zip(part.name, part.score, strict=True)]
        rows = np.stack([part.image, part.reconstruction])
        panels.append(
            Panel(rows, title, row_labels=["test image", "reconstruction"], column_labels=labels)
        )
    explanation = f"Of {len(images.score)} test images. Above each image: its class and its score, "
    explanation += f"{score_name} in nats."
    return draw_sheet("The most and the least anomalous test images", panels, explanation).figure


def draw_anomaly_maps(groups: dict[str, ScoredImages], score_name: str) -> Figure:
    """Draws where images differ from their reconstructions, all in one scale of colors.

    Args:
        groups: images by what they are.
        score_name: which score it is.
    """
    errors = {name: error_map(part.image, part.reconstruction) for name, part in groups.items()}
    colors = error_colors(np.concatenate(list(errors.values())))
    panels = []
    for name, part in groups.items():
        labels = [
            f"{text}\n{score:.1f}".strip()
            for text, score in zip(part.name, part.score, strict=True)
        ]
        rows = np.stack([part.image, part.reconstruction])
        panels.append(Panel(rows, name, ["image", "reconstruction"], labels))
        panels.append(Panel(errors[name][None], row_labels=["anomaly map"], colors=colors))
    explanation = "The error of each pixel shows where an image is unlike what the model has "
    explanation += f"learned. Above each image: its score, {score_name} in nats."
    return draw_sheet("Anomaly maps", panels, explanation).figure
