"""Seconds from the command to a good model: the package, Keras `fit` and PyTorch.

Every program trains the same network by the same recipe (a flagfile: batch size, epochs, schedules
of the learning rate and the KL weight) and measures the test set at its end. The programs take
turns, once per seed. A figure is the time of the whole process, from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np

from benchmarks import cases, processes, report, training
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse


class Recipe(NamedTuple):
    """A flagfile and the loss on the test set that it is to reach."""

    flagfile: str
    target: float


RECIPES = {
    "fashion": Recipe("flags/fast/fashion.cfg", 238.8),
    "fashion_2d": Recipe("flags/fast/fashion_2d.cfg", 0.0356),
}
PEERS = {
    "keras": training.Peer("keras_recipe.py", "keras", "python"),
    "torch": training.Peer("pytorch_recipe.py", "torch", "torch_python"),
}
# What the programs of the peers do as well: no pictures, no export.
FLAGS = ["--figures=false", "--export_dir="]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("--recipes", default="fashion", help="of " + ", ".join(RECIPES))
    parser.add_argument("--seeds", default="0,1,2", help="each seed is one turn")
    parser.add_argument(
        "--flags", default="", help="further flags of the recipes, separated by spaces"
    )
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="other frameworks: keras, torch; may be empty"
    )
    parser.add_argument("--data_dir", help="--data_dir of vae_lowlevel.train")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has TensorFlow and Keras"
    )
    parser.add_argument(
        "--torch_python", default=sys.executable, help="interpreter that has PyTorch"
    )
    parser.add_argument("--output", default="quality", help="write <output>.json and <output>.md")


def run(arguments: argparse.Namespace) -> None:
    """Measures, prints a table, and writes it and all numbers to files."""
    training.check_names("recipes", arguments.recipes, RECIPES)
    training.check_names("peers", arguments.peers, PEERS)
    peers = training.present_peers(arguments, PEERS)
    measured: dict[str, Any] = {"machine": report.describe_machine(), "recipes": {}}
    for name in training.split(arguments.recipes):
        measured["recipes"][name] = measure_recipe(arguments, RECIPES[name], peers)
        pathlib.Path(f"{arguments.output}.json").write_text(
            json.dumps(measured, indent=1), encoding="utf-8"
        )
    lines = table(measured)
    pathlib.Path(f"{arguments.output}.md").write_text(lines, encoding="utf-8")
    print(lines)


def measure_recipe(
    arguments: argparse.Namespace, recipe: Recipe, peers: dict[str, training.Peer]
) -> dict[str, Any]:
    """Returns the target and, for each program, `seconds` and `loss` of each seed."""
    # They import TensorFlow.
    from vae_lowlevel.data.load import load_dataset
    from vae_lowlevel.training.devices import choose_precision

    flags = [f"--flagfile={processes.ROOT / recipe.flagfile}", *arguments.flags.split(), *FLAGS]
    flags += [f"--data_dir={arguments.data_dir}"] if arguments.data_dir else []
    config = parse(flags, Config)
    config = config.replace(precision=choose_precision(config))
    dataset = load_dataset(config.data)
    network = cases.describe_network(config, dataset.train.image.shape[1:])
    programs: dict[str, list[dict[str, float]]] = {"ours": [], **{name: [] for name in peers}}
    with tempfile.TemporaryDirectory() as folder:
        images = {}
        for split in ("train", "test"):
            images[split] = os.path.join(folder, f"{split}.npy")
            np.save(images[split], getattr(dataset, split).image)
        for seed in map(int, training.split(arguments.seeds)):
            model_dir = os.path.join(folder, f"run_{seed}")
            programs["ours"].append(run_ours(arguments, flags, model_dir, seed))
            for name, peer in peers.items():
                case = {
                    "settings": config.to_flat(),
                    "network": network,
                    "images": images,
                    "seed": seed,
                }
                python = getattr(arguments, peer.option)
                programs[name].append(run_peer(python, peer.script, case, folder))
    return {"flagfile": recipe.flagfile, "target": recipe.target, "programs": programs}


def run_ours(
    arguments: argparse.Namespace, flags: list[str], model_dir: str, seed: int
) -> dict[str, float]:
    """Runs the command that a user types."""
    command = [arguments.python, "-m", "vae_lowlevel.train", *flags]
    seconds = time_process([*command, f"--model_dir={model_dir}", f"--seed={seed}"])
    metrics = pathlib.Path(model_dir, "metrics.json").read_text(encoding="utf-8")
    return {"seconds": seconds, "loss": json.loads(metrics)["test"]["loss"]}


def run_peer(python: str, script: str, case: dict[str, Any], folder: str) -> dict[str, float]:
    """Runs the program of another framework, which writes its loss to a file."""
    case_path, loss_path = (os.path.join(folder, name) for name in ("case.json", "loss.json"))
    pathlib.Path(case_path).write_text(json.dumps(case), encoding="utf-8")
    seconds = time_process([python, str(processes.FOLDER / script), case_path, loss_path])
    return {"seconds": seconds, "loss": json.loads(pathlib.Path(loss_path).read_text())}


def time_process(command: list[str]) -> float:
    """Returns the seconds that a process took.

    Raises:
        RuntimeError: it failed; quotes the end of its output.
    """
    start = time.perf_counter()
    ended = subprocess.run(
        command,
        cwd=processes.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"{command[1:3]} ended with {ended.returncode}:\n{ended.stdout[-3000:]}")
    return time.perf_counter() - start


def table(measured: dict[str, Any]) -> str:
    """Returns the results as Markdown."""
    machine = measured["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores. Median over the seeds (least to most).",
        "",
        "| recipe | target | program | seconds | to ours | loss on the test set | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in measured["recipes"].values():
        ours = [turn["seconds"] for turn in found["programs"]["ours"]]
        for name, turns in found["programs"].items():
            seconds, losses = ([turn[key] for turn in turns] for key in ("seconds", "loss"))
            ratio = statistics.median(a / b for a, b in zip(seconds, ours, strict=True))
            cells = [
                f"`{found['flagfile']}`",
                f"{found['target']:g}",
                report.TITLES.get(name, name),
                _spread(seconds, ".0f"),
                f"{ratio:.2f}",
                _spread(losses, ".5g"),
                f"{sum(loss <= found['target'] for loss in losses)} of {len(losses)}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"
