"""The table of what was measured."""

from __future__ import annotations

import os
import platform
import statistics
from importlib import metadata
from typing import Any

TITLES = {"keras": "Keras", "torch": "PyTorch", "jax": "JAX"}


def describe_machine() -> dict[str, Any]:
    """Returns the processor, the number of cores and the versions."""
    model = platform.processor()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "tensorflow": metadata.version("tensorflow"),
    }


def rates(group: dict[str, Any], contender: str) -> list[float]:
    """Returns the images/s of each turn of a contender; empty if it did not take part."""
    found = group["contenders"].get(contender, {"turns": []})
    return [turn["images_per_second"] for turn in found["turns"]]


def ratio(group: dict[str, Any], contender: str, other: str) -> float | None:
    """Returns the median over the rounds of the contender's images/s / the other's."""
    pairs = list(zip(rates(group, contender), rates(group, other), strict=False))
    return statistics.median(a / b for a, b in pairs) if pairs else None


def precisions(group: dict[str, Any]) -> list[str]:
    """Returns the measured precisions."""
    return [name.split()[1] for name in group["contenders"] if name.startswith("matmul ")]


def variants(measured: dict[str, Any]) -> list[str]:
    """Returns the names of our variants, such as `ours --deterministic=false`, each once."""
    names = (
        name.rpartition(" ")[0] for group in measured["groups"] for name in group["contenders"]
    )
    return list(dict.fromkeys(name for name in names if name.startswith("ours --")))


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def row(group: dict[str, Any], precision: str, others: list[str]) -> list[str]:
    """Returns the cells of one network, batch size and precision."""
    ours = f"ours {precision}"
    cells = [group["case"], precision, str(group["batch_size"])]
    for contender in ("ours", *others, *TITLES):
        cells.append(_spread(rates(group, f"{contender} {precision}")))
    cells += [_times(ratio(group, ours, f"{peer} {precision}")) for peer in TITLES]
    flops = group["flops_per_image"]
    ceilings = rates(group, f"matmul {precision}")
    if ceilings:
        cells.append(f"{statistics.median(rates(group, ours)) * flops / 1e9:.0f}")
        shares = zip(rates(group, ours), ceilings, strict=True)
        cells.append(f"{statistics.median(a * flops / b for a, b in shares):.0%}")
        cells.append(f"{statistics.median(ceilings) / 1e9:.0f}")
    return cells


def head(others: list[str]) -> list[str]:
    """Returns the names of the columns."""
    variants = [f"`{name.removeprefix('ours ')}`" for name in others]
    names = ["case", "precision", "batch", "ours", *variants, *TITLES.values()]
    names += [f"ours / {title}" for title in TITLES.values()]
    return [*names, "GFLOP/s", "of ceiling", "ceiling, GFLOP/s"]


def table(measured: dict[str, Any]) -> str:
    """Returns everything that was measured as Markdown."""
    machine, others = measured["machine"], variants(measured)
    columns = head(others)
    lines = [
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, "
        f"TensorFlow {machine['tensorflow']}. Images/s: median (least to most) of the turns. "
        "Ratios: medians over the rounds.",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
    ]
    for group in measured["groups"]:
        lines += [f"| {' | '.join(row(group, name, others))} |" for name in precisions(group)]
    settings = [
        f"- {group['case']}, batch {group['batch_size']}, {name}: {found['setting']}"
        for group in measured["groups"]
        for name, found in group["contenders"].items()
        if found["setting"]
    ]
    if settings:
        lines += ["", "The fastest settings of those tried:", "", *settings]
    if measured["program"]:
        lines += ["", *program_lines(measured["program"])]
    return "\n".join(lines) + "\n"


def program_lines(program: dict[str, Any]) -> list[str]:
    """Returns the table of the whole program."""
    turns = program["turns"]

    def median(name: str) -> float:
        return statistics.median(turn[name] for turn in turns)

    share = statistics.median(
        turn["images_per_second"] / turn["bare_images_per_second"] for turn in turns
    )
    first = statistics.median(program["first_step_seconds"])
    return [
        "| the whole program | |",
        "|---|---|",
        f"| `fashion_2d.cfg`, start to the end of the first step | {first:.1f} s |",
        f"| `fashion_2d.cfg`, start to the last step of {program['epochs']} epochs | "
        f"{median('seconds_to_last_step'):.1f} s |",
        f"| an epoch with summaries, checkpoint and progress bar | "
        f"{median('images_per_second'):.0f} images/s |",
        f"| its bare loop | {median('bare_images_per_second'):.0f} images/s |",
        f"| program / bare loop | {share:.3f} |",
        f"| `fashion.cfg`, peak memory | {program['peak_bytes'] / 1e9:.2f} GB |",
    ]
