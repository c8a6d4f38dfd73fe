"""Sound event bounding boxes: event candidates whose times do not depend on the threshold.

Thresholds of frames decide at the same time whether there is an event and how long it lasts: a low one draws
events out, a high one cuts them short. A box is an event candidate with one confidence, and the threshold
decides on the whole of it. Boxes come from changes of the score y(t) of a class (cSEBBs):

    change(t) = mean of y over the half window after t - mean of y over the half window before t
    onset     where the change is highest, locally; offset: where it is lowest, locally; they alternate
    merging   two candidates and the gap between them are one when the highest score of both exceeds the
    lowest
              in the gap by less than ``merge_difference`` and is less than ``merge_ratio`` times as high
    confidence    the mean of y from onset to offset

Ebbers, Germain, Wichern and Le Roux, "Sound Event Bounding Boxes", 2024. As in the authors' package, 0.001 is
added to both scores before one is divided by the other, lest silence be a hundred times as loud as silence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.events import Candidates, Events, Seconds, Track

LEAST_CHANGE = 1e-9  # of a mean score; what is less is rounding error
SAME_TIME_S = 1e-8
RATIO_FLOOR = 1e-3

Integral = NDArray[np.float64]


@dataclass(frozen=True)
class BoxSettings:
    """The window of the change (both halves), and how alike a gap and its neighbours are to be merged."""

    window_s: float = 0.48
    merge_difference: float = 0.2
    merge_ratio: float = 2.0

    def __post_init__(self) -> None:
        if self.window_s <= 0:
            raise ValueError(f"a window lasts longer than 0 s; got {self.window_s}")


DEFAULT_BOXES = BoxSettings()


def bounding_boxes(track: Track, settings: BoxSettings = DEFAULT_BOXES) -> Candidates:
    """The candidates of every class of one recording, in order of class, then onset.

    Scores must be probabilities, else ValueError is raised: a mean and a ratio of log odds say nothing.
    """
    scores = track.scores.astype(np.float64)
    if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
        raise ValueError(
            f"boxes are made of probabilities, 0..1; got scores of {scores.min():g}..{scores.max():g}"
        )
    spans = np.diff(track.boundaries_s)[:, None]
    integral = np.concatenate((np.zeros((1, track.n_classes)), np.cumsum(scores * spans, axis=0)))
    times = _breakpoints(track.boundaries_s, settings.window_s / 2)
    change = _change(integral, track.boundaries_s, times, settings.window_s / 2)
    parts = [
        _boxes(track.boundaries_s, scores[:, label], integral[:, label], times, change[:, label], settings)
        for label in range(track.n_classes)
    ]
    classes = np.repeat(np.arange(track.n_classes), [len(confidences) for _, _, confidences in parts])
    onsets, offsets, confidences = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Candidates(Events(onsets, offsets, classes), confidences)


def _breakpoints(boundaries_s: Seconds, half_s: float) -> Seconds:
    """Where the change can turn: it is linear until the centre or an end of its window passes a boundary."""
    begin, end = boundaries_s[0], boundaries_s[-1]
    times = np.concatenate((boundaries_s, boundaries_s - half_s, boundaries_s + half_s)).round(9)
    inside = times[(times > begin + SAME_TIME_S) & (times < end - SAME_TIME_S)]
    return np.unique(np.concatenate(([begin], inside, [end])))


def _change(integral: Integral, boundaries_s: Seconds, times: Seconds, half_s: float) -> Integral:
    """The change of each class at each time, (n_times, n_classes). Outside the recording, scores are 0."""
    before, centre, after = (_until(integral, boundaries_s, times + shift) for shift in (-half_s, 0, half_s))
    return (after - 2 * centre + before) / half_s


def _until(integral: Integral, boundaries_s: Seconds, times: Seconds) -> Integral:
    """The integral of the scores until each time, which is linear between boundaries."""
    if len(boundaries_s) == 1:
        return np.zeros((len(times), integral.shape[1]))
    span = np.searchsorted(boundaries_s[1:-1], times, side="right")
    begin, end = boundaries_s[span], boundaries_s[span + 1]
    share = ((times - begin) / (end - begin)).clip(0, 1)[:, None]
    whole: Integral = integral[span] + share * (integral[span + 1] - integral[span])
    return whole


def _boxes(
    boundaries_s: Seconds,
    scores: NDArray[np.float64],
    integral: Integral,
    times: Seconds,
    change: Integral,
    settings: BoxSettings,
) -> tuple[Seconds, Seconds, NDArray[np.float64]]:
    """Onsets, offsets and confidences of one class; a candidate whose score is 0 all along is none."""
    onsets, offsets = _turns(times, change)
    if len(onsets) > 1:
        apart = _apart(boundaries_s, scores, onsets, offsets, settings)
        onsets, offsets = onsets[np.append(True, apart)], offsets[np.append(apart, True)]
    until = integral[:, None]
    sums = _until(until, boundaries_s, offsets) - _until(until, boundaries_s, onsets)
    confidences = sums[:, 0] / (offsets - onsets)
    kept = confidences > 0
    return onsets[kept], offsets[kept], confidences[kept].clip(max=1)


def _turns(times: Seconds, change: Integral) -> tuple[Seconds, Seconds]:
    """Where the change stops rising, and where it begins to rise again: the onsets and offsets of candidates.

    Before the recording it rises, and after it, it would again.
    """
    rises = np.concatenate(([True], np.diff(change) > LEAST_CHANGE, [True]))
    onsets, offsets = rises[:-1] & ~rises[1:], ~rises[:-1] & rises[1:]
    return times[onsets], times[offsets]


def _apart(
    boundaries_s: Seconds,
    scores: NDArray[np.float64],
    onsets: Seconds,
    offsets: Seconds,
    settings: BoxSettings,
) -> NDArray[np.bool_]:
    """Whether each candidate but the last is to be kept apart from the next, (n_candidates - 1,)."""
    highest = _over(np.maximum, boundaries_s, scores, onsets, offsets)
    gap = _over(np.minimum, boundaries_s, scores, offsets[:-1], onsets[1:])
    neighbours = np.maximum(highest[:-1], highest[1:])
    alike = neighbours - gap < settings.merge_difference
    close = neighbours + RATIO_FLOOR < settings.merge_ratio * (gap + RATIO_FLOOR)
    return ~(alike & close)


def _over(
    extreme: np.ufunc,
    boundaries_s: Seconds,
    scores: NDArray[np.float64],
    begins: Seconds,
    ends: Seconds,
) -> NDArray[np.float64]:
    """The highest or lowest score between each begin and end, of all spans that reach between them."""
    first = np.searchsorted(boundaries_s[1:], begins + SAME_TIME_S, side="right")
    stop = np.searchsorted(boundaries_s[:-1], ends - SAME_TIME_S, side="left")
    pairs = np.column_stack((first, np.maximum(stop, first + 1))).ravel()
    reduced: NDArray[np.float64] = extreme.reduceat(np.append(scores, scores[-1]), pairs)[::2]
    return reduced
