"""The folder of a run that has begun."""

import numpy as np
import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.experiment.opening import open_run_folder
from vae_lowlevel.types import Dataset, Examples


@pytest.fixture
def dataset():
    """No examples, of 8 x 6 x 1 pixels and two classes."""
    empty = Examples(np.zeros([0, 8, 6, 1], np.uint8), np.zeros([0], np.int32))
    return Dataset(empty, empty, empty, ("a", "b"))


@pytest.fixture
def config(tmp_path):
    return Config.from_flat({"model_dir": str(tmp_path / "run"), "latent_dim": 4})


@pytest.fixture
def folder(config, dataset):
    folder, _ = open_run_folder(config)
    folder.begin(config, dataset)
    return folder
