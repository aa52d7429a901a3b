"""Lowers the training step of flagfiles for a GPU or TPU, and prints what a step costs.

    python tools/step_costs.py
    python tools/step_costs.py flags/mnist.cfg flags/fashion.cfg
    python tools/step_costs.py --platform=TPU

No device is needed. TensorFlow lowers for GPUs; the package `tensorflow-tpu` lowers for TPUs. A
step that a device cannot run ends the program with the reason.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from lowering.checks import LoweringError, lower_step
from lowering.costs import DEVICES, Costs, count_costs
from lowering.steps import ROOT, all_flagfiles, trace_step
from lowering.variables import variable_specs

HEADS = ("flagfile", "batch", "products", "GFLOP", "MB", "FLOP/byte")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("flagfiles", nargs="*", type=pathlib.Path, help="default: all of flags/")
    parser.add_argument("--platform", choices=("GPU", "TPU"), default="GPU", help="lower for it")
    arguments = parser.parse_args(argv)
    heads = [*HEADS, *(device.name for device in DEVICES), f"images/s, {DEVICES[0].name}"]
    print_row(heads)
    print_row(["---"] * len(heads))
    for flagfile in arguments.flagfiles or all_flagfiles():
        step = trace_step(flagfile)
        try:
            module = lower_step(step.concrete, arguments.platform)
        except LoweringError as error:
            sys.exit(f"{flagfile}: not lowered for a {arguments.platform}: {error}")
        costs = count_costs(module, variable_specs(step.concrete.graph))
        path = flagfile.resolve()
        name = path.relative_to(ROOT / "flags") if path.is_relative_to(ROOT / "flags") else path
        print_row([str(name), *format_costs(costs, step.batch_size)])
    return 0


def format_costs(costs: Costs, batch_size: int) -> list[str]:
    """Returns the cells of a row after its name."""
    limits = [costs.seconds(device) for device in DEVICES]
    return [
        str(batch_size),
        str(costs.products),
        f"{costs.flops / 1e9:.2f}",
        f"{costs.bytes / 1e6:.1f}",
        f"{costs.flops / costs.bytes:.0f}",
        *(f"{seconds * 1e6:.1f} us, {limit}" for seconds, limit in limits),
        f"{batch_size / limits[0][0] / 1e6:.1f} million",
    ]


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
