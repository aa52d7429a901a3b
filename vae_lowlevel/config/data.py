"""Settings of the data."""

from __future__ import annotations

import dataclasses
import re

from vae_lowlevel.config.fields import check, option, quote
from vae_lowlevel.errors import ConfigError

# Names of data sets, with or without a path after a colon.
SOURCES = {
    "cifar10": "downloaded",
    "fashion_mnist": "downloaded",
    "mnist": "downloaded",
    "shapes": "drawn by the package, no download",
    "folder:<path>": "PNG and JPEG images in one folder per class, or in such folders in train/ "
    "and test/",
    "npz:<path>": "array image and optional arrays label, test_image, test_label",
    "records:<glob>": "TFRecord shards written by tools/make_records",
}

DEFAULT_RESIDENT_BYTES = 4 * 2**30
MOST_DEFAULT_VALIDATION = 5000  # images; by default a tenth of the training images, at most

_MAX_SIDE = 4096
# Drawn images are all in memory.
_MAX_DRAWN_BYTES = 2**34


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Data."""

    dataset: str = option(
        "shapes",
        "Data set: " + "; ".join(f"{name}, {text}" for name, text in SOURCES.items()) + ".",
    )
    data_dir: str | None = option(
        None,
        "Folder that contains the data files or a folder <dataset>/ with them; searched before "
        "$VAE_LOWLEVEL_DATA_DIR and the cache folder.",
        resume="free",
    )
    validation_size: int | None = option(
        None,
        f"Number of training images held out for validation (default: {MOST_DEFAULT_VALIDATION}, "
        "or a tenth of the training images where that is less).",
        at_least=0,
    )
    image_size: int = option(
        32,
        "shapes, folder: height and width in pixels to which images are drawn or resized.",
        at_least=8,
        at_most=_MAX_SIDE,
    )
    pad_to: int | None = option(
        None,
        "Height and width in pixels to which images are padded with zeros on all sides.",
        at_least=1,
        at_most=_MAX_SIDE,
    )
    shapes_examples: int = option(
        20000,
        "shapes: number of training images; the test set has a sixth of this number in addition.",
        at_least=6,
    )
    binarize: str = option(
        "none",
        "Draws each pixel white with the probability of its grey level, else black. static: once "
        "for all images. dynamic: again at every step for training images, once for validation and "
        "test images.",
        choices=("none", "static", "dynamic"),
    )
    anomaly_class: str | None = option(
        None,
        "Name or number of a class whose images are removed from the training and validation "
        "images and kept in the test images (default: none is removed).",
    )

    resident_bytes: int = option(
        DEFAULT_RESIDENT_BYTES,
        "records: total size in bytes of the training shards above which they are streamed at "
        "every epoch instead of read into memory; 0 always streams.",
        at_least=0,
        at_most=2**63 - 1,
        resume="numerics",
    )
    shuffle_buffer: int = option(
        10000,
        "records, streamed: number of examples in memory from which the next one is drawn.",
        at_least=1,
        resume="numerics",
    )
    tf_data_service: str | None = option(
        None,
        "records: address of TensorFlow's data service to stream through, grpc://<host>:<port>. "
        "Each example comes once per epoch, in no guaranteed order.",
        resume="numerics",
    )

    def __post_init__(self) -> None:
        check(self)
        self._check_service()
        drawn_bytes = (self.shapes_examples + self.shapes_examples // 6) * self.image_size**2
        if self.dataset == "shapes" and drawn_bytes > _MAX_DRAWN_BYTES:
            raise ConfigError(
                f"--shapes_examples={self.shapes_examples} of --image_size={self.image_size} are "
                f"{drawn_bytes} bytes in memory, expected at most {_MAX_DRAWN_BYTES}: give fewer "
                "or smaller images"
            )
        kind, colon, path = self.dataset.partition(":")
        allowed = {source.partition(":")[:2] for source in SOURCES}
        if (kind, colon) not in allowed or (colon and not path):
            raise ConfigError(
                f"--dataset must be one of {', '.join(SOURCES)}, got {quote(self.dataset)}"
            )

    def _check_service(self) -> None:
        address = self.tf_data_service
        if address is None:
            return
        match = re.fullmatch(r"grpc://(\[[0-9a-fA-F:]+\]|[^\s:/]+):(\d{1,5})", address)
        if not match or not 0 < int(match[2]) < 2**16:
            raise ConfigError(
                f"--tf_data_service must be grpc://<host>:<port>, got {quote(address)}"
            )
        if not self.dataset.startswith("records:"):
            raise ConfigError(
                f"--tf_data_service={address} requires --dataset=records:<glob>, got --dataset="
                f"{self.dataset}; write the records with tools/make_records, or leave the service "
                "out"
            )

    @property
    def is_published(self) -> bool:
        """Whether this is MNIST, Fashion-MNIST or CIFAR-10, with 50,000 training images or more."""
        return SOURCES.get(self.dataset) == "downloaded"

    @property
    def name(self) -> str:
        """The name of the data set for a folder: its kind, or the last part of its path."""
        kind, _, path = self.dataset.partition(":")
        stems = [part.replace("*", "").split(".")[0] for part in path.split("/")]
        return next((stem for stem in reversed(stems) if stem), kind)
