"""Writes report.html into a run folder: figures, metrics, settings and commands on one page.

python -m vae_lowlevel.report --model_dir=runs/fashion
python -m vae_lowlevel.report --model_dir=runs/fashion --explorer

Every run ends with a report. Write it again after evaluate or visualize: it shows what they added.
"""

from __future__ import annotations

import sys

from vae_lowlevel import cli
from vae_lowlevel.config.report import ReportOptions
from vae_lowlevel.experiment.folder import RunFolder


def run(options: ReportOptions) -> None:
    """Writes the pages and prints their paths."""
    folder = RunFolder(options.model_dir)
    config = folder.read_config()
    if options.data_dir:
        config = config.replace(data_dir=options.data_dir)

    from vae_lowlevel.experiment.reporting import write_pages

    for path in write_pages(config, folder, with_explorer=options.explorer):
        print(path)


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, ReportOptions, run))
