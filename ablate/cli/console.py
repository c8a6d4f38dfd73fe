"""Printing: tables that a terminal wraps and a pipe does not, and JSON that stands alone."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200  # columns when the output is not a terminal


def console(*, stderr: bool = False) -> Console:
    """A console that neither highlights nor reads markup: class names have brackets of their own."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with a rule under its header; long cells wrap, nothing is cut off."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    print(as_json(content))


def as_json(content: Any) -> str:
    """Strict JSON. What a diverging run has measured can be infinite or no number: that is null."""
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
