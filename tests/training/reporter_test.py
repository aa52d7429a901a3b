import fcntl
import os
import pty
import select
import struct
import sys
import termios
from types import SimpleNamespace

import pytest
import tqdm

from vae_lowlevel.training import reporter
from vae_lowlevel.training.reporter import Reporter, fit, format_clock

MEANS = {
    "loss": 238.6249,
    "elbo": -241.3751,
    "distortion": 222.2,
    "rate": 16.40321,
    "mse": 0.01,
    "kl_weight": 0.5,
    "learning_rate": 0.001,
    "skipped": 0.0,
    "images_per_second": 2986.4,
}
# Colour images: large numbers.
LARGE = {
    **MEANS,
    "loss": 12795.31,
    "elbo": -12795.31,
    "rate": 1342.17,
    "images_per_second": 12345.6,
}


class Terminal:
    """A real terminal of some width, on whose other side this test reads."""

    def __init__(self, columns):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(slave, "w")

    def last_line(self):
        self.stream.flush()
        read = b""
        # The system passes it on by and by.
        while select.select([self._master], [], [], 0.2)[0]:
            read += os.read(self._master, 10000)
        return read.decode().split("\r")[-1].rstrip("\n")


@pytest.fixture
def terminal(monkeypatch):
    """Returns terminal(columns), which becomes stderr and draws every update of a bar."""

    def make(columns):
        made = Terminal(columns)
        monkeypatch.setattr(sys, "stderr", made.stream)
        monkeypatch.setattr(reporter, "BAR_SECONDS", 0.0)
        monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)
        return made

    return make


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set, in seconds."""
    time = SimpleNamespace(now=100.0)
    monkeypatch.setattr(reporter.time, "monotonic", lambda: time.now)
    return time


def bar_width(line):
    return len(line.split("|")[1])


@pytest.mark.parametrize("means", [MEANS, LARGE], ids=["grey", "large"])
def test_all_that_matters_is_visible_in_80_columns(terminal, clock, means):
    screen = terminal(80)
    shown = Reporter(total_steps=60000, steps_per_epoch=500)
    shown.begin(0)
    clock.now += 50.0
    shown.block(100, means)
    clock.now += 10.0
    shown.block(200, means)
    line = screen.last_line()
    shown.close()
    assert len(line) <= 80
    assert bar_width(line) >= 10
    loss, elbo, rate, speed = (
        ("238.6", "-241.4", "16.4", "2986")
        if means is MEANS
        else ("12795", "-12795", "1342", "12346")
    )
    # The first block, in which the step is compiled, does not count: 598 blocks of 10 s are left.
    for part in (f"loss {loss}", f"elbo {elbo}", f"rate {rate}", f"{speed} img/s", "1:39:40 left"):
        assert part in line


def test_a_narrow_terminal_shows_the_most_important_numbers(terminal, clock):
    screen = terminal(60)
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(0)
    clock.now += 125.0
    shown.block(10, MEANS)
    line = screen.last_line()
    shown.close()
    assert len(line) <= 60
    assert bar_width(line) >= 8
    assert line.startswith(" 50%|")
    for part in ("loss 238.6", "elbo -241.4", "2986 img/s", "2:05 left"):
        assert part in line
    assert "rate" not in line


def test_a_number_is_left_out_rather_than_the_bar(terminal, clock):
    screen = terminal(66)
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(0)
    clock.now += 125.0
    shown.block(10, MEANS)
    line = screen.last_line()
    shown.close()
    # With the rate, 5 columns would remain.
    assert "elbo" in line
    assert "rate" not in line
    assert bar_width(line) >= 9


def test_skipped_steps_are_shown_before_the_rate(terminal, clock):
    screen = terminal(80)
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(5)
    clock.now += 1.0
    shown.block(10, {**LARGE, "skipped": 0.25})
    line = screen.last_line()
    assert "25% skipped" in line
    assert len(line) <= 80
    clock.now += 1.0
    shown.block(20, {"skipped": 1.0, "images_per_second": 100.0})
    assert "100% skipped" in screen.last_line()
    shown.close()


def epoch(number, train, validation, seconds=368.0):
    return {
        "epoch": number,
        "step": 10 * number,
        "train": train,
        "validation": validation,
        "seconds": seconds,
    }


def test_an_epoch_is_a_row_of_a_table_in_80_columns(capsys):
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(0)
    validation = {**MEANS, "loss": 8.25, "elbo": -1e6, "rate": float("inf"), "active_units": 13}
    shown.epoch(epoch(1, MEANS, validation))
    shown.epoch(epoch(2, LARGE, {**LARGE, "active_units": 128}, seconds=4000))
    shown.close()
    splits, names, first, second = capsys.readouterr().out.splitlines()
    assert splits.split() == [
        "---------",
        "train",
        "----------",
        "-------",
        "validation",
        "-------",
    ]
    columns = ["loss", "elbo", "rate"]
    assert names.split() == ["epoch", *columns, *columns, "active", "img/s", "time"]
    assert first.split() == (
        ["1", "238.62", "-241.38", "16.40", "8.2500", "-1.0e+06", "inf", "13", "2986", "6:08"]
    )
    assert second.split() == (
        ["2", *["12795.3", "-12795.3", "1342.17"] * 2, "128", "12346", "1:06:40"]
    )
    # A column is named where it is.
    for line in (splits, names, first, second):
        assert len(line) <= 80
    assert first.index("16.40") + 5 == names.index("rate") + 4


def test_skipped_steps_are_a_line_of_their_own(capsys):
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(0)
    shown.epoch(epoch(1, {"skipped": 1.0, "images_per_second": 100.0}, {}))
    shown.epoch(epoch(2, {**MEANS, "skipped": 0.125}, {}))
    shown.close()
    lines = capsys.readouterr().out.splitlines()
    assert "100.0% of the steps were skipped" in lines[1]
    # The names come once there is something to name.
    assert lines[2].split() == ["epoch", "loss", "elbo", "rate", "img/s", "time"]
    assert lines[3].split() == ["2", "238.62", "-241.38", "16.40", "2986", "6:08"]
    assert "12.5% of the steps were skipped" in lines[4]


def test_a_sparse_autoencoder_has_its_own_columns(capsys):
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(0)
    means = {"loss": 1.5, "reconstruction": 1.25, "penalty": 0.25, "mean_activation": 0.1}
    shown.epoch(epoch(1, {**means, "skipped": 0.0, "images_per_second": 1.0}, means))
    assert "recon  penalty" in capsys.readouterr().out


def test_without_a_terminal_there_are_plain_lines(capsys, clock):
    shown = Reporter(total_steps=60000, steps_per_epoch=500)
    shown.begin(400)
    clock.now += 29.0
    shown.block(500, MEANS)
    clock.now += 11.0
    shown.block(600, LARGE)
    shown.close()
    captured = capsys.readouterr()
    assert captured.err == ""
    (line,) = captured.out.splitlines()
    assert len(line) <= 80
    assert line.startswith("step 600/60000  loss 12795  elbo -12795")
    assert line.endswith("12346 img/s  1:48:54 left")


class Kernel:
    kernel = object()


class Cell:
    """The output of a cell: the texts that were shown in one place, one after another."""

    def __init__(self):
        self.texts = []

    def display(self, content, *, raw, display_id):
        assert raw
        assert display_id
        assert self.texts == [], "a second output"
        self.texts.append(content["text/plain"])
        return self

    def update(self, content, *, raw):
        assert raw
        self.texts.append(content["text/plain"])


@pytest.mark.parametrize("shell", [Kernel(), None], ids=["notebook", "IPython without a kernel"])
def test_a_notebook_has_a_bar_in_a_place_of_its_own(monkeypatch, capsys, shell):
    cell = Cell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", cell)
    monkeypatch.setattr(reporter, "BAR_SECONDS", 0.0)
    shown = Reporter(total_steps=20, steps_per_epoch=10)
    shown.begin(0)
    shown.block(10, MEANS)
    shown.epoch(epoch(1, MEANS, {}))
    shown.block(20, MEANS)
    shown.close()
    captured = capsys.readouterr()
    assert captured.err == ""
    # The lines and nothing else: a stored notebook shows what a terminal would have overwritten.
    names, row = captured.out.splitlines()
    assert names.startswith("epoch")
    assert row.endswith("2986    6:08")
    assert "\r" not in captured.out
    if shell is None:
        assert cell.texts == []
        return
    assert cell.texts[0].startswith("  0%|")
    assert any(text.startswith(" 50%|") and "| loss 238.6" in text for text in cell.texts)
    assert cell.texts[-1].startswith("100%|█")
    assert all(len(text) <= 80 for text in cell.texts)


def test_parts_are_left_out_from_the_end():
    assert fit(["aaa", "bbb", "ccc"], ["z"], " ", 9) == "aaa bbb z"
    assert fit(["aaa", "bbb"], ["y", "z"], " ", 7) == "aaa y z"
    assert fit(["aaa", "bbb"], ["y", "z"], " ", 1) == "aaa z"
    assert fit([], ["y", "z"], " ", 1) == "y z"


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "0:08"), (59.6, "1:00"), (125, "2:05"), (11410, "3:10:10")]
)
def test_seconds_are_readable(seconds, text):
    assert format_clock(seconds) == text
