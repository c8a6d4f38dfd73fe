"""Columns as plain text and rows as CSV, for every command that lists something."""

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_WORD = 24


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign: ``+1.50``; nothing is ``+0.00``."""
    return f"{round(100 * fraction, 2) + 0.0:+.2f}"


@dataclass(frozen=True)
class Column:
    """One column: the lines of its title, and one cell a row. ``gap`` is the space on its left."""

    title: tuple[str, ...]
    cells: tuple[str, ...]
    left: bool = False
    gap: int = 2

    @cached_property
    def width(self) -> int:
        return max(map(len, [*self.title, *self.cells]), default=0)

    @cached_property
    def least_width(self) -> int:
        """How narrow wrapping can make it without breaking its words, unless they are very long."""
        words = [wrap(text, 1, whole_words=True) for text in [*self.title, *self.cells]]
        return min(MAX_WORD, max((len(line) for lines in words for line in lines), default=0))


def wrap(text: str, width: int, *, whole_words: bool = False) -> list[str]:
    """Lines of at most ``width``, all but the first indented. Longer words are broken, or left whole."""
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=not whole_words
    ) or [""]


def text_table(
    label: Column,
    fixed: Sequence[Column],
    groups: Sequence[Sequence[Column]],
    width: int | None = None,
    breaks: Sequence[int] = (),
) -> str:
    """Columns as lines of at most ``width`` characters, if that is possible; None is without limit.

    ``label`` and ``fixed`` are repeated in each block; columns of one group stay in one block. The label
    wraps when space is short. A blank line stands above the rows in ``breaks``.
    """
    fixed_width = sum(column.gap + column.width for column in fixed)
    group_widths = [sum(column.gap + column.width for column in group) for group in groups]
    least = label.least_width
    space = None if width is None else width - least - fixed_width
    blocks = []
    for block in _pack(group_widths, space):
        used = fixed_width + sum(group_widths[place] for place in block)
        label_width = label.width if width is None else max(least, min(label.width, width - used))
        columns = [*fixed, *(column for place in block for column in groups[place])]
        blocks.append(_block(label, label_width, columns, breaks))
    return "\n\n".join(blocks)


def _pack(widths: Sequence[int], space: int | None) -> list[list[int]]:
    """Groups by place, in as few blocks as can be, of about the same width, with at least one group each."""
    blocks = _fill(widths, space)
    while len(blocks) > 1:
        widest = _widest(widths, blocks)
        narrower = _fill(widths, widest - 1)
        if len(narrower) > len(blocks) or _widest(widths, narrower) >= widest:
            break
        blocks = narrower
    return blocks


def _widest(widths: Sequence[int], blocks: Sequence[Sequence[int]]) -> int:
    return max(sum(widths[place] for place in block) for block in blocks)


def _fill(widths: Sequence[int], space: int | None) -> list[list[int]]:
    """As many groups to a block as fit."""
    blocks: list[list[int]] = [[]]
    for place, width in enumerate(widths):
        used = sum(widths[other] for other in blocks[-1])
        if blocks[-1] and space is not None and used + width > space:
            blocks.append([])
        blocks[-1].append(place)
    return blocks


def _block(label: Column, label_width: int, columns: Sequence[Column], breaks: Sequence[int]) -> str:
    height = max(len(column.title) for column in [label, *columns])
    titles = [[""] * (height - len(column.title)) + list(column.title) for column in [label, *columns]]
    lines = [_line(label_width, parts[0], columns, parts[1:]) for parts in zip(*titles, strict=True)]
    rule = "─" * (label_width + sum(column.gap + column.width for column in columns))
    lines.append(rule)
    for row, name in enumerate(label.cells):
        if row in breaks:
            lines.append("")
        first, *rest = wrap(name, label_width)
        lines.append(_line(label_width, first, columns, [column.cells[row] for column in columns]))
        lines += rest
    return "\n".join(line.rstrip() for line in lines)


def _line(label_width: int, label: str, columns: Sequence[Column], cells: Sequence[str]) -> str:
    parts = [label.ljust(label_width)]
    for column, cell in zip(columns, cells, strict=True):
        text = cell.ljust(column.width) if column.left else cell.rjust(column.width)
        parts.append(" " * column.gap + text)
    return "".join(parts)


def csv_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Dictionaries of the same keys as CSV with a header."""
    names = list(rows[0]) if rows and columns is None else list(columns or ())
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
