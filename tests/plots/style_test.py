import numpy as np

from vae_lowlevel.plots.style import class_colors, format_value, list_names, wrap


def luminance(colors):
    """Relative luminance of sRGB colors, as in WCAG 2.1."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_ten_classes_differ_and_are_seen_on_white():
    colors = class_colors(10)
    assert colors.shape == (10, 4)
    distance = np.abs(colors[:, None, :3] - colors[None, :, :3]).sum(-1)
    assert np.all(distance[~np.eye(10, dtype=bool)] > 0.3)
    assert np.all(luminance(colors[:, :3]) < 0.8)
    np.testing.assert_array_equal(class_colors(3), colors[:3])
    assert class_colors(0).shape == (0, 4)


def test_more_classes_share_a_scale():
    colors = class_colors(11)
    assert len(np.unique(colors, axis=0)) == 11


def test_texts_are_broken_into_lines_that_fit():
    lines = wrap("a text of several words\nand a second part", 100.0)
    assert " ".join(lines) == "a text of several words and a second part"
    assert max(map(len, lines)) <= 11
    assert "and a" in lines
    assert wrap("one two three four five six", 100.0, most_lines=2) == [
        "one two",
        "three fou\u2026",
    ]


def test_numbers_and_lists():
    assert format_value(-1.234) == "\u22121.23"
    assert list_names(["a", "b"]) == "a, b"
    assert list_names(list("abcd"), most=2) == "a, b and 2 more"
