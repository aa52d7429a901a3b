"""Training on records read at every epoch against training on the same records in memory.

Both feed the same train block in one process and take turns, so that other work on the machine
falls on both. Ratios are those of one round.
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the subcommand."""
    parser.add_argument("--dataset", required=True, help="records:<glob>")
    parser.add_argument("--flagfile", default="flags/fashion_2d.cfg", help="of the network")
    parser.add_argument("--steps", type=int, default=10, help="of a turn")
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each")


def run(arguments: argparse.Namespace) -> None:
    """Prints images/s, processor time an image, and their ratios."""
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
    print("| images | images/s | processor time an image |\n|---|---|---|")
    for name, times in measured.items():
        seconds, processor = (statistics.median(values) for values in zip(*times, strict=True))
        print(f"| {name} | {images / seconds:.0f} | {1e6 * processor / images:.0f} us |")
    for what, kind in ((0, "images/s"), (1, "processor time")):
        pairs = [
            (times[what], others[what])
            for times, others in zip(measured["in memory"], measured["streamed"], strict=True)
        ]
        # Less time is more images/s.
        ratios = [a / b if what == 0 else b / a for a, b in pairs]
        print(
            f"streamed / in memory, {kind}: {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


def make_turns(config: Config, steps: int) -> dict[str, Callable[[], None]]:
    """Returns, for each way, what trains for so many steps, on the same network."""
    from vae_lowlevel import assembly
    from vae_lowlevel.data.load import load_dataset
    from vae_lowlevel.experiment.start import build_feed, build_state
    from vae_lowlevel.optimizers.clipping import clip_gradients
    from vae_lowlevel.training.devices import (
        choose_call_steps,
        choose_compilation,
        configure_runtime,
        device_type,
    )
    from vae_lowlevel.training.step import make_train_block
    from vae_lowlevel.training.strategy import join_workers

    training = config.training
    configure_runtime(training)
    workers = join_workers(config.strategy)
    device = device_type(workers.strategy)
    compilation = choose_compilation(config, device)
    call_steps = choose_call_steps(config, device, compilation)
    feeds = {}
    for name, size in (("streamed", 0), ("in memory", sys.maxsize)):
        dataset = load_dataset(config.replace(resident_bytes=size).data)
        # The stream first: its calls may have to be shorter, and both take the same.
        feeds[name] = build_feed(config, dataset, workers, call_steps)
        call_steps = feeds[name].call_steps
    epoch = feeds["streamed"].steps_per_epoch
    if epoch < steps:
        sys.exit(f"--steps={steps}: expected at most the {epoch} steps of an epoch")
    objective = assembly.build_objective(config.objective, epoch, config.model.model)
    train_block = make_train_block(
        build_state(config, dataset),
        assembly.build_training_objective(config, objective),
        assembly.build_learning_rate(config.optimizer, epoch, 10**6),
        workers.strategy,
        batch_size=training.batch_size,
        block_steps=call_steps,
        clip=functools.partial(clip_gradients, clip_norm=config.optimizer.clip_norm),
        seed=training.seed,
        compilation=compilation,
    )
    next_step = dict.fromkeys(feeds, 0)

    def train(name: str) -> None:
        step = next_step[name]
        if step % epoch + steps > epoch:
            # A turn lies in one epoch.
            step = (step // epoch + 1) * epoch
        values = [train_block(*call) for call in feeds[name].calls(step, steps)]
        values[-1].numpy()
        next_step[name] = step + steps

    return {name: functools.partial(train, name) for name in feeds}
