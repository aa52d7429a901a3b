"""Latency and throughput of the signatures of an export.

A signature is called in three ways: in a session by tensor names, as TensorFlow Serving does it; in
Python as a loaded signature; and, with --model_dir, as the bare network of the run in a
tf.function. The last column is the first request with a new batch size.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARMUP_CALLS = 20
ROUNDS = 5
LATENCY_BATCH = 1
THROUGHPUT_BATCH = 64
FIRST_NEW_BATCH = 33
# New batch sizes per way to call; the table has the median.
NEW_BATCHES = 5
SIGNATURES = ("encode", "decode", "reconstruct", "score", "sample")
BARE_NETWORK = "bare network"

# (signature, {input: array}) -> its outputs.
Caller = Callable[[str, dict[str, np.ndarray]], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "--export_dir", required=True, help="folder of one version, or of all versions of an export"
    )
    parser.add_argument("--model_dir", help="run folder of the export, for the bare network")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="time per number, over five rounds"
    )


def run(arguments: argparse.Namespace) -> None:
    """Prints a table for the newest version of an export."""
    from vae_lowlevel.serving.publish import newest_export

    folder = newest_export(arguments.export_dir)
    if folder is None:
        sys.exit(
            f"--export_dir={arguments.export_dir}: expected an export, or the folder of its "
            "versions"
        )
    callers = make_callers(folder)
    if arguments.model_dir:
        callers[BARE_NETWORK] = make_network_caller(arguments.model_dir)
    specs = read_input_specs(folder)
    one, many = (make_inputs(specs, rows) for rows in (LATENCY_BATCH, THROUGHPUT_BATCH))
    # Each way has its own sizes, because oneDNN keeps what it made for a size in the process.
    new = {
        way: [
            make_inputs(specs, FIRST_NEW_BATCH + place + len(callers) * turn)
            for turn in range(NEW_BATCHES)
        ]
        for place, way in enumerate(callers)
    }
    print(f"{folder}, {os.cpu_count()} cores; new size: first request with a new batch size\n")
    print("| signature | by | p50, 1 row | p99, 1 row | rows/s at 64 | new size |")
    print("|---|---|---|---|---|---|")
    for name in specs:
        ways = {
            way: functools.partial(call, name)
            for way, call in callers.items()
            if way != BARE_NETWORK or name in ("encode", "decode", "reconstruct")
        }
        latency, batch = (
            time_in_turns(
                {way: functools.partial(call, inputs[name]) for way, call in ways.items()},
                arguments.seconds,
            )
            for inputs in (one, many)
        )
        for way, call in ways.items():
            p50, p99 = np.percentile(latency[way], [50, 99]) * 1e3
            rate = THROUGHPUT_BATCH / np.median(batch[way])
            firsts = [time_once(functools.partial(call, inputs[name])) for inputs in new[way]]
            print(
                f"| {name} | {way} | {p50:.2f} ms | {p99:.2f} ms | {rate:.0f} | "
                f"{np.median(firsts) * 1e3:.1f} ms |",
                flush=True,
            )


def make_callers(folder: str) -> dict[str, Caller]:
    """Returns the ways to call an export."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)

    @functools.cache
    def make_callable(name: str) -> tuple[Callable, list[str]]:
        signature = meta_graph.signature_def[name]
        with session.graph.as_default():
            feeds, fetches = (
                [session.graph.get_tensor_by_name(tensor.name) for tensor in tensors.values()]
                for tensors in (signature.inputs, signature.outputs)
            )
        return session.make_callable(fetches, feeds), list(signature.inputs)

    def by_session(name: str, inputs: dict) -> list[np.ndarray]:
        call, order = make_callable(name)
        return call(*(inputs[key] for key in order))

    def by_signature(name: str, inputs: dict) -> dict[str, np.ndarray]:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[name](**tensors)
        return {key: value.numpy() for key, value in outputs.items()}

    return {"session": by_session, "loaded signature": by_signature}


def make_network_caller(model_dir: str) -> Caller:
    """Returns a way to call the network of a run in a tf.function, without the signature."""
    import tensorflow as tf

    from vae_lowlevel.experiment.loading import load_model

    model = load_model(model_dir)
    networks = {
        "encode": lambda image, label=None: model.conditioned_on(label).embed(image),
        "decode": lambda z, label=None: model.conditioned_on(label).decode(z).mean(),
        "reconstruct": lambda image, label=None: model.conditioned_on(label).reconstruct(image),
    }
    functions = {
        name: tf.function(network, reduce_retracing=True) for name, network in networks.items()
    }

    def by_network(name: str, inputs: dict) -> np.ndarray:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        return functions[name](**tensors).numpy()

    return by_network


def read_input_specs(folder: str) -> dict[str, dict[str, Any]]:
    """Returns the `TensorSpec` of each input of each measured signature that the export has."""
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures
    return {
        name: signatures[name].structured_input_signature[1]
        for name in SIGNATURES
        if name in signatures
    }


def make_inputs(specs: dict[str, dict[str, Any]], rows: int) -> dict[str, dict[str, np.ndarray]]:
    """Returns inputs with this number of rows for each signature."""
    values = {"seed": np.arange(rows), "label": np.zeros([rows], np.int32)}
    return {
        name: {
            key: values.get(key, np.full([rows, *spec.shape[1:]], 0.5, np.float32))
            for key, spec in inputs.items()
        }
        for name, inputs in specs.items()
    }


def time_in_turns(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, np.ndarray]:
    """Returns the times of each call in its quietest round, the one with the least median.

    The calls take turns, so that other work on the machine slows all of them.
    """
    best: dict[str, np.ndarray] = {}
    for call in calls.values():
        for _ in range(WARMUP_CALLS):
            call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times = time_calls(call, seconds / ROUNDS)
            if name not in best or np.median(times) < np.median(best[name]):
                best[name] = times
    return best


def time_calls(call: Callable[[], object], seconds: float) -> np.ndarray:
    """Returns the time of each call, in seconds, of as many calls as fit into `seconds`."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        times.append(time_once(call))
    return np.array(times)


def time_once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
