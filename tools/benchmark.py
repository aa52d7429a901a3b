"""Measures the package on this machine.

    python tools/benchmark.py training --output=benchmark
    python tools/benchmark.py scaling
    python tools/benchmark.py streaming --dataset='records:/data/mine/*.tfrecord'
    python tools/benchmark.py serving --export_dir=saved_models/fashion --model_dir=runs/fashion

serving    latency at batch 1 and throughput at batch 64 of an export's signatures: by a session and
           tensor names, as TensorFlow Serving runs them; by the loaded signature, called in Python;
           with --model_dir by the bare network of the run under tf.function. And the first request
           of a batch size not seen before.
scaling    workers of one core each against one process of one core; with --paper, what the sizes
           of networks say of workers on faster devices and links.
streaming  records read at every epoch against the same records in memory.
training   images/s of the training loop, beside Keras, PyTorch and JAX where they are installed, on
           the same networks, batches and data; the whole program; its memory.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from benchmarks import scaling, streaming, training

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

WARMUP_CALLS = 20
ROUNDS = 5
LATENCY_BATCH = 1
THROUGHPUT_BATCH = 64
NEW_BATCH = 33  # and the sizes after it
NEW_SIZES = 5  # of each way; the median is printed


def time_calls(call: Callable[[], object], seconds: float) -> np.ndarray:
    """Returns the times of calls made for so many seconds, in seconds each."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return np.array(times)


def time_in_turns(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, np.ndarray]:
    """Returns the times of each call in its quietest round, the one of the least median.

    The calls take turns, so that other work on the machine falls on all of them.
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


def time_once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def make_callers(folder: str) -> dict[str, Callable]:
    """Returns ways to answer (signature, {input: array}) -> {output: array}."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    callables = {}

    def by_session(name: str, inputs: dict) -> dict:
        if name not in callables:
            signature = meta_graph.signature_def[name]
            feeds = [tensor.name for tensor in signature.inputs.values()]
            with session.graph.as_default():
                fetches = [
                    session.graph.get_tensor_by_name(tensor.name)
                    for tensor in signature.outputs.values()
                ]
            feeds = [session.graph.get_tensor_by_name(feed) for feed in feeds]
            callables[name] = session.make_callable(fetches, feeds), list(signature.inputs)
        call, order = callables[name]
        return call(*(inputs[key] for key in order))

    def by_function(name: str, inputs: dict) -> dict:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[name](**tensors)
        return {key: value.numpy() for key, value in outputs.items()}

    return {"session": by_session, "loaded signature": by_function}


def make_network_caller(model_dir: str) -> Callable:
    """Returns a way to answer with the run's network under tf.function, nothing around it."""
    import tensorflow as tf

    from vae_lowlevel.experiment.loading import load_model

    model = load_model(model_dir)
    networks = {
        "encode": lambda image: model.posterior(model.encoder(image)).mean(),
        "decode": lambda z: model.decode(z).mean(),
        "reconstruct": model.reconstruct,
    }
    functions = {
        name: tf.function(network, reduce_retracing=True) for name, network in networks.items()
    }

    def by_network(name: str, inputs: dict) -> np.ndarray:
        return functions[name](*map(tf.constant, inputs.values())).numpy()

    return by_network


def make_inputs(folder: str, rows: int) -> dict[str, dict]:
    """Returns inputs of the signatures that are measured."""
    import tensorflow as tf

    signatures = tf.saved_model.load(folder).signatures
    values = {"seed": np.arange(rows), "label": np.zeros([rows], np.int32)}
    inputs = {}
    for name in ("encode", "decode", "reconstruct", "score", "sample"):
        if name in signatures:
            specs = signatures[name].structured_input_signature[1]
            inputs[name] = {
                key: values.get(key, np.full([rows, *spec.shape[1:]], 0.5, np.float32))
                for key, spec in specs.items()
            }
    return inputs


def serving(arguments: argparse.Namespace) -> None:
    """Prints a table for the newest version of an export."""
    from vae_lowlevel.serving.publish import newest_export

    folder = newest_export(arguments.export_dir)
    if folder is None:
        sys.exit(f"{arguments.export_dir}: expected an export, or the folder of its versions")
    callers = make_callers(folder)
    if arguments.model_dir:
        callers["bare network"] = make_network_caller(arguments.model_dir)
    one, many = (make_inputs(folder, rows) for rows in (LATENCY_BATCH, THROUGHPUT_BATCH))
    # Sizes of its own for each way: oneDNN keeps what it made for a size, for the whole process.
    new = {
        way: [
            make_inputs(folder, NEW_BATCH + place + len(callers) * turn)
            for turn in range(NEW_SIZES)
        ]
        for place, way in enumerate(callers)
    }
    print(f"{folder}, {os.cpu_count()} cores; last the first request of sizes not seen before\n")
    print("| signature | by | p50, 1 row | p99, 1 row | rows/s at 64 | new size |")
    print("|---|---|---|---|---|---|")
    for name in one:
        ways = {
            way: call
            for way, call in callers.items()
            if way != "bare network" or name in ("encode", "decode", "reconstruct")
        }

        def bind(inputs: dict) -> dict[str, Callable[[], object]]:
            bound = functools.partial
            return {way: bound(call, name, inputs[name]) for way, call in ways.items()}  # noqa: B023

        latency = time_in_turns(bind(one), arguments.seconds)
        batch = time_in_turns(bind(many), arguments.seconds)
        for way, call in ways.items():
            p50, p99 = np.percentile(latency[way], [50, 99]) * 1e3
            rate = THROUGHPUT_BATCH / np.median(batch[way])
            first_requests = [
                time_once(functools.partial(call, name, inputs[name])) for inputs in new[way]
            ]
            first = np.median(first_requests) * 1e3
            print(
                f"| {name} | {way} | {p50:.2f} ms | {p99:.2f} ms | {rate:.0f} | {first:.1f} ms |",
                flush=True,
            )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subcommands = parser.add_subparsers(dest="subcommand", required=True)
    options = subcommands.add_parser("serving", help="latency and throughput of an export")
    options.add_argument("--export_dir", required=True, help="a version, or all versions")
    options.add_argument("--model_dir", help="the export's run folder, for the bare network")
    options.add_argument(
        "--seconds", type=float, default=2.0, help="for each number, over five rounds"
    )
    options.set_defaults(run=serving)
    options = subcommands.add_parser("training", help="images/s beside other frameworks")
    training.add_arguments(options)
    options.set_defaults(run=training.run)
    options = subcommands.add_parser("scaling", help="several workers against one")
    scaling.add_arguments(options)
    options.set_defaults(run=scaling.run)
    options = subcommands.add_parser("streaming", help="records streamed against records in memory")
    streaming.add_arguments(options)
    options.set_defaults(run=streaming.run)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
