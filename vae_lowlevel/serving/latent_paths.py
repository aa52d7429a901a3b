"""Points on paths between latents: straight lines and great circles; means of classes."""

from __future__ import annotations

import numpy as np

PATHS = ("linear", "spherical")
# Below this sine of the angle, two directions are one line and the circle is not defined.
_LEAST_SINE = 1e-6


def interpolate_latents(
    start: np.ndarray, end: np.ndarray, steps: int, path: str = "linear"
) -> np.ndarray:
    """Returns points from `start` to `end`, both included.

    linear: (1 - t) a + t b. spherical: sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, where w is
    the angle between a and b as seen from 0. Draws from N(0, I) in many dimensions have nearly the
    same length, and only this path stays at that length. Where the angle is 0 or 180 degrees, or
    an end is 0, the path is the straight line.

    Args:
        start: float [N, D].
        end: float [N, D].
        steps: T, at least 2.
        path: one of `PATHS`.

    Returns:
        float32 [N, T, D].

    Raises:
        ValueError: `steps` or `path` is not one of these, or the shapes differ.

    References:
        Shoemake, "Animating Rotation with Quaternion Curves", 1985.
        White, "Sampling Generative Networks", 2016, section 2.1.

    Example:
        >>> a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        >>> interpolate_latents(a, b, steps=3)[0, 1].tolist()
        [0.5, 0.5]
        >>> middle = interpolate_latents(a, b, steps=3, path="spherical")[0, 1]
        >>> round(float(np.linalg.norm(middle)), 4)
        1.0
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    if path not in PATHS:
        raise ValueError(f"path must be one of {', '.join(PATHS)}, got {path!r}")
    if start.shape != end.shape:
        raise ValueError(
            f"both ends must have the same shape, got {list(start.shape)} and {list(end.shape)}"
        )
    t = np.linspace(0.0, 1.0, steps)[:, None]
    a, b = np.float64(start)[:, None], np.float64(end)[:, None]
    if path == "linear":
        return np.float32((1.0 - t) * a + t * b)
    lengths = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    cosine = np.sum(a * b, -1, keepdims=True) / np.maximum(lengths, np.finfo(np.float64).tiny)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    is_line = (np.sin(angle) < _LEAST_SINE) | (lengths == 0.0)
    sine = np.where(is_line, 1.0, np.sin(angle))
    first = np.where(is_line, 1.0 - t, np.sin((1.0 - t) * angle) / sine)
    second = np.where(is_line, t, np.sin(t * angle) / sine)
    return np.float32(first * a + second * b)


def class_means(z: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes that have latents, int [K], and the mean latent of each, [K, D].

    Args:
        z: float [N, D].
        label: int [N]; -1 for an unknown class, which has no mean.
    """
    found = np.unique(label[label >= 0])
    return found, np.stack([z[label == number].mean(0) for number in found])
