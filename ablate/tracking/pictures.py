"""The confusion matrix of the scenes as a picture, in the manner of the paper's Figure 3."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.metrics.counts import Counts
from ablate.metrics.scores import recall_matrix

INCHES_PER_CLASS = 0.95
DPI = 120


def confusion_picture(confusion: Counts, labels: Sequence[str], title: str) -> Figure:
    """``confusion`` (n_classes, n_classes), rows true, columns predicted: recall in % over the count.

    The rows add up to 100 %. The row of a class that never occurs is grey.
    """
    recalls = 100 * recall_matrix(confusion)
    figure = _figure(labels)
    axes = figure.add_axes(_place(tuple(labels)))
    _label(axes, labels, title)
    axes.imshow(recalls, cmap="Blues", vmin=0, vmax=100)
    for (true, predicted), recall in np.ndenumerate(recalls):
        text = f"{recall:.1f} %\n{confusion[true, predicted]}" if np.isfinite(recall) else "-"
        axes.text(
            predicted, true, text, ha="center", va="center", fontsize=9,
            color="white" if recall > 55 else "black",
        )  # fmt: skip
    return figure


def _figure(labels: Sequence[str], **settings: Any) -> Figure:
    """A figure of its own: pyplot keeps a list of all figures and chooses a window system."""
    size = INCHES_PER_CLASS * len(labels)
    return Figure(figsize=(size + 2.2, size + 1.6), dpi=DPI, **settings)


@functools.lru_cache
def _place(labels: tuple[str, ...]) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of the axes that leave room for the labels and two lines of title.

    Finding that out takes as long as the whole drawing, and the runs of a study have the same labels.
    """
    figure = _figure(labels, layout="constrained")
    axes = figure.add_subplot()
    _label(axes, labels, "title\ntitle")
    axes.imshow([[0.0] * len(labels)] * len(labels))
    figure.draw_without_rendering()
    left, bottom, width, height = axes.get_position(original=True).bounds
    return left, bottom, width, height


def _label(axes: Axes, labels: Sequence[str], title: str) -> None:
    axes.set_facecolor("0.85")
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10, wrap=True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
