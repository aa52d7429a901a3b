"""Writes the report of a run: one HTML file with its figures, metrics, settings and commands."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Mapping, Sequence

from vae_lowlevel.pages.metric_meanings import meaning_of
from vae_lowlevel.pages.template import fill, read_part


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        name: short, such as "samples".
        caption: what it shows.
        png: content of the PNG file.
    """

    name: str
    caption: str
    png: bytes


@dataclasses.dataclass(frozen=True)
class ReportData:
    """What the report shows.

    Attributes:
        title: name of the run.
        summary: facts in a line each: data, model, length of training.
        metrics: by group, such as "test"; in each group numbers and texts by name.
        figures: in the order in which they are shown.
        flags: the settings as a flagfile.
        changed_flags: names of the settings that are not as they are by default.
        commands: (what it does, command line).
        versions: of the packages, by name.
        explorer: file name of the latent explorer next to the report; "" for none.
    """

    title: str
    summary: Sequence[str]
    metrics: Mapping[str, Mapping[str, object]]
    figures: Sequence[ReportFigure]
    flags: str
    changed_flags: Sequence[str]
    commands: Sequence[tuple[str, str]]
    versions: Mapping[str, str]
    explorer: str = ""


def report_page(data: ReportData) -> str:
    """Returns the report, an HTML document that needs no other file and no network."""
    link = ""
    if data.explorer:
        name = html.escape(data.explorer, quote=True)
        link = f'<p><a class="explorer" href="{name}">Open the latent explorer</a></p>'
    parts = {
        "title": html.escape(data.title),
        "style": read_part("report.css"),
        "summary": "".join(f"<li>{html.escape(line)}</li>" for line in data.summary),
        "explorer": link,
        "metrics": "".join(_table(group, values) for group, values in data.metrics.items()),
        "figures": "".join(map(_figure, data.figures)),
        "flags": _flags(data),
        "commands": "".join(
            f"<dt>{html.escape(what)}</dt><dd><pre>{html.escape(command)}</pre></dd>"
            for what, command in data.commands
        ),
        "versions": html.escape(", ".join(f"{k} {v}" for k, v in data.versions.items())),
    }
    return fill("report.html", parts)


def _table(group: str, values: Mapping[str, object]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(_format(value))}</td>'
        f"<td>{html.escape(meaning_of(name))}</td></tr>"
        for name, value in values.items()
    )
    return (
        f'<div class="table"><table><caption>{html.escape(group)}</caption><thead><tr>'
        '<th scope="col">metric</th><th scope="col">value</th><th scope="col">meaning</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _figure(figure: ReportFigure) -> str:
    content = base64.b64encode(figure.png).decode()
    name, caption = html.escape(figure.name, quote=True), html.escape(figure.caption)
    return (
        f'<figure id="figure-{name}"><img alt="{html.escape(figure.caption, quote=True)}" '
        f'src="data:image/png;base64,{content}"><figcaption><b>{name}</b>: {caption}'
        "</figcaption></figure>"
    )


def _flags(data: ReportData) -> str:
    """Returns the flagfile with the settings marked that are not as they are by default."""
    lines = []
    for line in data.flags.splitlines():
        name = line.removeprefix("--").partition("=")[0]
        text = html.escape(line)
        lines.append(f"<mark>{text}</mark>" if name in data.changed_flags else text)
    return "\n".join(lines)


def _format(value: object) -> str:
    return f"{value:,.4f}" if isinstance(value, float) else str(value)
