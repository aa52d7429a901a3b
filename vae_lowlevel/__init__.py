"""Variational autoencoders in low-level TensorFlow 2.

`VAE` trains and uses a model on NumPy arrays, `load` loads a trained model, `build_model` builds
one from the settings in a `Config`, `load_dataset` reads the data that a `Config` names, and `plot`
writes images to a PNG file. The names are imported on first use, so that `--help` and a bad flag
are answered before TensorFlow is imported.

Importing the package changes no logging. TensorFlow's own start-up lines are dropped by
`quiet_tensorflow`, which a notebook calls before the other names are imported.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Config": "vae_lowlevel.config",
    "VAE": "vae_lowlevel.api",
    "build_model": "vae_lowlevel.assembly",
    "load": "vae_lowlevel.api",
    "load_dataset": "vae_lowlevel.data.load",
    "plot": "vae_lowlevel.plots.grids",
    "quiet_tensorflow": "vae_lowlevel.experiment.terminal",
}

__all__ = ["VAE", "Config", "build_model", "load", "load_dataset", "plot", "quiet_tensorflow"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vae_lowlevel' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
