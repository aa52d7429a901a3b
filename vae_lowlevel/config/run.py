"""Settings of the run folder and the export."""

from __future__ import annotations

import dataclasses

from vae_lowlevel import files
from vae_lowlevel.config.fields import check, option
from vae_lowlevel.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run folder and export."""

    model_dir: str | None = option(
        None,
        "Run folder, also an address such as gs://bucket/runs/mine (default: runs/<name of the "
        "data set>).",
        resume="free",
        can_unset=False,
    )
    overwrite: bool = option(
        False, "Deletes the run in the run folder and starts again.", resume="free"
    )
    export_dir: str = option(
        "saved_models",
        "Folder of the exports <export_dir>/<name>/<version>; the name for the run folder runs/a/b "
        "is a_b, for any other folder its last part. An empty value exports nothing.",
        resume="free",
    )
    figures: bool = option(
        True,
        "Draws figures after the epochs and at the end of the run, and writes its report.",
        resume="free",
    )
    tensorflow_log: bool = option(
        False,
        "Shows TensorFlow's start-up lines, as setting TF_CPP_MIN_LOG_LEVEL does.",
        resume="free",
    )

    def __post_init__(self) -> None:
        check(self)
        if files.is_remote(self.export_dir):
            raise ConfigError(
                f"--export_dir={self.export_dir}: an export is published by renaming a folder, "
                "which needs a local disk; give a local folder and copy the version from there"
            )
