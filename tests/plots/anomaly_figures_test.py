import numpy as np
import pytest
from plots.figure_contents import grids_of, labels_of, texts_of

from vae_lowlevel.plots import anomaly_figures
from vae_lowlevel.plots.anomaly_figures import ScoredImages, ScoredSet
from vae_lowlevel.plots.sheet import Panel

NORMAL = ScoredSet("normal", np.linspace(0.0, 10.0, 101))
ANOMALIES = ScoredSet("strange", np.linspace(5.0, 25.0, 201))


def histogram(anomalies=ANOMALIES, threshold=9.9, **values):
    values = {"score_name": "rate", "quantile": 0.99, **values}
    return anomaly_figures.draw_score_histograms(NORMAL, anomalies, threshold, **values)


def bars_of(container):
    """Returns left ends, right ends and heights."""
    return np.array([[b.get_x(), b.get_x() + b.get_width(), b.get_height()] for b in container]).T


@pytest.mark.parametrize("threshold", [9.9, 24.0, -3.0])
def test_the_threshold_is_where_it_is_and_the_shares_are_those_above(threshold):
    figure = histogram(threshold=threshold, auroc=0.9)
    axes = figure.axes[0]
    (line,) = axes.lines
    assert list(line.get_xdata()) == [threshold, threshold]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    for text, kind in zip(texts, (NORMAL, ANOMALIES), strict=False):
        assert text.startswith(f"{kind.name}:\n{len(kind.score)} images")
        assert f"{100 * np.mean(kind.score > threshold):.1f}% are reported" in text
    assert "99% of the validation" in texts[2]
    assert figure.get_suptitle() == "Anomaly scores: AUROC 0.900"
    assert "rate, nats" in axes.get_xlabel()


def test_bars_are_the_shares_of_each_set():
    axes = histogram().axes[0]
    for container, kind in zip(axes.containers, (NORMAL, ANOMALIES), strict=True):
        left, right, height = bars_of(container)
        assert height.sum() == pytest.approx(100.0)
        middle = (left >= 5.0) & (right <= 9.0)
        inside = (kind.score >= left[middle][0]) & (kind.score < right[middle][-1])
        assert height[middle].sum() == pytest.approx(100 * inside.mean(), abs=0.6)


def test_single_far_scores_do_not_shrink_the_rest():
    far = ScoredSet("strange", np.append(np.linspace(5.0, 25.0, 2000), [1e4, 1e5]))
    axes = histogram(far).axes[0]
    assert bars_of(axes.containers[0])[1].max() < 30.0
    assert bars_of(axes.containers[1])[2].sum() == pytest.approx(100.0)
    assert "images farther to the right are counted" in axes.get_title(loc="left")


def test_without_anomalies_there_is_one_set():
    figure = histogram(None)
    assert len(figure.axes[0].containers) == 1
    assert figure.get_suptitle() == "Anomaly scores"


def scored(count, seed=0):
    generator = np.random.default_rng(seed)
    image, reconstruction = generator.uniform(0.3, 0.7, size=[2, count, 4, 4, 1])
    names = [f"c{number}" for number in range(count)]
    return ScoredImages(image, reconstruction, generator.permutation(count) * 1.0, names)


def test_extremes_are_the_images_of_the_highest_and_the_lowest_scores():
    images = scored(7)
    figure = anomaly_figures.draw_extremes(images, 2, "rate")
    order = np.argsort(images.score)
    for grid, axes, rows in zip(
        grids_of(figure), figure.axes, (order[[-1, -2]], order[[0, 1]]), strict=True
    ):
        panel = Panel(np.stack([images.image[rows], images.reconstruction[rows]]))
        np.testing.assert_array_equal(grid, panel.compose())
        labels = [f"c{row}\n{images.score[row]:.1f}" for row in rows]
        assert labels_of(axes)[0] == labels
    assert "Of 7 test images" in texts_of(figure)[1]


def test_maps_are_the_errors_in_one_scale():
    groups = {"normal": scored(2), "strange": scored(2, seed=1)}
    figure = anomaly_figures.draw_anomaly_maps(groups, "rate")
    grids = grids_of(figure)
    for number, part in enumerate(groups.values()):
        error = np.abs(part.image - part.reconstruction)
        np.testing.assert_allclose(grids[2 * number + 1][:, :4], error[0, ..., 0])
        np.testing.assert_allclose(grids[2 * number + 1][:, 5:], error[1, ..., 0])
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.images}
    assert limits == {(0.0, 1.0), (0.0, 0.4)}  # Of images, and of the maps of both groups.
    assert [text for text in texts_of(figure) if text in groups] == ["normal", "strange"]
