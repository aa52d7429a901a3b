"""The whole program: time to its first and last step, its speed, its memory."""

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

EPOCHS = 2
SPEED_FLAGS = processes.ROOT / "flags" / "fashion_2d.cfg"
MEMORY_FLAGS = processes.ROOT / "flags" / "fashion.cfg"


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs the program in turns with the bare training loop of the same settings."""
    from vae_lowlevel.data.load import load_dataset

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
                blocks = read_blocks(model_dir)
                steps_per_epoch = blocks[-1][0] // EPOCHS
                (_, first_end), (_, last_end) = (
                    next(block for block in blocks if block[0] == epoch * steps_per_epoch)
                    for epoch in (EPOCHS - 1, EPOCHS)
                )
                turns.append(
                    {
                        "seconds_to_last_step": last_end - start,
                        # Of an epoch with what follows it: checkpoint, pictures.
                        "images_per_second": steps_per_epoch * batch_size / (last_end - first_end),
                        "bare_images_per_second": statistics.mean(
                            [before["images_per_second"], after["images_per_second"]]
                        ),
                    }
                )
        first_steps = []
        for turn in range(arguments.repetitions):
            model_dir = os.path.join(folder, f"first_{turn}")
            flags = [*data, "--train_steps=1", "--export_dir="]
            start, _ = run_program(SPEED_FLAGS, model_dir, flags, arguments.first)
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


def run_program(
    flagfile: os.PathLike[str], model_dir: str, flags: list[str], is_first: bool
) -> tuple[float, int]:
    """Runs `vae_lowlevel.train` in a terminal, so that it draws its progress bar.

    Returns:
        The time of its start in seconds of `time.time`, and the peak memory in bytes of the program
        or of a process that it started, whichever is larger.

    Raises:
        RuntimeError: it failed; quotes the end of its output.
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
    output: list[bytes] = []
    reader = threading.Thread(target=_read_terminal, args=(ours, output))
    reader.start()
    with processes.first_in_line(process.pid) if is_first else contextlib.nullcontext():
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    os.close(ours)
    if process.returncode:
        end = b"".join(output)[-3000:].decode(errors="replace")
        raise RuntimeError(f"train ended with {process.returncode}:\n{end}")
    return start, usage.ru_maxrss * 1024


def _read_terminal(descriptor: int, output: list[bytes]) -> None:
    # On Linux, reading fails when the other end is closed.
    with contextlib.suppress(OSError):
        while chunk := os.read(descriptor, 4096):
            output.append(chunk)


def read_blocks(model_dir: str) -> list[tuple[int, float]]:
    """Returns (step, time) of the end of each block, from the summaries of the run."""
    import tensorflow as tf

    (path,) = glob.glob(os.path.join(model_dir, "summaries", "train", "*"))
    blocks = {
        event.step: event.wall_time
        for event in tf.compat.v1.train.summary_iterator(path)
        if event.HasField("summary") and event.step
    }
    return sorted(blocks.items())
