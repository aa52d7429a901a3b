import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vae_lowlevel.plots.curves import RunPoint, curve, draw_curves, draw_rate_distortion

HISTORY = [
    {
        "epoch": epoch,
        "train": {
            "loss": 9.0 / epoch,
            "elbo": -9.0 / epoch,
            "distortion": 5.0 / epoch,
            "rate": 4.0 / epoch,
            "mse": 0.1**epoch,
            "kl_weight": 0.5,
            "gradient_norm": 1.0,
        },
        "validation": {"loss": 10.0 / epoch, "distortion": None, "rate": 4.5, "mse": 0.01},
    }
    for epoch in (1, 2, 3)
]


def lines_of(axes):
    """Returns the data of the curves of training and validation, and where the best epoch is."""
    *curves, best = axes.lines
    return [np.stack(line.get_data()) for line in curves], best.get_xdata()


def panels_of(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_curves_are_the_history():
    panels = panels_of(draw_curves(HISTORY, best_epoch=2))
    assert list(panels) == ["loss", "distortion", "rate", "PSNR", "KL weight"]
    epochs = [1, 2, 3]
    for title, name in (("loss", "loss"), ("rate", "rate")):
        curves, best = lines_of(panels[title])
        for split, data in zip(("train", "validation"), curves, strict=True):
            np.testing.assert_array_equal(data, [epochs, [r[split][name] for r in HISTORY]])
        assert list(best) == [2, 2]
    # -10 log10(mse), of training 10, 20 and 30 dB.
    curves, _ = lines_of(panels["PSNR"])
    np.testing.assert_allclose(curves[0][1], [10, 20, 30], rtol=1e-6)
    np.testing.assert_allclose(curves[1][1], 20, rtol=1e-6)
    # A column that validation does not have, or whose numbers are missing, is one curve.
    for title in ("distortion", "KL weight"):
        assert len(lines_of(panels[title])[0]) == 1
    assert panels["KL weight"].get_ylim()[0] == 0.0
    assert panels["loss"].get_ylabel() == "nats per example"
    assert panels["PSNR"].get_ylabel() == "dB"
    # In a warm-up it is not the weight that the epoch reaches.
    assert panels["KL weight"].get_ylabel().endswith("mean of the epoch")


def test_the_legend_names_the_splits_and_the_best_epoch():
    figure = draw_curves(HISTORY, best_epoch=2, loss_unit="error per pixel")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["training", "validation", "best epoch (2)"]
    assert panels_of(figure)["loss"].get_ylabel() == "error per pixel"


def test_an_elbo_that_is_not_the_loss_is_drawn():
    other = [{**r, "train": {**r["train"], "elbo": -20.0}} for r in HISTORY]
    assert "ELBO" in panels_of(draw_curves(other, 1))


def test_one_epoch_without_validation_is_drawn():
    figure = draw_curves([{**HISTORY[0], "validation": {}}], 1)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["training", "best epoch (1)"]


def test_a_mean_psnr_of_the_history_comes_first():
    assert curve([{"train": {"psnr": 7.0, "mse": 1.0}}], "train", "psnr") == [7.0]


POINTS = [RunPoint("a", 10.0, 90.0, 1.0), RunPoint("b", 5.0, 110.0, 4.0)]


def test_runs_are_at_their_rate_and_distortion():
    figure = draw_rate_distortion(POINTS)
    axes = figure.axes[0]
    marked = [line.get_xydata()[0] for line in axes.lines if line.get_marker() != "None"]
    np.testing.assert_array_equal(marked, [[10, 90], [5, 110]])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["a\n  KL weight 1, ELBO -100.00", "b\n  KL weight 4, ELBO -115.00"]


@pytest.mark.parametrize("points", [POINTS, POINTS[:1]])
def test_on_each_line_the_elbo_is_the_one_that_is_written(points):
    axes = draw_rate_distortion(points).axes[0]
    lines = [line.get_xydata() for line in axes.lines if line.get_marker() == "None"]
    labels = [float(text.get_text().removeprefix("ELBO ")) for text in axes.texts]
    assert len(lines) == len(labels) > 2
    for line, label in zip(lines, labels, strict=True):
        np.testing.assert_allclose(line.sum(-1), -label)
    assert axes.get_xlim()[0] >= 0.0


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("rate", [10.0, 12.0, 14.0, 16.0, 18.0])
def test_no_elbo_is_written_outside_the_axes(rate, scale):
    """Right of them is the legend, below are the numbers of the axis."""
    points = [RunPoint("a", scale * 5.0, scale * 9.0, 1.0), RunPoint("b", scale * rate, 7.0, 1.0)]
    figure = draw_rate_distortion(points)
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0 < box.y1 <= axes.bbox.y1
