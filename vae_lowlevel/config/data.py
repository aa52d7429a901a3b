"""Settings of the data."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.options import check, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Data."""

    dataset: str = option(
        "shapes",
        "What to learn from. shapes is drawn by the package and needs no download.",
        choices=("fashion_mnist", "mnist", "shapes"),
    )
    data_dir: str | None = option(
        None,
        "Folder with the data files or with <dataset>/; looked into before $VAE_LOWLEVEL_DATA_DIR "
        "and the cache folder.",
        resume="free",
    )
    validation_size: int = option(
        5000, "Examples held out from the training set for validation.", at_least=0
    )
    image_size: int = option(32, "Height and width of the images of shapes, in pixels.", at_least=8)
    shapes_examples: int = option(
        20000, "Training images of shapes; a sixth as many more are the test set.", at_least=6
    )

    def __post_init__(self) -> None:
        check(self)
