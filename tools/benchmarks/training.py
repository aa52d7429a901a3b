"""Images/s of training: the package, Keras, PyTorch and JAX on the same networks.

All contenders of a network and batch size start first, each in its own process, and then train in
turns, so that other work on the machine, or a change of its clock, slows all of them. Ratios are
taken within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import cases, counts, processes, program, report
from vae_lowlevel.config import Config, DataConfig
from vae_lowlevel.config.flags import parse
from vae_lowlevel.errors import ConfigError


class Peer(NamedTuple):
    """A contender of another framework.

    Attributes:
        script: file in contenders/.
        module: the module that its interpreter needs.
        option: the option that names the interpreter.
        known_cases: the cases that it can train.
    """

    script: str
    module: str
    option: str
    known_cases: tuple[str, ...] = tuple(cases.CASES)


PEERS = {
    "keras": Peer("keras_fit.py", "keras", "python", cases.COMMON_CASES),
    "torch": Peer("pytorch.py", "torch", "torch_python"),
    "jax": Peer("jax_scan.py", "jax", "jax_python", cases.COMMON_CASES),
}
REST_SECONDS = 4.0  # After each start with --first, for other work on the machine.
QUICK = {"repetitions": 1, "seconds": 0.2, "batch_sizes": "8", "cases": "mlp"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "--cases",
        default=",".join(cases.COMMON_CASES),
        help="networks: conv, mlp, resnet; also vamp, flow, iaf: the mlp with another prior or "
        "posterior, which Keras and JAX do not have",
    )
    parser.add_argument("--precisions", default="float32,bfloat16", help="of all networks")
    parser.add_argument("--batch_sizes", default="128,512", help="of all networks")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="other frameworks: keras, torch, jax; may be empty"
    )
    parser.add_argument(
        "--variants",
        default="deterministic=false",
        help="NAME=VALUE,...: also measure the package with each of these settings; may be empty",
    )
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a turn, about")
    parser.add_argument(
        "--dataset", default="fashion_mnist", help="--dataset of vae_lowlevel.train"
    )
    parser.add_argument("--data_dir", help="--data_dir of vae_lowlevel.train")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has TensorFlow and Keras"
    )
    parser.add_argument(
        "--torch_python", default=sys.executable, help="interpreter that has PyTorch"
    )
    parser.add_argument("--jax_python", default=sys.executable, help="interpreter that has JAX")
    parser.add_argument(
        "--program",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure the whole program: first step, last step, speed, peak memory",
    )
    parser.add_argument("--output", default="benchmark", help="write <output>.json and <output>.md")
    parser.add_argument(
        "--first",
        action="store_true",
        help="give the turns the CPU before other work, by niceness (needs the right)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short turn of the mlp, each contender in one setting",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measures, prints a table, and writes it and all numbers to files."""
    if arguments.quick:
        for name, value in QUICK.items():
            setattr(arguments, name, value)
    check_names("cases", arguments.cases, cases.CASES)
    check_names("peers", arguments.peers, PEERS)
    variants = {f"ours --{text}": read_setting(text) for text in split(arguments.variants)}
    from vae_lowlevel.data.load import load_dataset  # Imports TensorFlow.

    dataset = load_dataset(DataConfig(dataset=arguments.dataset, data_dir=arguments.data_dir))
    images = dataset.train.image
    peers = present_peers(arguments, PEERS)
    peers_of = {case: peers_with_case(case, peers) for case in split(arguments.cases)}
    measured: dict[str, Any] = {"machine": report.describe_machine(), "groups": [], "program": None}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "images.npy")
        np.save(path, images)
        for case, able in peers_of.items():
            for batch_size in map(int, split(arguments.batch_sizes)):
                group = measure_group(
                    arguments, case, batch_size, variants, able, path, images.shape[1:]
                )
                measured["groups"].append(group)
                _write(arguments.output, measured)
                print(f"{case}, batch {batch_size}: done", flush=True)
    if arguments.program:
        measured["program"] = program.measure(arguments)
    _write(arguments.output, measured)
    print(report.table(measured))


def measure_group(
    arguments: argparse.Namespace,
    case: str,
    batch_size: int,
    variants: dict[str, dict[str, Any]],
    peers: dict[str, Peer],
    images: str,
    image_shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Measures one network and batch size, in all precisions, with all contenders.

    Args:
        arguments: of the subcommand.
        case: of `cases.CASES`.
        batch_size: examples per step.
        variants: settings of the package that differ from the case, by the contender's name.
        peers: the other frameworks that are installed and have the case.
        images: path of a file of images, as of `np.save`.
        image_shape: (H, W, C).

    Returns:
        The names, settings and turns of the contenders; see `report`.
    """
    group: dict[str, Any] = {"case": case, "batch_size": batch_size, "contenders": {}}
    with contextlib.ExitStack() as stack:
        started = {}
        for precision in split(arguments.precisions):
            wanted = {
                "ours": ("ours.py", "python", {}),
                **{name: ("ours.py", "python", settings) for name, settings in variants.items()},
                **{name: (peer.script, peer.option, {}) for name, peer in peers.items()},
                "matmul": ("matmul.py", "python", {}),
            }
            for name, (script, option, settings) in wanted.items():
                config = Config.from_flat(
                    {
                        **cases.CASES[case],
                        **settings,
                        "precision": precision,
                        "batch_size": batch_size,
                    }
                )
                network = cases.describe_network(config, image_shape)
                described = {
                    "settings": config.to_flat(),
                    "network": network,
                    "precision": precision,
                    "batch_size": batch_size,
                    "images": images,
                    "seconds": arguments.seconds,
                    "is_quick": arguments.quick,
                }
                contender = processes.ContenderProcess(
                    script, getattr(arguments, option), described, arguments.first
                )
                stack.callback(contender.close)
                if arguments.first:
                    time.sleep(REST_SECONDS)
                parameters = sum(map(counts.count_parameters, network.values()))
                if contender.ready["parameters"] not in (0, parameters):
                    raise RuntimeError(
                        f"{name}: {contender.ready['parameters']} parameters, expected {parameters}"
                    )
                group["parameters"] = parameters
                group["flops_per_image"] = counts.count_training_flops(network, batch_size)
                started[name, precision] = contender
                group["contenders"][f"{name} {precision}"] = {**contender.ready, "turns": []}
        for _ in range(arguments.repetitions):
            for (name, precision), contender in started.items():
                turn = contender.train(arguments.seconds)
                group["contenders"][f"{name} {precision}"]["turns"].append(turn)
    return group


def read_setting(text: str) -> dict[str, Any]:
    """Returns {name: value} for NAME=VALUE, a flag of the package without its dashes."""
    name = text.partition("=")[0]
    try:
        return {name: parse([f"--{text}"], Config).to_flat()[name]}
    except ConfigError as error:
        sys.exit(f"--variants={text}: {error}")


def check_names(option: str, text: str, allowed: Iterable[str]) -> None:
    """Ends the program if a list has a name that is not allowed."""
    for name in split(text):
        if name not in allowed:
            sys.exit(f"--{option}: must be of {', '.join(allowed)}, got {name}")


def present_peers(arguments: argparse.Namespace, peers: dict[str, Peer]) -> dict[str, Peer]:
    """Returns the wanted peers whose framework is installed, and prints which are left out."""
    present = {}
    for name in split(arguments.peers):
        python = getattr(arguments, peers[name].option)
        if processes.has_module(python, peers[name].module):
            present[name] = peers[name]
        else:
            print(
                f"{name} is left out: {python} does not have {peers[name].module}; choose another "
                f"interpreter with --{peers[name].option}"
            )
    return present


def peers_with_case(case: str, peers: dict[str, Peer]) -> dict[str, Peer]:
    """Returns the peers that have a case, and prints which are left out."""
    able = {name: peer for name, peer in peers.items() if case in peer.known_cases}
    missing = [name for name in peers if name not in able]
    if missing:
        print(
            f"{case} is measured without {', '.join(missing)}; their cases are "
            f"{', '.join(cases.COMMON_CASES)}"
        )
    return able


def split(text: str) -> list[str]:
    """Returns the parts of a list with commas."""
    return [part for part in text.split(",") if part]


def _write(output: str, measured: dict[str, Any]) -> None:
    pathlib.Path(f"{output}.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
    pathlib.Path(f"{output}.md").write_text(report.table(measured), encoding="utf-8")
