import numpy as np
import pytest

from vae_lowlevel.data.labels import check_labels, count_classes


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_of_any_width_become_int32(dtype):
    label = check_labels(np.array([0, 2, 1], dtype), 3, 3)
    assert label.dtype == np.int32
    assert label.tolist() == [0, 2, 1]
    assert check_labels(np.array([-1, 2], np.int64), 2).tolist() == [-1, 2]
    assert check_labels(np.zeros([0], dtype), 0, 3).shape == (0,)


@pytest.mark.parametrize(
    ("label", "num_classes", "message"),
    [
        ([0, 99], 3, "from 0 to 2, for the 3 class names, or -1 for no class, found 0 to 99"),
        ([0, -7], 3, "found -7 to 0"),
        ([0, 2**40], None, "found 0 to 1099511627776"),  # 0 as int32
        ([0, 2**40], 3, "found 0 to 1099511627776"),
        ([0, 2**31 - 1], None, "from 0 to 2147483646,.* found 0 to 2147483647"),
        (np.array([0, 2**64 - 1], np.uint64), None, "found 0 to 18446744073709551615"),
        ([0.0, 1.0], 3, r"integers \[2\], found float64"),
        ([2**70, 1], 3, r"integers \[2\], found object"),
        ([0], 3, r"integers \[2\], found int64 \[1\]"),
        ([[0], [1]], 3, r"integers \[2\], found int64 \[2, 1\]"),
    ],
)
def test_other_labels_are_refused_before_they_are_narrowed(label, num_classes, message):
    with pytest.raises(ValueError, match=message):
        check_labels(np.asarray(label), 2, num_classes)


def splits(largest, count):
    return [np.array([0, largest], np.int32), np.full(count - 2, -1, np.int32)]


@pytest.mark.parametrize(
    ("largest", "count"), [(-1, 10), (0, 2), (999, 2), (999, 10_000), (1000, 2002), (4999, 10_000)]
)
def test_classes_follow_from_the_largest_label(largest, count):
    assert count_classes(splits(largest, count)) == 1 + max(0, largest)


@pytest.mark.parametrize(
    ("largest", "count", "most"),
    [(1000, 2, 1000), (1000, 2001, 1000), (5000, 10_000, 5000), (2**31 - 2, 60_000, 30_000)],
)
def test_more_classes_than_the_examples_can_have_are_refused(largest, count, most):
    with pytest.raises(ValueError, match=rf"at most {most} .* {count} .*the label {largest}; num"):
        count_classes(splits(largest, count))


def test_no_labels_have_no_class():
    assert count_classes([np.full(3, -1, np.int32), np.zeros(0, np.int32)]) == 0
