"""The confusion matrix of the scenes as a picture, in the manner of the paper's Figure 3."""

from collections.abc import Sequence

import numpy as np
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
    size = INCHES_PER_CLASS * len(labels)
    # A figure of its own: pyplot keeps a list of all figures and chooses a window system.
    figure = Figure(figsize=(size + 2.2, size + 1.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.85")
    axes.imshow(recalls, cmap="Blues", vmin=0, vmax=100)
    for (true, predicted), recall in np.ndenumerate(recalls):
        text = f"{recall:.1f} %\n{confusion[true, predicted]}" if np.isfinite(recall) else "-"
        axes.text(
            predicted, true, text, ha="center", va="center", fontsize=9,
            color="white" if recall > 55 else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10, wrap=True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
