"""Settings of the data."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.options import check, option

# With a path after a colon, or without one.
SOURCES = {
    "cifar10": "downloaded",
    "fashion_mnist": "downloaded",
    "mnist": "downloaded",
    "shapes": "drawn by the package, needs no download",
    "folder:<path>": "PNG and JPEG images in one folder a class, or such folders in train/ and "
    "test/",
    "npz:<path>": "arrays image and, if there are, label, test_image, test_label",
    "records:<glob>": "TFRecord shards as tools/make_records writes them",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Data."""

    dataset: str = option(
        "shapes",
        "What to learn from: "
        + "; ".join(f"{name}, {text}" for name, text in SOURCES.items())
        + ".",
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
    image_size: int = option(
        32,
        "Height and width in pixels that shapes are drawn in and images of folder: are resized to.",
        at_least=8,
    )
    pad_to: int | None = option(
        None,
        "Height and width in pixels up to which images are padded with zeros on all sides.",
        at_least=1,
    )
    shapes_examples: int = option(
        20000, "Training images of shapes; a sixth as many more are the test set.", at_least=6
    )
    binarize: str = option(
        "none",
        "Draw pixels black or white with the probability of their grey level. static: once and for "
        "all. dynamic: anew at every step; validation and test images once and for all.",
        choices=("none", "static", "dynamic"),
    )

    def __post_init__(self) -> None:
        check(self)
        kind, colon, path = self.dataset.partition(":")
        allowed = {source.partition(":")[:2] for source in SOURCES}
        if (kind, colon) not in allowed or (colon and not path):
            raise ConfigError(
                f"--dataset must be one of {', '.join(SOURCES)}, got {self.dataset!r}"
            )

    @property
    def name(self) -> str:
        """The data set's name for a folder: what it is, or the last part of its path."""
        kind, _, path = self.dataset.partition(":")
        stems = [part.replace("*", "").split(".")[0] for part in path.split("/")]
        return next((stem for stem in reversed(stems) if stem), kind)
