"""What anomalies are, for the programs that compare them with the test images of a run."""

from __future__ import annotations

from vae_lowlevel.config.data import DataConfig
from vae_lowlevel.errors import ConfigError

OOD_HELP = "data set whose test images are the anomalies, named as by --dataset of training."
CLASS_HELP = (
    "name or number of the class whose test images are the anomalies (default: the class that was "
    "left out of training, if there is one)."
)


def check_ood_dataset(name: str | None) -> None:
    """Refuses a data set that there is not; None is accepted.

    Raises:
        ConfigError: there is none of this name.
    """
    if name is not None:
        try:
            DataConfig(dataset=name)
        except ConfigError as error:
            raise ConfigError(f"--ood_dataset: {error}") from None
