"""The rules for labels, and the classes that follow from them where there are no names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Classes that labels without names may always have, however few examples there are.
MOST_CLASSES_OF_FEW = 1000


def check_labels(label: np.ndarray, count: int, num_classes: int | None = None) -> np.ndarray:
    """Returns labels as they are stored.

    Args:
        label: integers [N] of any width, -1 for no class.
        count: N.
        num_classes: number of class names; None if there are no names.

    Returns:
        int32 [N].

    Raises:
        ValueError: another dtype or shape, or a label is out of range.
    """
    if not np.issubdtype(label.dtype, np.integer) or label.shape != (count,):
        raise ValueError(
            f"expected labels of integers [{count}], found {label.dtype} {list(label.shape)}"
        )
    if not count:
        return label.astype(np.int32)
    # In Python's integers: int64 and uint64 have no common type.
    least, largest = int(label.min()), int(label.max())
    most = np.iinfo(np.int32).max - 1 if num_classes is None else num_classes - 1
    if least < -1 or largest > most:
        names = "" if num_classes is None else f", for the {num_classes} class names"
        raise ValueError(
            f"expected labels from 0 to {most}{names}, or -1 for no class, found "
            f"{least} to {largest}"
        )
    return label.astype(np.int32)


def count_classes(labels: Sequence[np.ndarray]) -> int:
    """Returns the number of classes of labels without names: one more than the largest label.

    A conditional model has weights for every class, so one label out of place would be costly.
    There may be as many classes as half of the examples, or 1000 where that is more.

    Args:
        labels: of each split, int32.

    Raises:
        ValueError: there are more classes.
    """
    classes = 1 + int(max(label.max(initial=-1) for label in labels))
    examples = sum(map(len, labels))
    most = max(MOST_CLASSES_OF_FEW, examples // 2)
    if classes > most:
        raise ValueError(
            f"expected class numbers from 0 on without large gaps, at most {most} classes for "
            f"{examples} examples, found the label {classes - 1}; number the classes 0, 1, 2, ..., "
            "or leave the labels out"
        )
    return classes
