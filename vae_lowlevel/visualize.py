"""Draws the figures of a run, from its best weights, into its folder `figures`.

python -m vae_lowlevel.visualize --model_dir=runs/fashion
python -m vae_lowlevel.visualize --model_dir=runs/fashion --what=traversals,latent
"""

from __future__ import annotations

import sys

from vae_lowlevel import cli
from vae_lowlevel.config.visualize import VisualizeOptions
from vae_lowlevel.experiment.folder import RunFolder


def run(options: VisualizeOptions) -> None:
    """Draws what `--what` names and prints the paths of the files."""
    folder = RunFolder(options.model_dir)
    config = folder.read_config().on_one_device(options.device, options.device_index)
    if options.data_dir:
        config = config.replace(data_dir=options.data_dir)

    from vae_lowlevel.experiment.visualizing import visualize_run

    for paths in visualize_run(config, folder, options).values():
        print("\n".join(paths))


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, VisualizeOptions, run))
