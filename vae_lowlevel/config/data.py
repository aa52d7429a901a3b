"""Settings of the data."""

from __future__ import annotations

import dataclasses
import re

from vae_lowlevel.config.fields import check, option
from vae_lowlevel.errors import ConfigError

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

DEFAULT_RESIDENT_BYTES = 4 * 2**30


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
    validation_size: int | None = option(
        None,
        "Number of training images held out for validation (default: 5000, or a tenth of the "
        "training images where that is less).",
        at_least=0,
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

    resident_bytes: int = option(
        DEFAULT_RESIDENT_BYTES,
        "records: training shards of more bytes than this together are not read into memory but "
        "streamed at every epoch; 0 streams any.",
        at_least=0,
        resume="numerics",
    )
    shuffle_buffer: int = option(
        10000,
        "Streamed records: examples in memory that the next one is drawn from.",
        at_least=1,
        resume="numerics",
    )
    tf_data_service: str | None = option(
        None,
        "records: stream through TensorFlow's data service at this address, grpc://<host>:<port>. "
        "Each example comes once an epoch, in no promised order.",
        resume="numerics",
    )

    def __post_init__(self) -> None:
        check(self)
        self._check_service()
        kind, colon, path = self.dataset.partition(":")
        allowed = {source.partition(":")[:2] for source in SOURCES}
        if (kind, colon) not in allowed or (colon and not path):
            raise ConfigError(
                f"--dataset must be one of {', '.join(SOURCES)}, got {self.dataset!r}"
            )

    def _check_service(self) -> None:
        address = self.tf_data_service
        if address is None:
            return
        if not re.fullmatch(r"grpc://(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}", address):
            raise ConfigError(f"--tf_data_service must be grpc://<host>:<port>, got {address!r}")
        if not self.dataset.startswith("records:"):
            raise ConfigError(
                f"--tf_data_service={address} reads --dataset=records:<glob>, got --dataset="
                f"{self.dataset}; write its records with tools/make_records, or leave the service "
                "out"
            )

    @property
    def is_published(self) -> bool:
        """Whether this is MNIST, Fashion-MNIST or CIFAR-10, with 50,000 training images or more."""
        return SOURCES.get(self.dataset) == "downloaded"

    @property
    def name(self) -> str:
        """The data set's name for a folder: what it is, or the last part of its path."""
        kind, _, path = self.dataset.partition(":")
        stems = [part.replace("*", "").split(".")[0] for part in path.split("/")]
        return next((stem for stem in reversed(stems) if stem), kind)
