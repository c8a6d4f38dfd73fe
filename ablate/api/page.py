"""What a command would print, until its width is known: prose, commands and tables, as text and as HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from ablate.analysis.layout import Column, filled, text_table
from ablate.api.answer import html_of_text

PROSE = "white-space: pre-wrap; margin: 0.3em 0"
CELL = "padding: 0.1em 0.8em 0.1em 0; vertical-align: top; text-align: "


@dataclass
class Page:
    """Parts in their order, each as text of a width (None is without limit) and as HTML."""

    _texts: list[Callable[[int | None], str]] = field(default_factory=list)
    _html: list[str] = field(default_factory=list)

    def say(self, text: str = "", hang: int | None = None) -> None:
        """Prose, wrapped as ``analysis.layout.filled`` does."""
        self._texts.append(lambda width: filled(text, width, hang))
        self._html.append(f'<div style="{PROSE}">{escape(text)}</div>')

    def say_command(self, command: str, before: str = "", after: str = "") -> None:
        """A command among words, in one line or, where that is short, below them.

        A command is never wrapped, so that it can be copied.
        """
        self._texts.append(lambda width: _with_command(command, before, after, width))
        code = f"<code>{escape(command.strip())}</code>"
        words = " ".join(part for part in (escape(before), code, escape(after)) if part)
        self._html.append(f'<div style="{PROSE}">{words}</div>')

    def laid_out(self, text: str) -> None:
        """Lines that are within the width already, as a table of ``analysis``."""
        self._texts.append(lambda _: text)
        self._html.append(html_of_text(text))

    def table(self, label: Column, groups: Sequence[Sequence[Column]], breaks: Sequence[int] = ()) -> None:
        """A table that fits, as ``analysis.layout.text_table`` lays it out."""
        self._texts.append(lambda width: text_table(label, [], groups, width, breaks))
        self._html.append(_table([label, *(column for group in groups for column in group)]))

    def text(self, width: int | None = None) -> str:
        """All parts below each other, with a line end after each."""
        return "".join(f"{text(width)}\n" for text in self._texts)

    def html(self) -> str:
        return "\n".join(self._html)


def _with_command(command: str, before: str, after: str, width: int | None) -> str:
    line = " ".join(part for part in (before, command, after) if part)
    if width is None or len(line) <= width:
        return line
    lines = [filled(before, width)] * bool(before) + [f"  {command.strip()}"]
    return "\n".join(lines + [filled(f"    {after}", width)] * bool(after))


def _table(columns: Sequence[Column]) -> str:
    sides = ["left" if column.text or place == 0 else "right" for place, column in enumerate(columns)]
    heads = "".join(
        f'<th style="{CELL}{side}">{_lines(" ".join(column.title))}</th>'
        for side, column in zip(sides, columns, strict=True)
    )
    rows = (
        "".join(
            f'<td style="{CELL}{side}">{_lines(column.cells[row])}</td>'
            for side, column in zip(sides, columns, strict=True)
        )
        for row in range(len(columns[0].cells))
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
