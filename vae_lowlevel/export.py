"""Exports the best weights of a run for serving.

python -m vae_lowlevel.export --model_dir=runs/fashion

Writes the next version <export_dir>/<name>/<version>, a SavedModel that needs TensorFlow alone.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys

from vae_lowlevel import startup
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.loading import load_model
from vae_lowlevel.options import check, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Export."""

    model_dir: str | None = option(None, "Run folder to export.")
    export_dir: str = option("saved_models", "Folder of the exports.")
    name: str | None = option(None, "Name of the export (default: that of the run folder).")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up lines on stderr.")

    def __post_init__(self) -> None:
        check(self)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder to export")
        if not self.export_dir:
            raise ConfigError("--export_dir must be a folder, got the empty string")
        if self.name is not None and not _is_folder_name(self.name):
            raise ConfigError(f"--name must be the name of one folder, got {self.name!r}")


def _is_folder_name(name: str) -> bool:
    return name == os.path.basename(name) and name not in ("", ".", "..")


def export_run(model_dir: str, export_dir: str, name: str | None = None) -> str:
    """Publishes the best weights of a run, in a module built afresh, float32 throughout.

    Args:
        model_dir: the run folder.
        export_dir: folder of all exports.
        name: of this export; None for the name of the run folder.

    Returns:
        The folder of the new version, `<export_dir>/<name>/<version>`.

    Raises:
        RunError: the run cannot be read, or the export cannot be written.
    """
    model = load_model(model_dir)

    from vae_lowlevel.serving.publish import publish
    from vae_lowlevel.serving.signatures import ServingModel

    name = name or os.path.basename(os.path.abspath(model_dir))
    return publish(ServingModel(model), export_dir, name)


def run(options: ExportOptions) -> None:
    """Exports as the command line says."""
    path = export_run(options.model_dir, options.export_dir, options.name)
    print(f"exported to {path}; its signatures:")
    print(f"saved_model_cli show --dir {shlex.quote(path)} --all")


if __name__ == "__main__":
    sys.exit(startup.main(__doc__, ExportOptions, run))
