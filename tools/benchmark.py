"""Measures the package on this machine.

    python tools/benchmark.py training --output=benchmark
    python tools/benchmark.py quality
    python tools/benchmark.py scaling
    python tools/benchmark.py streaming --dataset='records:/data/mine/*.tfrecord'
    python tools/benchmark.py serving --export_dir=saved_models/fashion --model_dir=runs/fashion

training   Images per second of the training loop, compared with Keras, PyTorch and JAX where they
           are installed, on the same networks, batch sizes and images. Also the whole program:
           its start, its speed and its memory.
quality    Seconds from the command to a target on the test set, in Keras and PyTorch as well.
scaling    Several workers with one core each, compared with one process with one core. With
           --paper: computes what faster devices and network links would give.
streaming  Training on records that are read in every epoch, compared with the same records in
           memory.
serving    Latency at batch 1 and throughput at batch 64 of the signatures of an export.
"""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks import quality, scaling, serving, streaming, training

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SUBCOMMANDS = {
    "training": (training, "images per second, compared with other frameworks"),
    "quality": (quality, "seconds to a good model, compared with other frameworks"),
    "scaling": (scaling, "several workers, compared with one"),
    "streaming": (streaming, "streamed records, compared with records in memory"),
    "serving": (serving, "latency and throughput of an export"),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subcommands = parser.add_subparsers(dest="subcommand", required=True)
    for name, (module, summary) in SUBCOMMANDS.items():
        options = subcommands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(options)
        options.set_defaults(run=module.run)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
