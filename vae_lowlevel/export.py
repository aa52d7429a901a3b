"""Exports the best weights of a run for serving.

python -m vae_lowlevel.export --model_dir=runs/fashion

Writes the next version <export_dir>/<name>/<version>, a SavedModel that needs TensorFlow alone,
after every signature has answered in a process of its own.
"""

from __future__ import annotations

import shlex
import sys

from vae_lowlevel import cli
from vae_lowlevel.config.export import ExportOptions


def run(options: ExportOptions) -> None:
    """Exports as the command line says."""
    from vae_lowlevel.experiment.exporting import export_run

    path = export_run(options)
    print(f"exported to {path}; its signatures:")
    print(f"saved_model_cli show --dir {shlex.quote(path)} --all")


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, ExportOptions, run))
