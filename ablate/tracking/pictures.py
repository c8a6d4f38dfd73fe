"""The confusion matrix of the scenes as a picture, in the manner of the paper's Figure 3.

Matplotlib draws what the runs of a study have in common once, the frame; Pillow then fills in a run's
numbers, ten times faster. A study has many short runs, and what draws also keeps a core from training.
"""

import functools
import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ablate.mtl.metrics.counts import Counts
from ablate.mtl.metrics.scores import recall_matrix

INCHES_PER_CLASS = 0.95
DPI = 120
CELL_POINTS = 9
TITLE_POINTS = 10
TITLE_LINES = 2
LABEL_LETTERS = 24
NEVER_OCCURS = "#d9d9d9"


def confusion_picture(confusion: Counts, labels: Sequence[str], title: str) -> Image.Image:
    """``confusion`` (n_classes, n_classes), rows true, columns predicted: recall in % over the count.

    The rows add up to 100 %. The row of a class that never occurs is grey.
    """
    frame = _frame(tuple(labels))
    picture = frame.picture.copy()
    draw = ImageDraw.Draw(picture)
    recalls = recall_matrix(confusion)
    for (true, predicted), recall in np.ndenumerate(recalls):
        left, right = frame.columns[predicted : predicted + 2]
        top, bottom = frame.rows[true : true + 2]
        draw.rectangle((left, top, right - 1, bottom - 1), _colour(recall))
        draw.multiline_text(
            ((left + right) / 2, (top + bottom) / 2),
            cell_text(recall, int(confusion[true, predicted])),
            "white" if recall > 0.55 else "black",
            _font(CELL_POINTS),
            anchor="mm",
            align="center",
        )
    _write_title(draw, frame, title)
    return picture


def cell_text(recall: float, count: int) -> str:
    """What stands in a cell; ``recall`` is NaN for a class that never occurs."""
    return f"{100 * recall:.1f} %\n{count}" if math.isfinite(recall) else "-"


def _colour(recall: float) -> str:
    return to_hex(matplotlib.colormaps["Blues"](recall)) if math.isfinite(recall) else NEVER_OCCURS


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
def _frame(labels: tuple[str, ...]) -> _Frame:
    """With room for two lines of title, and for the labels, which are cut short where they are very long."""
    size = INCHES_PER_CLASS * len(labels)
    # Not of pyplot, which keeps a list of all figures and chooses a window system.
    figure = Figure(figsize=(size + 2.2, size + 1.6), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…" for name in labels]
    literal = {"parse_math": False}  # a $ is a $
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor", **literal)
    axes.set_yticks(range(len(names)), names, **literal)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("\n" * (TITLE_LINES - 1) + " ", fontsize=TITLE_POINTS)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.imshow(np.zeros((len(labels), len(labels))), cmap="Blues")
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels).convert("RGB")
    edges = np.arange(len(labels) + 1) - 0.5
    across, up = axes.transData.transform(np.stack([edges, edges], axis=1)).round().astype(int).T
    return _Frame(picture, across.tolist(), (picture.height - up).tolist())


@functools.lru_cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    """That of matplotlib's labels."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), points * DPI / 72)
