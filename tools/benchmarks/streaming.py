"""Training on records that are read in every epoch, compared with the same records in memory.

Both feed the same train block in one process and take turns, so that other work on the machine
slows both. Ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable

from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse

# More than all turns train: the schedules do not end.
TOTAL_STEPS = 10**6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("--dataset", required=True, help="records:<glob>")
    parser.add_argument("--flagfile", default="flags/fashion_2d.cfg", help="settings of the run")
    parser.add_argument("--steps", type=int, default=10, help="steps per turn")
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each way")


def run(arguments: argparse.Namespace) -> None:
    """Prints images/s, processor time per image, and their ratios."""
    flags = [f"--flagfile={arguments.flagfile}", f"--dataset={arguments.dataset}"]
    config = parse([*flags, f"--steps_per_loop={arguments.steps}"], Config)
    turns, batch_size = make_turns(config, arguments.steps), config.training.batch_size
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for turn in turns.values():
        turn()  # Traces, and fills the buffers.
    for _ in range(arguments.repetitions):
        for name, turn in turns.items():
            start, processor = time.perf_counter(), time.process_time()
            turn()
            measured[name].append((time.perf_counter() - start, time.process_time() - processor))
    images = arguments.steps * batch_size
    print("| images | images/s | processor time per image |\n|---|---|---|")
    for name, times in measured.items():
        seconds, processor = (statistics.median(values) for values in zip(*times, strict=True))
        print(f"| {name} | {images / seconds:.0f} | {1e6 * processor / images:.0f} us |")
    for what, kind in ((0, "images/s"), (1, "processor time")):
        pairs = [
            (times[what], others[what])
            for times, others in zip(measured["in memory"], measured["streamed"], strict=True)
        ]
        # Images/s are inverse to the time.
        ratios = [a / b if what == 0 else b / a for a, b in pairs]
        print(
            f"streamed / in memory, {kind}: {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


def make_turns(config: Config, steps: int) -> dict[str, Callable[[], None]]:
    """Returns, for each way, a function that trains one network for a number of steps."""
    from vae_lowlevel.data.load import load_dataset
    from vae_lowlevel.experiment.start import build_feed, build_trainer, prepare_run
    from vae_lowlevel.training.devices import (
        choose_precision,
        configure_runtime,
        deterministic_operations,
    )
    from vae_lowlevel.training.strategy import join_workers

    precision = choose_precision(config)
    config = config.replace(precision=precision, epochs=None, train_steps=TOTAL_STEPS)
    configure_runtime(config.training)
    workers = join_workers(config.strategy)
    streamed, in_memory = (
        load_dataset(config.replace(resident_bytes=size).data) for size in (0, sys.maxsize)
    )
    run = prepare_run(config, streamed, workers)
    # A stream may have to shorten the calls; both ways make the same calls.
    feeds = {
        "streamed": run.feed,
        "in memory": build_feed(config, in_memory, workers, run.feed.call_steps),
    }
    epoch = run.feed.steps_per_epoch
    if epoch < steps:
        sys.exit(f"--steps={steps}: must be at most {epoch}, the steps of an epoch")
    train_block = build_trainer(config, run, workers).train_block
    next_step = dict.fromkeys(feeds, 0)

    def train(name: str) -> None:
        step = next_step[name]
        if step % epoch + steps > epoch:
            # A turn lies within one epoch.
            step = (step // epoch + 1) * epoch
        with deterministic_operations(config.training.deterministic):
            values = [train_block(*call) for call in feeds[name].calls(step, steps)]
            values[-1].numpy()
        next_step[name] = step + steps

    return {name: functools.partial(train, name) for name in feeds}
