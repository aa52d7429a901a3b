"""Checks of the arrays that a user passes to a `Predictor`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import is_vector_shape, to_unit

Labels = int | np.ndarray | None


def full_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns (H, W, C) of (H, W, C), of (H, W) for C = 1, or (1, D, 1) of (D,).

    Raises:
        ConfigError: it is none of these.
    """
    sizes = tuple(image_shape)
    if len(sizes) not in (1, 2, 3) or not all(
        isinstance(size, (int, np.integer)) and size > 0 for size in sizes
    ):
        raise ConfigError(
            f"image_shape must be (H, W, C), (H, W) or (D,), integers of at least 1, got {sizes}"
        )
    return (1, *sizes, 1) if len(sizes) == 1 else (*sizes, 1)[:3]


def unit_images(image: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns images as a model sees them.

    Args:
        image: uint8 in [0, 255] or float in [0, 1]; [N, H, W, C], [N, H, W] where C is 1, or [N, W]
            where H is 1 too. Lists, tensors and data frames are converted by NumPy.
        image_shape: (H, W, C).

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: another shape, dtype or range.
    """
    try:
        image = np.asarray(image)
    except ValueError:
        raise ValueError("images must have one shape, got a list of different ones") from None
    shapes = [image_shape, image_shape[:2]] if image_shape[2] == 1 else [image_shape]
    if is_vector_shape(image_shape):
        shapes = [image_shape[1:2], image_shape]
    if image.shape[1:] not in shapes:
        allowed = " or ".join(f"[{', '.join(['N', *map(str, shape)])}]" for shape in shapes)
        raise ValueError(f"images must have shape {allowed}, got {list(image.shape)}")
    image = image.reshape(-1, *image_shape)
    if image.dtype == np.uint8:
        return to_unit(image).numpy()
    if not np.issubdtype(image.dtype, np.floating):
        cast = "; for pixels from 0 to 255 use image.astype(numpy.uint8)"
        raise ValueError(
            f"images must be uint8 in [0, 255] or floats in [0, 1], got {image.dtype}"
            + (cast if np.issubdtype(image.dtype, np.integer) else "")
        )
    if not np.all((image >= 0.0) & (image <= 1.0)):
        raise ValueError(
            f"floating-point images must be in [0, 1] ({_rescaling(image_shape)}), got values from "
            f"{image.min()} to {image.max()}"
        )
    return image.astype(np.float32)


def _rescaling(image_shape: tuple[int, int, int]) -> str:
    if is_vector_shape(image_shape):
        return "scale each column: (x - x.min(0)) / (x.max(0) - x.min(0))"
    return "divide 8-bit pixels by 255"


def check_latents(z: np.ndarray, latent_dim: int) -> np.ndarray:
    """Returns finite floats [N, D] as float32.

    Raises:
        ValueError: another shape or dtype, or a value that is not finite in float32.
    """
    z = np.asarray(z)
    if z.ndim != 2 or z.shape[1] != latent_dim:
        raise ValueError(f"z must have shape [N, {latent_dim}], got {list(z.shape)}")
    if not np.issubdtype(z.dtype, np.floating):
        raise ValueError(f"z must be floats, got {z.dtype}")
    with np.errstate(over="ignore"):  # Values beyond float32 become infinite and are refused.
        z = z.astype(np.float32)
    if not np.isfinite(z).all():
        raise ValueError("z must be finite in float32, got NaN or infinity")
    return z


def check_labels(label: Labels, count: int, *, is_conditional: bool) -> np.ndarray | None:
    """Returns labels int32 [count], or None for a model that takes none.

    Raises:
        ValueError: a label is missing or not expected, out of range, or has another shape or dtype.
    """
    if not is_conditional:
        if label is not None:
            raise ValueError("this model is not conditional: it takes no label")
        return None
    if label is None:
        raise ValueError("this model is conditional: it needs a label (-1: unknown)")
    label = np.asarray(label)
    if not np.issubdtype(label.dtype, np.integer) or label.shape not in ((), (count,)):
        raise ValueError(
            f"label must be an integer or integers [{count}], got {label.dtype} {list(label.shape)}"
        )
    # Before they are narrowed, in Python's integers: int64 and uint64 have no common type.
    if label.size and not -1 <= int(label.min()) <= int(label.max()) < 2**31:
        raise ValueError(
            f"label must be in [-1, 2**31) (-1: unknown), got {label.min()} to {label.max()}"
        )
    return np.broadcast_to(label, [count]).astype(np.int32)
