"""Our metrics beside the libraries' on many random cases, and how long each takes for a whole evaluation.

Needs the environment of ``packages.txt``, which ``make metrics`` makes. What is timed is 74 minutes of 25
classes in clips of 10 s, in CPU seconds; ours also in recordings of up to 4 minutes, which sed_scores_eval
would need gigabytes for.

    python -m benchmarks.metrics.compare --output benchmarks/results/metrics.json
"""

import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from ablate.mtl.metrics.average_precision import average_precision
from ablate.mtl.metrics.error_rate import RecordingErrors
from ablate.mtl.metrics.event_based import event_counts
from ablate.mtl.metrics.events import Events, Reference, Track
from ablate.mtl.metrics.intersection_based import Criteria, intersection_counts
from ablate.mtl.metrics.psds import PSDS1, PSDS2, psds
from ablate.mtl.metrics.segment_based import active_segments, segment_counts
from benchmarks.common import Row, context, parser, show, write
from benchmarks.metrics import libraries
from benchmarks.metrics.cases import CRITERIA, HOP_S, N_CLASSES, SETTINGS, Case, cases

warnings.simplefilter("ignore")  # those of the libraries
sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))  # dcase_util's examples want it

import sed_eval  # noqa: E402
from sklearn.metrics import average_precision_score  # noqa: E402

MINUTES = 74  # Imoto et al. 2022, section 4.1, as is the next
MANY_CLASSES = 25
CLIP_S = 10.0
LONG_S = (10.0, 30.0, 240.0)

Detected = tuple[list[Track], list[Reference]]


# ------------------------------------------------------------------------------------------- differences


def psds_differences(case: Case) -> Iterator[float]:
    """In the score and in each class's."""
    tracks = [recording.track() for recording in case]
    references = [recording.reference() for recording in case]
    for name, expected in libraries.answers(case)["psds"].items():
        if expected is not None:
            ours = psds(tracks, references, SETTINGS[name])
            pairs = zip((ours.score, *ours.classes), (expected["score"], *expected["classes"]), strict=True)
            yield from (difference(a, b) for a, b in pairs)


def intersection_differences(case: Case) -> Iterator[float]:
    references = [recording.reference() for recording in case]
    for name, expected in libraries.answers(case)["counts"].items():
        for threshold, classes in expected.items():
            detected = [recording.track().above(float(threshold)) for recording in case]
            ours = intersection_counts(detected, references, N_CLASSES, CRITERIA[name]).total()
            rows = np.column_stack((ours.true_positives, ours.false_positives, ours.false_negatives)).tolist()
            for row, known in zip(rows, classes, strict=True):
                if known is not None:
                    yield from (difference(a, b) for a, b in zip(row, known, strict=True))


def difference(ours: float | None, theirs: float | None) -> float:
    """Infinite where one is undefined and the other is not."""
    if ours is None or theirs is None:
        return 0.0 if ours is theirs else float("inf")
    return abs(ours - theirs)


def segment_differences(case: Case) -> Iterator[float]:
    detected, references = at_half(case)
    theirs = sed_eval.sound_event.SegmentBasedMetrics(labels(N_CLASSES), time_resolution=0.1)
    for events, reference in zip(detected, references, strict=True):
        theirs.evaluate(event_list(reference.events), event_list(events), float(reference.duration_s))
    return count_differences(segment_counts(detected, references, N_CLASSES, 0.1), theirs, "S")


def event_differences(case: Case) -> Iterator[float]:
    detected, references = at_half(case)
    theirs = sed_eval.sound_event.EventBasedMetrics(labels(N_CLASSES), t_collar=0.2, percentage_of_length=0.5)
    for events, reference in zip(detected, references, strict=True):
        theirs.evaluate(event_list(reference.events), event_list(events))
    return count_differences(event_counts(detected, references, N_CLASSES), theirs, "Nsubs")


def count_differences(ours: RecordingErrors, theirs: object, substitutions: str) -> Iterator[float]:
    """All scores of sed_eval are made of these."""
    total = ours.counts.total()
    for index, label in enumerate(labels(N_CLASSES)):
        known = theirs.class_wise[label]
        yield difference(int(total.true_positives[index]), known["Ntp"])
        yield difference(int(total.false_positives[index]), known["Nfp"])
        yield difference(int(total.false_negatives[index]), known["Nfn"])
    yield difference(int(ours.substitutions.sum()), theirs.overall[substitutions])


def average_precision_differences(case: Case) -> Iterator[float]:
    scores, targets = frames(*tracks_of(case), N_CLASSES)
    for index, ours in enumerate(average_precision(scores, targets)):
        theirs = average_precision_score(targets[:, index], scores[:, index]) if ours is not None else None
        yield difference(ours, theirs)


COMPARED: dict[str, tuple[str, Callable[[Case], Iterator[float]]]] = {
    "PSDS": ("sed_scores_eval", psds_differences),
    "intersection-based counts": ("sed_scores_eval", intersection_differences),
    "segment-based counts": ("sed_eval", segment_differences),
    "event-based counts": ("sed_eval", event_differences),
    "average precision": ("scikit-learn", average_precision_differences),
}


def tracks_of(case: Case) -> Detected:
    return [recording.track() for recording in case], [recording.reference() for recording in case]


def at_half(case: Case) -> tuple[list[Events], list[Reference]]:
    tracks, references = tracks_of(case)
    return [track.above(0.5) for track in tracks], references


def frames(tracks: list[Track], references: list[Reference], n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and whether a class is active, of all frames: (n_frames, n_classes)."""
    targets = [
        active_segments(reference.events, len(track.scores), n_classes, HOP_S)
        for track, reference in zip(tracks, references, strict=True)
    ]
    scores = np.concatenate([track.scores for track in tracks])
    return np.where(np.isfinite(scores), scores, -1.0), np.concatenate(targets)


def labels(n_classes: int) -> list[str]:
    return [f"class {index}" for index in range(n_classes)]


def event_list(events: Events) -> list[Row]:
    rows = zip(events.onsets_s.tolist(), events.offsets_s.tolist(), events.classes.tolist(), strict=True)
    return [
        {"onset": onset, "offset": offset, "event_label": f"class {label}", "file": "a.wav"}
        for onset, offset, label in rows
    ]


# ------------------------------------------------------------------------------------------------ timing


def evaluation(durations_s: list[float]) -> Detected:
    """Smooth scores in half precision and a dozen events a recording, of a few of 25 classes."""
    rng = np.random.default_rng(0)
    return zip_lists([_recording(rng, duration_s) for duration_s in durations_s])


def zip_lists(pairs: list[tuple[Track, Reference]]) -> Detected:
    return [track for track, _ in pairs], [reference for _, reference in pairs]


def _recording(rng: np.random.Generator, duration_s: float) -> tuple[Track, Reference]:
    n_frames, kernel = round(duration_s / HOP_S), np.exp(-np.arange(100) / 20)
    noise = rng.normal(size=(n_frames, MANY_CLASSES)) * 4 / kernel.sum()
    odds = np.apply_along_axis(lambda column: np.convolve(column, kernel)[:n_frames], 0, noise) - 3
    events = []
    for label in rng.choice(MANY_CLASSES, 4, replace=False).tolist():
        onset = rng.random() * duration_s
        for begin in np.arange(onset, duration_s, 8.0):
            end = min(begin + rng.exponential(2.0), duration_s)
            odds[int(begin / HOP_S) : int(end / HOP_S), label] += 4
            events.append((begin, end, label))
    track = Track.of_frames((1 / (1 + np.exp(-odds))).astype(np.float16), HOP_S, duration_s)
    return track, Reference(Events.of(events), duration_s)


def cpu_s(measured: Callable[[], object]) -> float:
    began = time.process_time()
    measured()
    return round(time.process_time() - began, 3)


def ours(tracks: list[Track], references: list[Reference]) -> dict[str, float]:
    """CPU seconds of each metric."""
    detected = [track.above(0.5) for track in tracks]
    half = Criteria(0.5, 0.5)
    scores, targets = frames(tracks, references, MANY_CLASSES)
    return {
        "PSDS 1": cpu_s(lambda: psds(tracks, references, PSDS1)),
        "PSDS 2": cpu_s(lambda: psds(tracks, references, PSDS2)),
        "intersection-based": cpu_s(lambda: intersection_counts(detected, references, MANY_CLASSES, half)),
        "segment-based": cpu_s(lambda: segment_counts(detected, references, MANY_CLASSES)),
        "event-based": cpu_s(lambda: event_counts(detected, references, MANY_CLASSES)),
        "average precision": cpu_s(lambda: average_precision(scores, targets)),
    }


def theirs(tracks: list[Track], references: list[Reference]) -> dict[str, float]:
    """CPU seconds of the libraries."""
    asked = libraries.Asked.of(tracks, references)
    detected = [track.above(0.5) for track in tracks]
    scores, targets = frames(tracks, references, MANY_CLASSES)
    return {
        "PSDS 1": cpu_s(lambda: libraries.psds(asked, PSDS1)),
        "PSDS 2": cpu_s(lambda: libraries.psds(asked, PSDS2)),
        "intersection-based": cpu_s(lambda: libraries.counts(asked, 0.5, Criteria(0.5, 0.5))),
        "segment-based": cpu_s(lambda: _segments(detected, references)),
        "event-based": cpu_s(lambda: _events(detected, references)),
        "average precision": cpu_s(lambda: average_precision_score(targets, scores, average=None)),
    }


def _segments(detected: list[Events], references: list[Reference]) -> None:
    metrics = sed_eval.sound_event.SegmentBasedMetrics(labels(MANY_CLASSES), time_resolution=1.0)
    for events, reference in zip(detected, references, strict=True):
        metrics.evaluate(event_list(reference.events), event_list(events), float(reference.duration_s))


def _events(detected: list[Events], references: list[Reference]) -> None:
    metrics = sed_eval.sound_event.EventBasedMetrics(labels(MANY_CLASSES), t_collar=0.2)
    for events, reference in zip(detected, references, strict=True):
        metrics.evaluate(event_list(reference.events), event_list(events))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--cases", type=int, default=1000, help="random ones (1000)")
    chosen = options.parse_args()
    where = context("numpy", "pandas", "sed_eval", "sed_scores_eval", "scikit-learn")
    compared, rows = cases(chosen.cases), list[Row]()
    for name, (library, differences) in COMPARED.items():
        found = [value for case in compared.values() for value in differences(case)]
        rows.append(
            {
                "compared": name,
                "with": library,
                "cases": len(compared),
                "numbers": len(found),
                "largest_difference": max(found),
            }
        )
        show(rows[-1])
    clips = evaluation([CLIP_S] * int(MINUTES * 60 / CLIP_S))
    n_rounds = int(MINUTES * 60 / sum(LONG_S))
    recordings = evaluation([*LONG_S] * n_rounds)
    ours_clips, theirs_clips, ours_long = ours(*clips), theirs(*clips), ours(*recordings)
    for name in ours_clips:
        times = {
            "cpu_s": ours_clips[name],
            "library_cpu_s": theirs_clips[name],
            "long_cpu_s": ours_long[name],
        }
        rows.append({"timed": name, **times})
        show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
