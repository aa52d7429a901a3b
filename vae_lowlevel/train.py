"""Trains a variational autoencoder, measures it on the test split and exports it for serving.

python -m vae_lowlevel.train --flagfile=flags/quickstart.cfg
python -m vae_lowlevel.train --flagfile=flags/fashion.cfg --kl_weight=4 --model_dir=runs/beta_4
python -m vae_lowlevel.train --dataset=folder:~/pictures --image_size=64 --model_dir=runs/mine

The same command resumes a run that was stopped. Exit codes: 0 done, 1 data or run-time error,
2 usage, 75 interrupted with its state saved.
"""

from __future__ import annotations

import sys

from vae_lowlevel import cli
from vae_lowlevel.config import Config
from vae_lowlevel.experiment.opening import open_run_folder


def run(config: Config) -> None:
    """Trains as configured, from the start or from where the run folder stands."""
    folder, notes = open_run_folder(config)
    for note in notes:
        print(note)

    from vae_lowlevel.experiment.training import train_run

    train_run(config, folder)


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, Config, run))
