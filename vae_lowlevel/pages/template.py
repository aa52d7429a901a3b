"""Fills the templates of pages."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping


def read_part(name: str) -> str:
    """Returns the text of a file of this package."""
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def fill(name: str, parts: Mapping[str, str]) -> str:
    """Returns a template with each `{{name}}` replaced, the styles of all pages included.

    Args:
        name: file of the template.
        parts: texts by the names of their places; `theme` is added.
    """
    parts = {"theme": read_part("theme.css"), **parts}
    # In one pass: what is filled in may itself look like a placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], read_part(name))
