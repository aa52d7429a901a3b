"""What is in a figure, read back from it."""

import numpy as np


def grids_of(figure):
    """Returns the array of each image of a figure, from the top panel on; NaN where masked."""
    images = [image for axes in figure.axes for image in axes.images]
    return [np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan) for image in images]


def labels_of(axes):
    """Returns the texts at the columns and at the rows."""
    return [
        [label.get_text() for label in axis.get_ticklabels()] for axis in (axes.xaxis, axes.yaxis)
    ]


def texts_of(figure):
    """Returns all texts that are written on the figure itself, title first."""
    return [text.get_text().replace("\n", " ") for text in figure.texts]
