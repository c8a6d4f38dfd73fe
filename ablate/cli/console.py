"""Printing: tables and prose that fit the terminal, whole lines for a pipe, and JSON that stands alone."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.ground.jsontext import as_json

if TYPE_CHECKING:
    from rich.console import Console

    from ablate.analysis.layout import Column
    from ablate.api.page import Page

PIPE_WIDTH = 200  # columns of what rich draws when the output is not a terminal


def terminal_width() -> int | None:
    """How many characters fit in a line; None when the output goes to a pipe or file, where all fit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def console(*, stderr: bool = False) -> "Console":
    """A console that neither highlights nor reads markup: class names have brackets of their own."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def print_coloured(text: str, *patterns: str) -> None:
    """Text in which the groups of ``patterns`` have the colours that they are named after, where there are
    colours.
    """
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):  # without rich, which takes its time
        print(text, end="")
        return
    from rich.text import Text

    coloured = Text(text)
    for pattern in patterns:
        coloured.highlight_regex(pattern)
    console().print(coloured, soft_wrap=True, end="")


def say(text: str, hang: int | None = None) -> None:
    """Prose, wrapped to the terminal as ``analysis.layout.filled`` does."""
    from ablate.analysis.layout import filled

    print(filled(text, terminal_width(), hang))


def say_command(command: str, before: str = "", after: str = "") -> None:
    """A command among words, as ``api.page.Page.say_command`` lays it out."""
    from ablate.api.page import Page

    page = Page()
    page.say_command(command, before, after)
    print_page(page)


def print_page(page: "Page") -> None:
    """What a page holds, within the terminal."""
    print(page.text(terminal_width()), end="")


def print_table(
    label: "Column",
    groups: "Sequence[Sequence[Column]]",
    breaks: Sequence[int] = (),
) -> None:
    """A table that fits the terminal, as ``analysis.layout.text_table`` lays it out."""
    from ablate.analysis.layout import text_table

    print(text_table(label, [], groups, terminal_width(), breaks))


def print_json(document: Mapping[str, Any]) -> None:
    """One document of ``ground.documents`` on standard output, which has nothing else then."""
    print(as_json(document))
