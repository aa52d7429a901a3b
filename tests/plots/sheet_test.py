import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from plots.figure_contents import grids_of, labels_of, texts_of

from vae_lowlevel.plots.rendering import render_pixels
from vae_lowlevel.plots.sheet import LARGEST_WIDTH, Colors, Panel, draw_sheet


def grey_levels(rows, columns, height=16, width=10):
    """Images of one grey level each: 0, 1/N, 2/N, ..."""
    level = np.arange(rows * columns).reshape(rows, columns, 1, 1, 1) / (rows * columns)
    return np.broadcast_to(level, [rows, columns, height, width, 1])


def test_every_pixel_of_the_file_belongs_to_its_image():
    sheet = draw_sheet("title", [Panel(grey_levels(2, 3), "above", ["a", "b"], ["x", "y", "z"])])
    picture = render_pixels(sheet.figure)
    box = sheet.figure.axes[0].get_position()
    left, top = round(box.x0 * picture.shape[1]), round((1 - box.y1) * picture.shape[0])
    # 20 times as large, the most for a tile of 10 pixels; a line of one pixel between the tiles.
    assert round(box.width * picture.shape[1]) == 20 * (3 * 10 + 2)
    for row in range(2):
        for column in range(3):
            y, x = top + 20 * 17 * row, left + 20 * 11 * column
            tile = picture[y : y + 320, x : x + 200]
            # matplotlib's 256 greys: that of a value v is floor(256 v).
            np.testing.assert_array_equal(tile, int(256 * (3 * row + column) / 6))
    assert (picture[top + 320 : top + 340, left : left + 640] == 255).all()


def test_labels_stand_at_the_middle_of_their_images():
    panel = Panel(grey_levels(2, 3), row_labels=["a", "b"], column_labels=["x", "y"])
    axes = draw_sheet("title", [panel]).figure.axes[0]
    np.testing.assert_array_equal(axes.get_xticks(), [4.5, 15.5])
    np.testing.assert_array_equal(axes.get_yticks(), [7.5, 24.5])
    assert labels_of(axes) == [["x", "y"], ["a", "b"]]


def test_panels_follow_each_other_without_overlap():
    panels = [Panel(grey_levels(1, 2), "first", ["row"], ["x\ny", "z"], "right", "up")] * 3
    figure = draw_sheet("title", panels, "Words. " * 60).figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    texts = [text.get_window_extent(renderer) for text in figure.texts]
    bounds = figure.bbox
    for box in (*boxes, *texts):
        assert min(box.x0 - bounds.x0, bounds.x1 - box.x1) >= 0
        assert min(box.y0 - bounds.y0, bounds.y1 - box.y1) >= 0
    # From the top: title, explanation, then the title and the grid of each panel.
    order = [*texts[:2], *(box for pair in zip(texts[2:], boxes, strict=True) for box in pair)]
    for above, below in itertools.pairwise(order):
        assert above.y0 >= below.y1 - 1


def test_quantities_have_their_colors_and_a_scale():
    values = np.full([1, 2, 4, 4, 1], 0.25)
    values[0, 1] = np.nan
    sheet = draw_sheet("title", [Panel(values, colors=Colors("error, nats", 0.0, 0.5))])
    assert sheet.grids[0].get_clim() == (0.0, 0.5)
    assert sheet.grids[0].get_cmap().name == "viridis"
    (grid,) = grids_of(sheet.figure)
    np.testing.assert_array_equal(grid[:, :4], 0.25)
    assert np.isnan(grid[:, 4:]).all()
    scale = sheet.figure.axes[1]
    assert scale.get_ylabel() == "error, nats"
    np.testing.assert_allclose(scale.get_yticks(), [0.0, 0.25, 0.5])


@pytest.mark.parametrize("height", [3, 6, 9, 28, 60])
@pytest.mark.parametrize("highest", [0.6, 0.809, 0.001234, 1.234e-06])
def test_a_scale_and_its_label_are_inside_the_figure(height, highest):
    colors = Colors("change of a pixel", -highest, highest)
    figure = draw_sheet("title", [Panel(np.zeros([1, 10, height, 28, 1]), colors=colors)]).figure
    figure.canvas.draw()
    bounds, scale = figure.bbox, figure.axes[1]
    box = scale.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert bounds.x1 - box.x1 >= 8
    # The label does not lie on the numbers.
    label = scale.yaxis.label.get_window_extent()
    assert label.x0 > max(tick.get_window_extent().x1 for tick in scale.get_yticklabels())


def test_colored_images_stay_colored_and_other_channels_are_averaged():
    image = np.random.default_rng(0).uniform(size=[1, 1, 5, 4, 3])
    np.testing.assert_allclose(Panel(image).compose(), image[0, 0])
    np.testing.assert_allclose(Panel(image[..., :2]).compose(), image[0, 0, ..., :2].mean(-1))


@pytest.mark.parametrize(("size", "width"), [(8, 200), (150, 150), (3000, LARGEST_WIDTH)])
def test_images_are_magnified_by_whole_numbers_and_large_ones_are_reduced(size, width):
    sheet = draw_sheet("title", [Panel(np.zeros([1, 1, size, size, 1]))])
    box = sheet.figure.axes[0].get_window_extent()
    np.testing.assert_allclose([box.width, box.height], width, atol=1e-6)
    assert texts_of(sheet.figure) == ["title"]
