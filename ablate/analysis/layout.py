"""Columns as plain text and rows as CSV, for every command that lists something.

A table fits its terminal, and loses nothing by it: text wraps within its column, columns that belong together
stand below each other, and what is left continues below, with the label repeated. Numbers are never broken.
"""

import csv
import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

MAX_WORD = 24  # of a label; longer ones are broken where space is short
READABLE = 20  # text in a narrower column is no pleasure; rather continue below
LEAST_LABEL = 8
LEAST_PROSE = 20


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign: ``+1.50``; nothing is ``+0.00``."""
    return f"{round(100 * fraction, 2) + 0.0:+.2f}"


@dataclass(frozen=True)
class Column:
    """One column: the lines of its title, and one cell a row. ``gap`` is the space on its left.

    Cells of ``text`` stand on the left and wrap where space is short; others are numbers, on the right.
    """

    title: tuple[str, ...]
    cells: tuple[str, ...]
    text: bool = False
    gap: int = 2

    @cached_property
    def width(self) -> int:
        return _widest_line([*self.title, *self.cells])

    @cached_property
    def longest_word(self) -> int:
        """How narrow wrapping can make it without breaking words or numbers."""
        texts = [*self.title, *self.cells] if self.text else self.title
        wrapped = [line for text in texts for line in wrap(text, 1, whole_words=True)]
        return max(_widest_line(wrapped), 0 if self.text else _widest_line(self.cells))

    @cached_property
    def least_width(self) -> int:
        """How narrow it still reads well."""
        return min(self.width, max(self.longest_word, READABLE))

    def title_lines(self, width: int) -> list[str]:
        return [line for part in self.title for line in wrap(part, width)]

    def laid_out(self, width: int) -> list[list[str]]:
        """The lines of each cell, all of them as wide as the column with its gap."""
        gap = " " * self.gap
        cells = (wrap(cell, width) if self.text else cell.split("\n") for cell in self.cells)
        return [[gap + self.aligned(line, width) for line in lines] for lines in cells]

    def aligned(self, line: str, width: int) -> str:
        return line.ljust(width) if self.text else line.rjust(width)


def _widest_line(texts: Sequence[str]) -> int:
    return max(map(len, "\n".join(texts).split("\n")))


def wrap(text: str, width: int, *, whole_words: bool = False) -> list[str]:
    """Lines of at most ``width``, all but the first indented. Longer words are broken, or left whole."""
    if len(text) <= width:
        return [text]
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=not whole_words
    ) or [""]


def filled(text: str, width: int | None, hang: int | None = None) -> str:
    """Lines of prose within ``width``; None is without limit.

    A line goes on 2 characters to the right of its beginning, or ``hang`` to the right of the margin. Words
    are left whole, as a path is that somebody copies.
    """
    if width is None:
        return text
    return "\n".join(_fill_line(line, max(width, LEAST_PROSE), hang) for line in text.split("\n"))


def _fill_line(line: str, width: int, hang: int | None) -> str:
    indent = len(line) - len(line.lstrip()) + 2 if hang is None else hang
    if len(line) <= width:
        return line
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * min(indent, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def text_table(
    label: Column,
    fixed: Sequence[Column],
    groups: Sequence[Sequence[Column]],
    width: int | None = None,
    breaks: Sequence[int] = (),
) -> str:
    """Columns as lines of at most ``width`` characters; None is without limit.

    ``label`` and ``fixed`` are repeated in each block; columns of one group stay in one block, if need be
    below each other. A blank line stands above the rows in ``breaks``.
    """
    if width is None:
        return _block([label, *fixed, *(column for group in groups for column in group)], None, breaks)
    room = width - sum(column.gap + column.width for column in fixed)
    numbers = [column for group in groups for column in group if not column.text]
    widest_number = max((column.gap + column.longest_word for column in numbers), default=0)
    least_label = min(MAX_WORD, label.longest_word, max(LEAST_LABEL, room - widest_number))
    space = room - least_label
    fitting = [_fit(group, space) for group in groups]
    blocks = _pack([_least(group) for group in fitting], space)
    return "\n\n".join(
        _block([label, *fixed, *(column for place in block for column in fitting[place])], width, breaks)
        for block in blocks
    )


def _least(columns: Sequence[Column]) -> int:
    return sum(column.gap + column.least_width for column in columns)


def _fit(group: Sequence[Column], space: int) -> list[Column]:
    """The group, its columns below each other where they do not fit side by side."""
    if _least(group) <= space or len(group) == 1:
        return list(group)
    lines: list[list[Column]] = []
    for column in group:
        if lines and _least([*lines[-1], column]) <= space:
            lines[-1].append(column)
        else:
            lines.append([column])
    return [_stack(lines, space)]


def _stack(lines: Sequence[Sequence[Column]], space: int) -> Column:
    """One column of several: each of ``lines`` has some that stand side by side."""
    gap = max(line[0].gap for line in lines)
    parts = [[replace(line[0], gap=0), *line[1:]] for line in lines]
    widths = [_share(part, space - gap) for part in parts]
    width = max(map(_total, parts, widths))

    def below(texts: Sequence[list[str]]) -> str:
        return "\n".join(line.rjust(width) for text in texts for line in text).rstrip()

    titles = below([_titles(part, shares) for part, shares in zip(parts, widths, strict=True)])
    rows = [_rows(part, shares) for part, shares in zip(parts, widths, strict=True)]
    cells = tuple(map(below, zip(*rows, strict=True)))
    return Column(tuple(titles.split("\n")), cells, gap=gap)


def _total(columns: Sequence[Column], widths: Sequence[int]) -> int:
    return sum(column.gap for column in columns) + sum(widths)


def _share(columns: Sequence[Column], width: int | None) -> list[int]:
    """The width of each column, the first being the label: the widest of those that can give way does."""
    widths = [column.width for column in columns]
    if width is None:
        return widths
    readable = [column.least_width for column in columns]
    whole = [column.longest_word for column in columns]
    broken = [
        min(LEAST_LABEL, least) if column.text else least
        for column, least in zip(columns, whole, strict=True)
    ]
    for least in (readable, whole, broken):
        _narrow(widths, least, _total(columns, widths) - width)
    return widths


def _narrow(widths: list[int], least: Sequence[int], excess: int) -> None:
    """Take ``excess`` from the widths, always from the widest of those above their least."""
    for _ in range(excess):
        above = [place for place, width in enumerate(widths) if width > least[place]]
        if not above:
            return
        widths[max(above, key=widths.__getitem__)] -= 1


def _pack(widths: Sequence[int], space: int) -> list[list[int]]:
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


def _fill(widths: Sequence[int], space: int) -> list[list[int]]:
    """As many groups to a block as fit."""
    blocks: list[list[int]] = [[]]
    for place, width in enumerate(widths):
        used = sum(widths[other] for other in blocks[-1])
        if blocks[-1] and used + width > space:
            blocks.append([])
        blocks[-1].append(place)
    return blocks


def _block(columns: Sequence[Column], width: int | None, breaks: Sequence[int]) -> str:
    """The label and what stands beside it."""
    columns = [replace(columns[0], text=True, gap=0), *columns[1:]]
    widths = _share(columns, width)
    lines = [*_titles(columns, widths), "─" * _total(columns, widths)]
    for place, row in enumerate(_rows(columns, widths)):
        lines += [""] * (place in breaks) + row
    return "\n".join(line.rstrip() for line in lines)


def _titles(columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    """Titles end in the same line."""
    titles = [column.title_lines(width) for column, width in zip(columns, widths, strict=True)]
    height = max(map(len, titles))
    lines = zip(*([""] * (height - len(title)) + title for title in titles), strict=True)
    return [
        "".join(
            " " * column.gap + column.aligned(line, width)
            for column, width, line in zip(columns, widths, parts, strict=True)
        )
        for parts in lines
    ]


def _rows(columns: Sequence[Column], widths: Sequence[int]) -> Iterator[list[str]]:
    """The lines of each row; its cells begin in the first."""
    blanks = [" " * (column.gap + width) for column, width in zip(columns, widths, strict=True)]
    laid_out = [column.laid_out(width) for column, width in zip(columns, widths, strict=True)]
    for cells in zip(*laid_out, strict=True):
        height = max(map(len, cells))
        texts = (cell + [blank] * (height - len(cell)) for cell, blank in zip(cells, blanks, strict=True))
        yield list(map("".join, zip(*texts, strict=True) if height > 1 else zip(*cells, strict=True)))


def csv_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Dictionaries of the same keys as CSV with a header."""
    names = list(rows[0]) if rows and columns is None else list(columns or ())
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
