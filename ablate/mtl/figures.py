"""Figure 1 of the paper: how often each event occurs in each scene of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.ground.colours import BLUE, GREY, INK, ORANGE, RULE, SHADE
from ablate.ground.errors import DataError
from ablate.ground.files import read_json
from ablate.mtl.data.annotations import annotation_file
from ablate.mtl.data.prepared import MANIFEST
from ablate.mtl.data.stats import Stats, read_stats
from ablate.subject.interface import Dataset

SPLIT_STYLES: dict[str, dict[str, Any]] = {
    "development": {"color": BLUE, "marker": "o", "markersize": 4.5},
    "evaluation": {"color": ORANGE, "marker": "D", "markersize": 6.5, "markerfacecolor": "none"},
}


def instances(dataset: Dataset) -> Sequence[tuple[str, str, str, Figure]]:
    """Figure 1 for the report, when the data are where they are said to be, and still the same."""
    stats = dataset_stats(dataset)
    if stats is None:
        return ()
    counts = {split: counted.instances for split, counted in stats.splits.items()}
    caption = (
        f"The paper's Figure 1 for the data set {dataset.name}: annotated events, development / evaluation."
    )
    figure = event_instances(counts, stats.rows, stats.vocabulary.events)
    return (("instances", "Event instances in each scene", caption, figure),)


def dataset_stats(dataset: Dataset) -> Stats | None:
    """Counted from the annotations; None when they are gone, or prepared anew from other files."""
    folders = (dataset.path, dataset.path.parent)
    try:
        if read_json(dataset.path / MANIFEST)["digest"] != dataset.digest:
            return None
        return read_stats(next(path for path in folders if (path / annotation_file("development")).exists()))
    except (OSError, ValueError, KeyError, TypeError, StopIteration, DataError):
        return None


def event_instances(
    counts: Mapping[str, npt.NDArray[np.int64]], scenes: Sequence[str], events: Sequence[str]
) -> Figure:
    """Figure 1 of the paper: how often each event occurs in each scene.

    ``counts`` has an array (n_scenes, n_events) for each split. A panel per scene, a row per event, a mark
    per split on a logarithmic axis with the numbers beside it; no mark where an event never occurs.
    """
    figure = Figure(figsize=(1.4 + 2.1 * len(scenes), 1.3 + 0.22 * len(events)), layout="constrained")
    panels = figure.subplots(1, len(scenes), sharex=True, sharey=True, squeeze=False)[0]
    most = max(int(count.max(initial=1)) for count in counts.values())
    for index, (axes, scene) in enumerate(zip(panels, scenes, strict=True)):
        _draw_scene(axes, {split: count[index] for split, count in counts.items()}, most)
        axes.set_title(scene.replace("_", " "), fontsize=10)
    panels[0].set_yticks(range(len(events)), events, fontsize=8.5)
    panels[0].set_ylim(len(events) - 0.4, -0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(counts), frameon=False, fontsize=9)
    figure.supxlabel("event instances (logarithmic)", fontsize=9)
    return figure


def _draw_scene(axes: Axes, counts: Mapping[str, npt.NDArray[np.int64]], most: int) -> None:
    """One scene's panel: counts (n_events,) by split."""
    height = len(next(iter(counts.values())))
    for row in range(0, height, 2):
        axes.axhspan(row - 0.5, row + 0.5, color=SHADE, linewidth=0, zorder=0)
    largest = np.max(list(counts.values()), axis=0)
    rows = np.flatnonzero(largest)
    axes.hlines(rows, 0.7, largest[rows], color=RULE, linewidth=0.8, zorder=1)
    for split, count in counts.items():
        rows = np.flatnonzero(count)
        axes.plot(count[rows], rows, linestyle="none", label=split, zorder=2, **SPLIT_STYLES[split])
    for row in np.flatnonzero(largest).tolist():
        text = " / ".join(str(count[row]) for count in counts.values())
        axes.annotate(
            text,
            (largest[row], row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=GREY,
        )
    axes.set_xscale("log")
    axes.set_xlim(0.7, most * 30)
    axes.set_xticks([1, 10, 100, 1000][: len(str(most))], ["1", "10", "100", "1000"][: len(str(most))])
    axes.minorticks_off()
    axes.tick_params(labelsize=8, length=2, colors=INK)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
