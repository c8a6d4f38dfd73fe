"""A matrix of counts, such as a confusion matrix, as a picture.

Matplotlib draws what the runs of a study have in common once, the frame; Pillow then fills in a run's
numbers, ten times faster. A study has many short runs, and what draws also keeps a core from training.
"""

import functools
import math
import textwrap
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ablate.subject.scores import shares

INCHES_PER_CLASS = 0.95
DPI = 120
CELL_POINTS = 9
TITLE_POINTS = 10
TITLE_LINES = 2
LABEL_LETTERS = 24
NEVER_OCCURS = "#d9d9d9"

_DRAWING = threading.Lock()  # matplotlib draws in one thread at a time


def matrix_picture(matrix: Mapping[str, Any], title: str) -> Image.Image:
    """``matrix`` as records hold it: in each cell its share of the row in % over the count.

    The rows add up to 100 %. The row of a class that never occurs is grey.
    """
    with _DRAWING:
        frame = _frame(tuple(matrix["rows"]), tuple(matrix["columns"]))
    picture = frame.picture.copy()
    draw = ImageDraw.Draw(picture)
    for (row, column), share in np.ndenumerate(shares(matrix["counts"])):
        left, right = frame.columns[column : column + 2]
        top, bottom = frame.rows[row : row + 2]
        draw.rectangle((left, top, right - 1, bottom - 1), _colour(share))
        draw.multiline_text(
            ((left + right) / 2, (top + bottom) / 2),
            cell_text(share, matrix["counts"][row][column]),
            "white" if share > 0.55 else "black",
            _font(CELL_POINTS),
            anchor="mm",
            align="center",
        )
    _write_title(draw, frame, title)
    return picture


def cell_text(share: float, count: int) -> str:
    """What stands in a cell; ``share`` is NaN for a class that never occurs."""
    return f"{100 * share:.1f} %\n{count}" if math.isfinite(share) else "-"


def _colour(share: float) -> str:
    if not math.isfinite(share):
        return NEVER_OCCURS
    palette = _palette()
    return palette[min(int(share * len(palette)), len(palette) - 1)]


@functools.lru_cache
def _palette() -> list[str]:
    """From none of a row to all of it. Matplotlib makes a colour map anew each time that it is asked."""
    colours = matplotlib.colormaps["Blues"]
    return [to_hex(colours(number)) for number in range(colours.N)]


def _write_title(draw: ImageDraw.ImageDraw, frame: "_Frame", title: str) -> None:
    """Over the matrix, cut short where two lines do not hold it."""
    font = _font(TITLE_POINTS)
    middle = (frame.columns[0] + frame.columns[-1]) / 2
    room = 2 * min(middle, frame.picture.width - middle)
    lines = textwrap.wrap(title, int(room / font.getlength("n")), max_lines=TITLE_LINES, placeholder=" …")
    place = (middle, frame.rows[0] - font.size / 2)
    draw.multiline_text(place, "\n".join(lines), "black", font, anchor="md", align="center")


class _Frame(NamedTuple):
    """The picture without its numbers; where its columns and rows begin, and the last ends, in pixels."""

    picture: Image.Image
    columns: list[int]
    rows: list[int]


@functools.lru_cache
def _frame(rows: tuple[str, ...], columns: tuple[str, ...]) -> _Frame:
    """With room for two lines of title, and for the labels, which are cut short where they are very long."""
    width, height = (INCHES_PER_CLASS * len(labels) for labels in (columns, rows))
    # Not of pyplot, which keeps a list of all figures and chooses a window system.
    figure = Figure(figsize=(width + 2.2, height + 1.6), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    literal = {"parse_math": False}  # a $ is a $
    axes.set_xticks(
        range(len(columns)), _short(columns), rotation=30, ha="right", rotation_mode="anchor", **literal
    )
    axes.set_yticks(range(len(rows)), _short(rows), **literal)
    if rows == columns:
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    axes.set_title("\n" * (TITLE_LINES - 1) + " ", fontsize=TITLE_POINTS)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.imshow(np.zeros((len(rows), len(columns))), cmap="Blues")
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels).convert("RGB")
    across = axes.transData.transform([(edge - 0.5, 0) for edge in range(len(columns) + 1)])[:, 0]
    up = axes.transData.transform([(0, edge - 0.5) for edge in range(len(rows) + 1)])[:, 1]
    return _Frame(
        picture, across.round().astype(int).tolist(), (picture.height - up.round().astype(int)).tolist()
    )


def _short(labels: Sequence[str]) -> list[str]:
    return [name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…" for name in labels]


@functools.lru_cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    """That of matplotlib's labels."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), points * DPI / 72)
