"""Settings of the report of a run."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import Options, check, option
from vae_lowlevel.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Report."""

    model_dir: str | None = option(None, "Run folder, of a finished run.")
    explorer: bool = option(
        False,
        "Also write latent_explorer.html, a page that decodes in the browser; it loads the data "
        "and the model of the run.",
    )
    data_dir: str | None = option(
        None, "explorer: folder with the data files (default: the one of training)."
    )
    tensorflow_log: bool = option(
        False, "Shows TensorFlow's start-up lines, as setting TF_CPP_MIN_LOG_LEVEL does."
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the folder of a finished run")
