"""Images/s of training: the package beside Keras, PyTorch and JAX, on the same networks.

All contenders of a network and batch size are started, each in a process of its own, and then take
turns, so that other work on the machine, or a change of its clock, falls on all of them. Ratios are
those of one round.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import time
from typing import Any, NamedTuple

import numpy as np

from benchmarks import cases, processes, program, report
from vae_lowlevel.config import Config, DataConfig
from vae_lowlevel.data.load import load_dataset


class Peer(NamedTuple):
    """A contender of another framework.

    Attributes:
        script: file in contenders/.
        module: what its interpreter has to have.
        option: the flag that names the interpreter.
    """

    script: str
    module: str
    option: str


PEERS = {
    "keras": Peer("keras_fit.py", "keras", "python"),
    "torch": Peer("pytorch.py", "torch", "torch_python"),
    "jax": Peer("jax_scan.py", "jax", "jax_python"),
}
REST_SECONDS = 4.0  # After each start, for all else on the machine.
CONVERT = {"bool": {"true": True, "false": False}.__getitem__, "int": int, "float": float}
QUICK = {"repetitions": 1, "seconds": 0.2, "batch_sizes": "8", "cases": "mlp"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", default=",".join(cases.CASES), help="of conv, mlp, resnet")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--batch_sizes", default="128,512")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="of keras, torch, jax; empty: ours alone"
    )
    parser.add_argument(
        "--variants",
        default="deterministic=false",
        help="settings of ours to measure beside the defaults, NAME=VALUE,...; may be empty",
    )
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn, about")
    parser.add_argument("--dataset", default="fashion_mnist", help="as of the package")
    parser.add_argument("--data_dir", help="where it is")
    parser.add_argument("--python", default=sys.executable, help="the interpreter with Keras")
    parser.add_argument("--torch_python", default=sys.executable, help="one with PyTorch")
    parser.add_argument("--jax_python", default=sys.executable, help="one with JAX")
    parser.add_argument(
        "--program",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time the whole program too: start, first step, last step, peak memory",
    )
    parser.add_argument("--output", default="benchmark", help="writes <output>.json and .md")
    parser.add_argument(
        "--first", action="store_true", help="turns before all other work (needs the right)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short turn of the mlp in one setting",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measures, and writes a JSON and a table."""
    if arguments.quick:
        for name, value in QUICK.items():
            setattr(arguments, name, value)
    unknown = set(_split(arguments.cases)) - set(cases.CASES)
    unknown |= set(_split(arguments.peers)) - set(PEERS)
    if unknown:
        sys.exit(
            f"expected cases of {', '.join(cases.CASES)}, peers of {', '.join(PEERS)}; found "
            f"{', '.join(sorted(unknown))}"
        )
    dataset = load_dataset(DataConfig(dataset=arguments.dataset, data_dir=arguments.data_dir))
    images = dataset.train.image
    peers = _present_peers(arguments)
    measured: dict[str, Any] = {"machine": report.describe_machine(), "groups": [], "program": None}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "images.npy")
        np.save(path, images)
        for case in _split(arguments.cases):
            for batch_size in map(int, _split(arguments.batch_sizes)):
                group = measure_group(arguments, case, batch_size, peers, path, images.shape[1:])
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
    peers: dict[str, Peer],
    images: str,
    image_shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Measures one network and batch size in all precisions by all contenders."""
    ours = {"ours": {}}
    for variant in _split(arguments.variants):
        ours[f"ours --{variant}"] = read_setting(variant)
    group: dict[str, Any] = {"case": case, "batch_size": batch_size, "contenders": {}}
    with contextlib.ExitStack() as stack:
        started = {}
        for precision in _split(arguments.precisions):
            wanted = {
                **{name: ("ours.py", "python", settings) for name, settings in ours.items()},
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
                parameters = cases.count_parameters([*network["encoder"], *network["decoder"]])
                if contender.ready["parameters"] not in (0, parameters):
                    raise RuntimeError(
                        f"{name}: {contender.ready['parameters']} parameters, expected {parameters}"
                    )
                group["parameters"] = parameters
                group["flops_per_image"] = cases.count_training_flops(network)
                started[name, precision] = contender
                group["contenders"][f"{name} {precision}"] = {**contender.ready, "turns": []}
        for _ in range(arguments.repetitions):
            for (name, precision), contender in started.items():
                turn = contender.train(arguments.seconds)
                group["contenders"][f"{name} {precision}"]["turns"].append(turn)
    return group


def read_setting(text: str) -> dict[str, Any]:
    """Returns {name: value} of NAME=VALUE, a setting of the package."""
    name, _, value = text.partition("=")
    for group in Config.groups().values():
        for field in dataclasses.fields(group):
            if field.name == name:
                return {name: CONVERT.get(field.type, str)(value)}
    sys.exit(f"--variants: {name} is not a setting of the package")


def _present_peers(arguments: argparse.Namespace) -> dict[str, Peer]:
    """Returns the peers whose framework is installed, and says which are not."""
    present = {}
    for name in _split(arguments.peers):
        python = getattr(arguments, PEERS[name].option)
        if processes.importable(python, PEERS[name].module):
            present[name] = PEERS[name]
        else:
            print(
                f"{name} is left out: {python} cannot import {PEERS[name].module}; name another "
                f"interpreter with --{PEERS[name].option}"
            )
    return present


def _split(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _write(output: str, measured: dict[str, Any]) -> None:
    pathlib.Path(f"{output}.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
    pathlib.Path(f"{output}.md").write_text(report.table(measured), encoding="utf-8")
