"""The sizes of residual networks, by name."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Variant:
    """One size of `--network=resnet`.

    Attributes:
        filters: channels of each level; each level halves height and width.
        blocks: residual blocks a level.
        latent_dim: dimensions of the latent space, unless given.
        suits: the images it is meant for.
    """

    filters: tuple[int, ...]
    blocks: int
    latent_dim: int
    suits: str


VARIANTS = {
    "micro": Variant((16, 32), 1, 32, "16x16"),
    "small": Variant((32, 64), 1, 64, "MNIST"),
    "medium": Variant((32, 64, 128), 1, 128, "CIFAR-10"),
    "large": Variant((64, 128, 256), 2, 256, "64x64 to 128x128"),
    "xlarge": Variant((64, 128, 256, 512), 2, 512, "larger"),
}
DEFAULT_VARIANT = "small"
