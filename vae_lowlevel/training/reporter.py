"""A run in the terminal or notebook: a progress bar and a row per epoch, in 80 columns."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import tqdm

# The width of a common terminal, and the least width of the bar within it.
COLUMNS = 80
LEAST_BAR = 10

# Least seconds between two changes of the bar.
BAR_SECONDS = 0.1

# Seconds between two plain lines within an epoch.
LINE_SECONDS = 30.0

# Shown while an epoch runs, the most important first.
BLOCK_TERMS = ("loss", "elbo", "rate", "penalty")

# The first of these that a run has are the columns of its table, for either split.
EPOCH_TERMS = ("loss", "elbo", "rate", "reconstruction", "penalty")
TERMS_PER_SPLIT = 3
TERM_COLUMN = 9
SHORT = {"reconstruction": "recon", "active_units": "active"}


class Reporter:
    """Shows what a run does: loss, ELBO, rate, images/s and time left.

    The bar goes to stderr, and only if that is a terminal, or to the output of a notebook's cell.
    Lines and the table of the epochs go to stdout. All of them fit into 80 columns; what the table
    has no room for is in the run's history and summaries.

    Args:
        total_steps: steps of the whole run.
        steps_per_epoch: for the epoch's number.
    """

    def __init__(self, total_steps: int, steps_per_epoch: int) -> None:
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._bar: tqdm.tqdm | None = None
        self._columns: tuple[str, ...] = ()

    def begin(self, step: int) -> None:
        """See `Observer.begin`."""
        self._mark: tuple[float, int] = time.monotonic(), step
        self._blocks = 0
        self._last_line = time.monotonic()
        self._bar = open_bar(self._total_steps, step)

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """See `Observer.block`."""
        left = self._seconds_left(step)
        parts = [f"{name} {_short(means[name])}" for name in BLOCK_TERMS if name in means]
        speed = [f"{means['images_per_second']:.0f} img/s", f"{format_clock(left)} left"]
        if means["skipped"]:
            speed.append(f"{means['skipped']:.0%} skipped")
        if self._bar is not None:
            width = self._bar.format_dict["ncols"] or COLUMNS
            room = width - min(LEAST_BAR, width // 7) - len("100%|| ")
            self._bar.set_description_str(fit(parts, speed, " ", room), refresh=False)
            self._bar.update(step - self._bar.n)
            return
        if time.monotonic() - self._last_line < LINE_SECONDS:
            return
        self._last_line = time.monotonic()
        epoch = (step - 1) // self._steps_per_epoch + 1
        place = f"step {step}/{self._total_steps}"
        write_line(fit([place, *parts, f"epoch {epoch}"], speed, "  ", COLUMNS))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Observer.epoch`."""
        train, validation = record["train"], record["validation"]
        found = [name for name in EPOCH_TERMS if name in train or name in validation]
        if not set(found[:TERMS_PER_SPLIT]) <= set(self._columns):
            self._columns = tuple(found[:TERMS_PER_SPLIT])
            write_line(_header(self._columns, bool(validation)))
        cells = [train.get(name) for name in self._columns]
        if validation:
            cells += [validation.get(name) for name in self._columns]
        row = f"{record['epoch']:5d}" + "".join(f"{_cell(value):>{TERM_COLUMN}}" for value in cells)
        if validation:
            row += f"{_count(validation.get('active_units')):>7}"
        row += f"{_speed(train['images_per_second']):>6}{format_clock(record['seconds']):>8}"
        self._last_line = time.monotonic()
        write_line(row)
        if train["skipped"]:
            write_line(
                f"      {train['skipped']:.1%} of the steps were skipped: gradients not finite"
            )

    def close(self) -> None:
        """See `Observer.close`; the bar stays as it is."""
        if self._bar is not None:
            self._bar.close()

    def _seconds_left(self, step: int) -> float:
        """Estimates from the blocks after the first, which has compiled the step."""
        now = time.monotonic()
        seconds, steps = now - self._mark[0], step - self._mark[1]
        self._blocks += 1
        if self._blocks == 1:
            self._mark = now, step
        return seconds / steps * (self._total_steps - step)


class NotebookBar(tqdm.tqdm):
    """A bar that is one output of a notebook's cell; each change replaces it.

    It is text, not a widget: a stored notebook shows its last state wherever it is read, and the
    lines that are printed meanwhile stay together.

    Args:
        **settings: those of `tqdm.tqdm`, except where it is drawn.
    """

    def __init__(self, **settings: Any) -> None:
        self._output: Any = None
        # What tqdm itself would write is dropped.
        super().__init__(file=io.StringIO(), ascii=False, ncols=COLUMNS, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Shows the bar, or a text in its place; see `tqdm.tqdm.display`."""
        del pos
        from IPython.display import display

        content = {"text/plain": str(self) if msg is None else msg}
        if self._output is None:
            self._output = display(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)


def open_bar(total_steps: int, step: int) -> tqdm.tqdm | None:
    """Returns a bar where there is something to draw it in: a terminal or a notebook; else None.

    Args:
        total_steps: the end of the bar.
        step: where it begins.
    """
    settings = {
        "total": total_steps,
        "initial": step,
        "bar_format": "{percentage:3.0f}%|{bar}| {desc}",
        "miniters": 1,
        "mininterval": BAR_SECONDS,
    }
    if is_notebook():
        return NotebookBar(**settings)
    if not sys.stderr.isatty():
        return None
    return tqdm.tqdm(**settings, file=sys.stderr, dynamic_ncols=True)


def is_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def write_line(text: str) -> None:
    """Prints a line to stdout without tearing a bar."""
    tqdm.tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def fit(parts: Sequence[str], last: Sequence[str], separator: str, width: int) -> str:
    """Joins parts into one line.

    Args:
        parts: the most important first; the others are left out where there is no room.
        last: parts that follow them and are left out, the first of them first, only when none
            but one of `parts` remains.
        separator: between two parts.
        width: most characters of the line, as far as one of `parts` and one of `last` allow.
    """
    parts, last = list(parts), list(last)
    while len(separator.join([*parts, *last])) > width and len(parts) + len(last) > 2:
        if len(parts) > 1 or len(last) == 1:
            parts.pop()
        else:
            last.pop(0)
    return separator.join([*parts, *last])


def format_clock(seconds: float) -> str:
    """Returns seconds as `0:08`, `2:05` or `3:10:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _header(terms: Sequence[str], has_validation: bool) -> str:
    width = TERM_COLUMN * len(terms)
    names = "".join(f"{SHORT.get(name, name):>{TERM_COLUMN}}" for name in terms)
    if not has_validation:
        return f"epoch{names} img/s    time"
    splits = "".join(f" {f' {split} ':-^{width - 1}}" for split in ("train", "validation"))
    return f"     {splits}\nepoch{names}{names} active img/s    time"


def _short(value: float) -> str:
    """Returns four digits of a number, and all those before its point."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.4g}"


def _cell(value: float | None) -> str:
    """Returns a number in at most 8 characters; `-` for none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    for digits, limit in ((4, 10.0), (2, 1e4), (1, 1e5)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:.2e}" if value > 0 else f"{value:.1e}"


def _speed(value: float) -> str:
    """Returns images/s in at most 5 characters."""
    return f"{value:.0f}" if value < 99999.5 else f"{value / 1000:.0f}k"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
