"""What a run shows: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

import tqdm

# Between two plain lines within an epoch.
LINE_SECONDS = 30.0

SHOWN_TERMS = ("loss", "elbo", "bpd", "distortion", "rate", "mse")
SHOWN_TERMS += ("reconstruction", "penalty", "mean_activation", "psnr")
BLOCK_TERMS = ("loss", "distortion", "rate", "reconstruction", "penalty")


class Reporter:
    """Shows step, epoch, loss, distortion, rate, images/s and time left.

    The bar goes to stderr and only if that is a terminal; lines go to stdout.

    Args:
        first_step: steps done before this session.
        total_steps: steps of the whole run.
        steps_per_epoch: for the epoch's number.
    """

    def __init__(self, first_step: int, total_steps: int, steps_per_epoch: int) -> None:
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._first_step = first_step
        self._start = self._last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=total_steps, initial=first_step, unit="step", dynamic_ncols=True
            )

    def block(self, step: int, terms: dict[str, float], images_per_second: float) -> None:
        """Shows the means of a block that ended at `step`."""
        epoch = (step - 1) // self._steps_per_epoch + 1
        values = {name: terms[name] for name in BLOCK_TERMS if name in terms}
        if self._bar is not None:
            shown = {name: f"{value:.4g}" for name, value in values.items()}
            self._bar.set_postfix(epoch=epoch, **shown, img_s=f"{images_per_second:.0f}")
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last_line < LINE_SECONDS:
            return
        self._last_line = now
        left = (now - self._start) / (step - self._first_step) * (self._total_steps - step)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.line(
            f"step {step}/{self._total_steps}  epoch {epoch}  {numbers}  "
            f"{images_per_second:.0f} images/s  {format_seconds(left)} left"
        )

    def epoch(
        self, epoch: int, train: dict[str, float], validation: dict[str, float], seconds: float
    ) -> None:
        """Shows the means of an epoch."""
        parts = [f"epoch {epoch}"]
        for split, terms in (("train", train), ("validation", validation)):
            names = [name for name in SHOWN_TERMS if name in terms]
            if names:
                numbers = "  ".join(f"{name} {terms[name]:.4f}" for name in names)
                parts.append(f"{split}: {numbers}")
        parts.append(format_seconds(seconds))
        self._last_line = time.monotonic()
        self.line(" | ".join(parts))

    def line(self, text: str) -> None:
        """Prints a line without tearing the bar."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text, file=sys.stdout)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def format_seconds(seconds: float) -> str:
    """Returns seconds as `8 s`, `2 min 05 s` or `3 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
