"""Pictures of what a network hears in a recording: log-mel energies, scenes and events, a minute a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ablate.ground.colours import BLUE, GREY, INK, ORANGE, PAPER, RULE, SHADE
from ablate.mtl.data.annotations import Recording
from ablate.mtl.data.features import HOP_SECONDS, N_BANDS, Hearing
from ablate.mtl.prediction.detections import stretches
from ablate.mtl.prediction.listening import Heard, Probabilities

PAGE_CLIPS = 6  # a minute
WORTH_SHOWING = 0.25  # what never gets more probable has no strip
MOST_ROWS = 30
MARKS_KHZ = (0.1, 0.5, 1, 2, 4, 8, 16)
# From clear to blue, whatever lies behind.
STRIP = ListedColormap([(*to_rgb(BLUE), opacity / 255) for opacity in range(256)], "strip")


@dataclass(frozen=True)
class Words:
    """What a page is labelled with: the scenes and events, and the threshold that makes detections."""

    title: str
    scenes: Sequence[str]
    events: Sequence[str]
    threshold: float
    hearing: Hearing
    truth: Recording | None  # what is annotated, where that is known


@dataclass
class Painter:
    """Draws the pages of a recording while it is heard: one page is held at a time.

    ``keep(number, figure)`` takes each page, counted from 1.
    """

    words: Words
    keep: Callable[[int, Figure], None]
    _clips: list[Heard] = field(default_factory=list)
    _n_pages: int = 0

    def add(self, heard: Heard) -> None:
        """The next clip."""
        self._clips.append(heard)
        if len(self._clips) == PAGE_CLIPS:
            self.end()

    def end(self) -> None:
        """The recording has ended: what is left of it is the last page."""
        if self._clips:
            self._n_pages += 1
            self.keep(self._n_pages, page(self._clips, self.words))
            self._clips = []


@dataclass(frozen=True)
class _Row:
    """An event of a page: its probabilities (n_frames,), and where it is annotated, in seconds."""

    label: str
    probabilities: Probabilities
    true_s: list[tuple[float, float]]


def page(clips: Sequence[Heard], words: Words) -> Figure:
    """Clips one after the other: log-mel energies above, then scenes, then a strip for each event heard.

    Events that are neither annotated nor probable anywhere on the page have no strip.
    """
    rows = _rows(clips, words)
    has_scenes, has_events = clips[0].scenes is not None, clips[0].events is not None
    heights = [2.2] + [0.3] * has_scenes + [0.3 * max(1, len(rows)) + 0.1] * has_events
    figure = Figure(figsize=(10, 1.5 + sum(heights)), layout="constrained")
    panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    figure.suptitle(_title(clips, words), fontsize=10, color=INK)
    _draw_energies(figure, panels[0], clips, words.hearing)
    if has_scenes:
        _draw_scenes(panels[1], clips, words.scenes)
    if has_events:
        _draw_events(panels[-1], rows, _start_s(clips), words)
    panels[-1].set_xlabel("time (s)", fontsize=9)
    panels[-1].set_xlim(_start_s(clips), _stop_s(clips))
    if has_events:
        figure.legend(handles=_legend(words), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _start_s(clips: Sequence[Heard]) -> float:
    return clips[0].first_frame * HOP_SECONDS


def _stop_s(clips: Sequence[Heard]) -> float:
    return (clips[-1].first_frame + len(clips[-1])) * HOP_SECONDS


def _title(clips: Sequence[Heard], words: Words) -> str:
    lines = [words.title]
    scenes = [clip.scenes * len(clip) for clip in clips if clip.scenes is not None]
    if scenes:
        mean = np.sum(scenes, axis=0) / sum(map(len, clips))
        best = int(mean.argmax())
        lines.append(f"scene: {_spaced(words.scenes[best])} ({mean[best]:.2f})")
        if words.truth is not None and words.truth.scene:
            lines[-1] += f", annotated: {_spaced(words.truth.scene)}"
    return "\n".join(lines)


def _spaced(label: str) -> str:
    return label.replace("_", " ")


# ------------------------------------------------------------------------------------------------- panels


def _draw_energies(figure: Figure, axes: Axes, clips: Sequence[Heard], hearing: Hearing) -> None:
    normalisation = hearing.normalisation
    features = np.concatenate([clip.features for clip in clips])
    levels_db = features * normalisation.std_db + normalisation.mean_db
    low, high = np.percentile(levels_db, (1, 99.5))
    image = axes.imshow(
        levels_db.T,
        aspect="auto",
        origin="lower",
        extent=(_start_s(clips), _stop_s(clips), 0, N_BANDS),
        cmap="magma",
        vmin=float(low),
        vmax=float(max(high, low + 1)),
        interpolation="nearest",
    )
    places, labels = _band_marks(hearing.top_hz)
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylabel("kHz", fontsize=9)
    axes.tick_params(labelbottom=False)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("dB", fontsize=9)


def _band_marks(top_hz: float) -> tuple[list[float], list[str]]:
    """Where round frequencies are among the bands, whose centres librosa tells."""
    from librosa import mel_frequencies

    centres_khz = mel_frequencies(N_BANDS + 2, fmin=0, fmax=top_hz)[1:-1] / 1000
    marks = [mark for mark in MARKS_KHZ if centres_khz[0] <= mark <= centres_khz[-1]]
    places = np.interp(marks, centres_khz, np.arange(N_BANDS) + 0.5)
    return places.tolist(), [f"{mark:g}" for mark in marks]


def _draw_scenes(axes: Axes, clips: Sequence[Heard], scenes: Sequence[str]) -> None:
    """A cell for each clip: its most probable scene, the darker the more certain."""
    for clip in clips:
        assert clip.scenes is not None
        best = int(clip.scenes.argmax())
        probability = float(clip.scenes[best])
        start_s, length_s = clip.first_frame * HOP_SECONDS, len(clip) * HOP_SECONDS
        colour = STRIP(probability * 0.5)  # pale enough to be written on
        axes.barh(0, length_s, 1, start_s, color=colour, edgecolor=PAPER, linewidth=1.5)
        if length_s >= 5:
            text = f"{_spaced(scenes[best])} {probability:.2f}"
            axes.text(
                start_s + length_s / 2,
                0,
                text,
                ha="center",
                va="center",
                fontsize=7.5,
                color=INK,
                clip_on=True,
            )
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([0], ["scene"], fontsize=8.5)
    _plain(axes)
    axes.tick_params(labelbottom=False)


def _rows(clips: Sequence[Heard], words: Words) -> list[_Row]:
    """The events to show, in the order of the classes; where they are too many, the most probable ones."""
    if clips[0].events is None:
        return []
    events = np.concatenate([clip.events for clip in clips if clip.events is not None])
    true_s = _true_times(clips, words)
    rows = [
        _Row(label, events[:, column], true_s.get(label, [])) for column, label in enumerate(words.events)
    ]
    rows += [  # annotated, and nothing that the network has learnt
        _Row(label, np.zeros(len(events), np.float32), times)
        for label, times in true_s.items()
        if label not in words.events
    ]
    least = min(WORTH_SHOWING, words.threshold)
    shown = [row for row in rows if row.true_s or row.probabilities.max() > least]
    kept = sorted(shown, key=lambda row: (not row.true_s, -row.probabilities.max()))[:MOST_ROWS]
    return [row for row in shown if any(row is other for other in kept)]


def _true_times(clips: Sequence[Heard], words: Words) -> dict[str, list[tuple[float, float]]]:
    start_s, stop_s = _start_s(clips), _stop_s(clips)
    found: dict[str, list[tuple[float, float]]] = {}
    for event in words.truth.events if words.truth is not None else ():
        if event.offset_s > start_s and event.onset_s < stop_s:
            times = max(event.onset_s, start_s), min(event.offset_s, stop_s)
            found.setdefault(event.label, []).append(times)
    return found


def _draw_events(axes: Axes, rows: Sequence[_Row], start_s: float, words: Words) -> None:
    """A row an event: its probability as a strip, below it what is detected, above it what is annotated."""
    for place, row in enumerate(rows):
        stop_s = start_s + len(row.probabilities) * HOP_SECONDS
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=SHADE, linewidth=0, zorder=0)
        axes.imshow(
            row.probabilities[None, :],
            aspect="auto",
            extent=(start_s, stop_s, place + 0.18, place - 0.18),
            cmap=STRIP,
            vmin=0,
            vmax=1,
            interpolation="nearest",
            zorder=1,
        )
        _draw_bars(axes, _times(row.probabilities > words.threshold, start_s), place + 0.3, BLUE)
        _draw_bars(axes, row.true_s, place - 0.3, ORANGE)
    axes.set_yticks(range(len(rows)), [_spaced(row.label) for row in rows], fontsize=8.5)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    if not rows:
        axes.text(0.5, 0.5, "no event", ha="center", va="center", transform=axes.transAxes, color=GREY)
    _plain(axes)


def _times(active: npt.NDArray[np.bool_], start_s: float) -> list[tuple[float, float]]:
    return [
        (start_s + first * HOP_SECONDS, start_s + stop * HOP_SECONDS) for first, stop in stretches(active)
    ]


def _draw_bars(axes: Axes, times: Sequence[tuple[float, float]], y: float, colour: str) -> None:
    for onset_s, offset_s in times:
        axes.barh(y, offset_s - onset_s, 0.18, onset_s, color=colour, linewidth=0, zorder=2)


def _plain(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_color(RULE)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)


def _legend(words: Words) -> list[Patch]:
    handles = [
        Patch(color=STRIP(0.5), label="strip: probability, darker is higher"),
        Patch(color=BLUE, label=f"below: predicted, above {words.threshold:g}"),
    ]
    if words.truth is not None:
        handles.append(Patch(color=ORANGE, label="above: annotated"))
    return handles
