"""Settings of the run folder and the export."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.options import check, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Run folder and export."""

    model_dir: str | None = option(
        None, "Run folder (default: runs/<name of the data set>).", resume="free"
    )
    overwrite: bool = option(False, "Delete the run folder and start anew.", resume="free")
    export_dir: str = option(
        "saved_models",
        "Folder of the exports <export_dir>/<name of the run folder>/<version>; empty for none.",
        resume="free",
    )
    tensorflow_log: bool = option(
        False, "Show TensorFlow's own start-up lines on stderr.", resume="free"
    )

    def __post_init__(self) -> None:
        check(self)
