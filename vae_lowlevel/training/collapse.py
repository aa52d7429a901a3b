"""Warns, once in a session, of units that a model has lost."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vae_lowlevel.training.reporter import COLUMNS, write_line

# A latent unit with a smaller mean KL says nothing about the image, nats.
COLLAPSED_RATE = 0.01

# Parts of the units whose loss deserves a warning. Good models with relu have layers in which half
# of the units are 0 for all images.
MOST_COLLAPSED = 0.5
MOST_DEAD = 0.75


class CollapseWarning:
    """Looks at a model after each epoch: see `Observer`.

    It warns of latent units whose KL is next to nothing once the KL weight and the capacity have
    their final values, and of hidden relu units that are 0 for all images: no gradient brings those
    back.

    Args:
        rates: step -> KL of each latent unit, float [D], nats; None where that has no closed form.
        dead: step -> (dead units, units) of each layer, by its name; empty without relu layers.
        final: final value of each schedule of the objective, by its name in `record["train"]`.
    """

    def __init__(
        self,
        rates: Callable[[int], np.ndarray | None],
        dead: Callable[[int], Mapping[str, tuple[int, int]]],
        final: Mapping[str, float | None],
    ) -> None:
        self._rates: Callable[[int], np.ndarray | None] | None = rates
        self._dead: Callable[[int], Mapping[str, tuple[int, int]]] | None = dead
        self._final = final

    def begin(self, step: int) -> None:
        """See `Observer.begin`; there is nothing to warn of yet."""

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """See `Observer.block`; blocks do not matter here."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Warns of what was not yet warned of."""
        if self._dead is not None and (text := describe_dead(self._dead(record["step"]))):
            self._dead = None
            write_line(text)
        if self._rates is not None and self._is_warmed_up(record["train"]):
            rates = self._rates(record["step"])
            if rates is not None and (text := describe_collapsed(rates)):
                self._rates = None
                write_line(text)

    def close(self) -> None:
        """See `Observer.close`."""

    def _is_warmed_up(self, means: Mapping[str, float]) -> bool:
        """Returns whether all schedules had their final values throughout an epoch."""
        found = [(means[name], value) for name, value in self._final.items() if name in means]
        # Means of float32 numbers.
        return bool(found) and all(
            value is not None and math.isclose(mean, value, rel_tol=1e-4) for mean, value in found
        )


def describe_collapsed(rates: np.ndarray) -> str:
    """Returns a warning if half or more of the latent units say nothing; "" if not.

    Args:
        rates: mean KL of each unit, float [D], nats.
    """
    collapsed = int(np.sum(rates < COLLAPSED_RATE))
    if collapsed < MOST_COLLAPSED * len(rates):
        return ""
    return _warning(
        f"{collapsed} of {len(rates)} latent units carry less than {COLLAPSED_RATE} nats: they "
        "say nothing about the image (posterior collapse). Try a KL warm-up (--kl_schedule=linear "
        "with --kl_warmup_epochs), a lower --kl_weight, a lower --learning_rate, "
        "or, if the others suffice, a smaller --latent_dim."
    )


def describe_dead(dead: Mapping[str, tuple[int, int]]) -> str:
    """Returns a warning if three quarters or more of a layer's units are dead; "" if not.

    Args:
        dead: (dead units, units) of each layer, by its name.
    """
    bad = {name: pair for name, pair in dead.items() if pair[0] >= MOST_DEAD * pair[1]}
    if not bad:
        return ""
    name, (count, units) = max(bad.items(), key=lambda item: item[1][0] / item[1][1])
    others = f", and most of those of {len(bad) - 1} more layers" if len(bad) > 1 else ""
    return _warning(
        f"{count} of {units} relu units of {name} are 0 for all images looked at{others}: they "
        "learn nothing any more. Try --activation=silu or elu, or a lower --learning_rate."
    )


def _warning(text: str) -> str:
    return textwrap.fill(
        f"warning: {text}", COLUMNS, subsequent_indent="  ", break_on_hyphens=False
    )
