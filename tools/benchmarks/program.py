"""The whole program: time to its first and last step, what it costs beside its loop, memory."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np

from benchmarks import processes
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse
from vae_lowlevel.data.load import load_dataset

EPOCHS = 2
SPEED_FLAGS = processes.ROOT / "flags" / "fashion_2d.cfg"
MEMORY_FLAGS = processes.ROOT / "flags" / "fashion.cfg"


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs the program and, in turns with it, the bare loop of the same settings."""
    data = [f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []
    config = parse([f"--flagfile={SPEED_FLAGS}", *data], Config)
    batch_size = config.training.batch_size
    turns = []
    with tempfile.TemporaryDirectory() as folder:
        images = os.path.join(folder, "images.npy")
        np.save(images, load_dataset(config.data).train.image)
        case = {
            "settings": config.to_flat(),
            "batch_size": batch_size,
            "images": images,
            "seconds": arguments.seconds,
            "is_quick": arguments.quick,
        }
        bare = processes.ContenderProcess("ours.py", arguments.python, case, arguments.first)
        with contextlib.closing(bare):
            for turn in range(arguments.repetitions):
                before = bare.train(arguments.seconds)
                model_dir = os.path.join(folder, f"run_{turn}")
                flags = [*data, f"--epochs={EPOCHS}", "--export_dir="]
                start, _ = run_program(SPEED_FLAGS, model_dir, flags, arguments.first)
                after = bare.train(arguments.seconds)
                # Steps and times at which blocks ended.
                blocks = read_blocks(model_dir)
                steps_per_epoch = blocks[-1][0] // EPOCHS
                (_, first_end), (_, last_end) = (
                    next(block for block in blocks if block[0] == epoch * steps_per_epoch)
                    for epoch in (EPOCHS - 1, EPOCHS)
                )
                turns.append(
                    {
                        "seconds_to_last_step": last_end - start,
                        # An epoch with what is done at the end of one: checkpoint, pictures.
                        "images_per_second": steps_per_epoch * batch_size / (last_end - first_end),
                        "bare_images_per_second": statistics.mean(
                            [before["images_per_second"], after["images_per_second"]]
                        ),
                    }
                )
        one_step = _without_length(SPEED_FLAGS, os.path.join(folder, "one_step.cfg"))
        first_steps = []
        for turn in range(arguments.repetitions):
            model_dir = os.path.join(folder, f"first_{turn}")
            flags = [*data, "--train_steps=1", "--export_dir="]
            start, _ = run_program(one_step, model_dir, flags, arguments.first)
            first_steps.append(read_blocks(model_dir)[0][1] - start)
        model_dir, exports = (os.path.join(folder, name) for name in ("memory", "exports"))
        flags = [*data, "--epochs=1", f"--export_dir={exports}"]
        _, peak = run_program(MEMORY_FLAGS, model_dir, flags, False)
    return {
        "epochs": EPOCHS,
        "turns": turns,
        "first_step_seconds": first_steps,
        "peak_bytes": peak,
    }


def _without_length(flagfile: os.PathLike[str], copy: str) -> str:
    """Copies a flagfile but for its --epochs, which another length would contradict."""
    with open(flagfile, encoding="utf-8") as file, open(copy, "w", encoding="utf-8") as target:
        target.writelines(line for line in file if not line.startswith("--epochs="))
    return copy


def run_program(
    flagfile: os.PathLike[str], model_dir: str, flags: list[str], is_first: bool
) -> tuple[float, int]:
    """Runs `vae_lowlevel.train` with a progress bar, as at a terminal.

    Returns:
        When it was started, in seconds of `time.time`, and the most memory that it, or a process it
        started, held, in bytes.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    ours, terminal = pty.openpty()
    start = time.time()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "vae_lowlevel.train",
            f"--flagfile={flagfile}",
            f"--model_dir={model_dir}",
            *flags,
        ],
        stdout=terminal,
        stderr=terminal,
        cwd=processes.ROOT,
    )
    os.close(terminal)
    said: list[bytes] = []
    reader = threading.Thread(target=_read_terminal, args=(ours, said))
    reader.start()
    with processes.first_in_line(process.pid) if is_first else contextlib.nullcontext():
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    os.close(ours)
    if process.returncode:
        words = b"".join(said)[-3000:].decode(errors="replace")
        raise RuntimeError(f"train ended with {process.returncode}:\n{words}")
    return start, usage.ru_maxrss * 1024


def _read_terminal(descriptor: int, said: list[bytes]) -> None:
    # Linux answers with an error once the other end is closed.
    with contextlib.suppress(OSError):
        while chunk := os.read(descriptor, 4096):
            said.append(chunk)


def read_blocks(model_dir: str) -> list[tuple[int, float]]:
    """Returns step and time of the end of each block, from the run's summaries."""
    import tensorflow as tf

    (path,) = glob.glob(os.path.join(model_dir, "summaries", "train", "*"))
    blocks = {
        event.step: event.wall_time
        for event in tf.compat.v1.train.summary_iterator(path)
        if event.HasField("summary") and event.step
    }
    return sorted(blocks.items())
