"""Several workers with one core each, compared with one process with one core.

They train the network of flags/fashion_2d.cfg. With --paper nothing is measured: a table shows how
large the batch of a worker must be for the all-reduce of the gradients to take at most a tenth of a
step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile

from benchmarks import cases, counts
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = (
    f"--flagfile={ROOT / 'flags' / 'fashion_2d.cfg'}",
    "--dataset=shapes",
    "--image_size=28",
    "--validation_size=0",
    "--intra_op_threads=1",
    "--export_dir=",
)
# Name -> flags and image shape.
PAPER = {
    "conv of fashion_2d.cfg, 28 x 28": ((FLAGS[0],), (28, 28, 1)),
    "resnet xlarge, 128 x 128 x 3": (
        ("--network=resnet", "--variant=xlarge", "--latent_dim=512"),
        (128, 128, 3),
    ),
}
LINKS = (10, 25, 100, 200)  # gigabits per second
FLOAT32_BYTES = 4
SHARE = 0.1  # of a step that the all-reduce may take
# The first epoch traces, the second one warms up, the last one is measured.
EPOCHS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "--workers", type=int, default=2, help="number of processes, with one core each"
    )
    parser.add_argument("--batch_size", type=int, default=128, help="examples per worker and step")
    parser.add_argument("--precisions", default="float32,bfloat16", help="of the network")
    parser.add_argument("--steps", type=int, default=24, help="steps in each of three epochs")
    parser.add_argument("--repetitions", type=int, default=3, help="rounds of all ways")
    parser.add_argument("--paper", action="store_true", help="compute instead of measuring")
    parser.add_argument(
        "--teraflops", type=float, default=50.0, help="--paper: speed that a worker sustains"
    )
    parser.add_argument("--output", help="also write the images/s to <output>.json")


def run(arguments: argparse.Namespace) -> None:
    """Prints a table of what was measured or computed."""
    if arguments.paper:
        extrapolate(arguments.teraflops)
        return
    cores = sorted(os.sched_getaffinity(0))
    if arguments.workers > len(cores):
        sys.exit(
            f"--workers={arguments.workers}: must be at most {len(cores)}, the number of cores"
        )
    cores = cores[: arguments.workers]
    measured = {}
    for precision in arguments.precisions.split(","):
        rates = {"one": [], "apart": [], "together": []}
        for _ in range(arguments.repetitions):
            rates["one"].append(sum(_train(arguments, precision, cores[:1], False)))
            rates["apart"].append(sum(_train(arguments, precision, cores, False)))
            rates["together"].append(_train(arguments, precision, cores, True)[0])
        measured[precision] = rates
    print(f"{arguments.workers} workers, batch {arguments.batch_size} each; medians of images/s\n")
    print("| precision | one process | processes apart | workers together | together / one |")
    print("|---|---|---|---|---|")
    for precision, rates in measured.items():
        one, apart, together = (statistics.median(values) for values in rates.values())
        ratios = [a / b for a, b in zip(rates["together"], rates["one"], strict=True)]
        print(
            f"| {precision} | {one:.0f} | {apart:.0f} | {together:.0f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    if arguments.output:
        pathlib.Path(f"{arguments.output}.json").write_text(json.dumps(measured, indent=1))


def extrapolate(teraflops: float) -> None:
    """Prints, for each network and link, the time of an all-reduce and the batch that hides it.

    In a ring of N workers, each worker sends 2 (N - 1) / N times its gradients; this is 2 for many
    workers. The all-reduce starts after the backward pass, so nothing overlaps.
    """
    heads = [f"{link} Gb/s" for link in LINKS]
    print(f"| network | parameters | bytes per step | GFLOP per image | {' | '.join(heads)} |")
    print(f"|{'---|' * (4 + len(LINKS))}")
    for name, (flags, image_shape) in PAPER.items():
        network = cases.describe_network(parse(list(flags), Config), image_shape)
        parameters = sum(counts.count_parameters(layers) for layers in network.values())
        flops = counts.count_training_flops(network)
        size = parameters * FLOAT32_BYTES
        cells = []
        for link in LINKS:
            seconds = 2 * size * 8 / (link * 1e9)
            batch = (1 / SHARE - 1) * seconds * teraflops * 1e12 / flops
            cells.append(f"{seconds * 1e3:.2f} ms, {math.ceil(batch)}")
        row = [name, f"{parameters:,}", f"{size / 1e6:.1f} MB", f"{flops / 1e9:.2f}", *cells]
        print(f"| {' | '.join(row)} |")


def _train(
    arguments: argparse.Namespace, precision: str, cores: list[int], is_together: bool
) -> list[float]:
    """Trains one process per core; returns the images/s of the last epoch of each run folder."""
    workers = len(cores) if is_together else 1
    batch_size = arguments.batch_size * workers
    flags = [
        *FLAGS,
        f"--precision={precision}",
        f"--batch_size={batch_size}",
        f"--shapes_examples={arguments.steps * batch_size}",
        f"--epochs={EPOCHS}",
        *(["--distribution_strategy=multi_worker_mirrored"] if is_together else []),
    ]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        cluster = [f"localhost:{port}" for port in _free_ports(workers)]
        processes, folders = [], []
        for index, core in enumerate(cores):
            if is_together:
                task = {"type": "worker", "index": index}
                content = {"cluster": {"worker": cluster}, "task": task}
                environment["TF_CONFIG"] = json.dumps(content)
            model_dir = os.path.join(folder, "run" if is_together else f"run_{index}")
            folders.append(model_dir)
            command = [sys.executable, "-m", "vae_lowlevel.train", *flags]
            processes.append(
                subprocess.Popen(
                    [*command, f"--model_dir={model_dir}"],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    preexec_fn=lambda core=core: os.sched_setaffinity(0, {core}),
                )
            )
        codes = [process.wait() for process in processes]
        if any(codes):
            sys.exit(f"training failed with exit codes {codes}; see above")
        return [_last_rate(model_dir) for model_dir in dict.fromkeys(folders)]


def _last_rate(model_dir: str) -> float:
    with open(os.path.join(model_dir, "metrics.json"), encoding="utf-8") as file:
        return json.load(file)["history"][-1]["train"]["images_per_second"]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
