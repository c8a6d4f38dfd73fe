"""Precision, recall and F-score of events and scenes, derived from counts alone.

For one class with true positives TP, false positives FP and false negatives FN:

    precision = TP / (TP + FP)      recall = TP / (TP + FN)      F = 2 TP / (2 TP + FP + FN)

Micro scores add the counts of all classes first; macro F is the mean of the classes' F.

Where a fraction has nothing to count, the score is None (undefined) rather than 0 or 1:

    class                            precision   recall   F      in macro F
    occurs, never predicted          None        0        0      yes, as 0
    predicted, never occurs          0           None     None   no
    neither occurs nor is predicted  None        None     None   no

A class that never occurs has no recall to average with its precision, and which classes macro F averages is
thus decided by the data alone: every condition is averaged over the same classes, whatever it predicts. This
is sed_eval's rule with ``empty_system_output_handling="zero_score"`` (Mesaros, Heittola and Virtanen,
"Metrics for Polyphonic Sound Event Detection", 2016). Its default would leave out the classes that a system
never predicts and so reward silence; scikit-learn's ``zero_division=nan`` gives the same numbers for every
class that occurs, but takes a class that never occurs into the mean, as 0, once it is falsely predicted.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ablate.ground.errors import DataError
from ablate.mtl.metrics.counts import Counts, EventCounts
from ablate.subject.scores import slug

# `fan` sounds in every office clip and nowhere else: it is the office label in disguise, and a quarter of
# all active event time. Hence event scores with and without it.
SCENE_IN_DISGUISE = ("fan",)

Scores = dict[str, float | None]
_Score = Callable[[EventCounts], list[float | None]]


def slugs(labels: Sequence[str]) -> list[str]:
    """The slug of each label. Raises DataError when two labels share one, or a label has none."""
    found: dict[str, str] = {}
    problems = []
    for label in labels:
        name = slug(label)
        if not name:
            problems.append(f"class label '{label}' has no letter or digit; rename it in the annotations")
        elif name in found:
            problems.append(
                f"class labels '{found[name]}' and '{label}' would both be the metric '{name}'; rename one"
            )
        found[name] = label
    if problems:
        raise DataError(problems)
    return list(found)


def event_scores(
    counts: EventCounts, events: Sequence[str], without: Sequence[str] = SCENE_IN_DISGUISE
) -> Scores:
    """Frame-based scores of event detection, fractions in 0..1 or None where undefined.

    ``events`` names the counts' entries. Keys: ``event_micro_f``, ``event_macro_f``,
    ``event_micro_precision``, ``event_micro_recall``; per event ``event_f/<slug>``,
    ``event_precision/<slug>``, ``event_recall/<slug>``; and, when any label of ``without`` is among the
    events, ``event_micro_f_without_fan`` and ``event_macro_f_without_fan`` over the remaining events.
    """
    names = slugs(events)
    scores: Scores = {
        "event_micro_f": micro_f(counts),
        "event_macro_f": macro_f(counts),
        "event_micro_precision": _micro(counts, precision),
        "event_micro_recall": _micro(counts, recall),
    }
    scores |= _without(counts, events, without)
    return scores | _per_class("event", counts, names)


def scene_scores(confusion: Counts, scenes: Sequence[str]) -> Scores:
    """Scores of scene classification, fractions in 0..1 or None where undefined.

    ``confusion`` is (n_scenes, n_scenes), rows true, columns predicted; ``scenes`` names both. Keys:
    ``scene_micro_f``, ``scene_macro_f``, and per scene ``scene_f/<slug>``, ``scene_precision/<slug>``,
    ``scene_recall/<slug>``. A clip has one scene, so a miss of one scene is a false positive of another:
    micro F, micro precision, micro recall and accuracy are one number.
    """
    names = slugs(scenes)
    counts = scene_counts(confusion)
    scores: Scores = {"scene_micro_f": micro_f(counts), "scene_macro_f": macro_f(counts)}
    return scores | _per_class("scene", counts, names)


def scene_counts(confusion: Counts) -> EventCounts:
    """Each scene against the others: three arrays (n_scenes,), or (n_items, n_scenes) of a confusion each."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).copy()
    return EventCounts(hits, confusion.sum(axis=-2) - hits, confusion.sum(axis=-1) - hits)


def precision(counts: EventCounts) -> list[float | None]:
    """TP / (TP + FP) per class; None for a class that is never predicted."""
    return _fractions(counts.true_positives, counts.true_positives + counts.false_positives)


def recall(counts: EventCounts) -> list[float | None]:
    """TP / (TP + FN) per class; None for a class that never occurs."""
    return _fractions(counts.true_positives, counts.true_positives + counts.false_negatives)


def f_score(counts: EventCounts) -> list[float | None]:
    """2 TP / (2 TP + FP + FN) per class; None for a class that never occurs."""
    occurs = counts.true_positives + counts.false_negatives > 0
    total = 2 * counts.true_positives + counts.false_positives + counts.false_negatives
    return _fractions(2 * counts.true_positives, np.where(occurs, total, 0))


def micro_f(counts: EventCounts) -> float | None:
    """F of the summed counts; None when no class occurs."""
    return _micro(counts, f_score)


def macro_f(counts: EventCounts) -> float | None:
    """The mean F of the classes that occur; None when none does."""
    return mean_of(f_score(counts))


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of those that are defined; None when none is."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _micro(counts: EventCounts, score: _Score) -> float | None:
    total = EventCounts(
        counts.true_positives.sum(keepdims=True),
        counts.false_positives.sum(keepdims=True),
        counts.false_negatives.sum(keepdims=True),
    )
    return score(total)[0]


def _without(counts: EventCounts, events: Sequence[str], without: Sequence[str]) -> Scores:
    dropped = [event for event in without if event in events]
    if not dropped:
        return {}
    kept = counts.select(np.array([event not in dropped for event in events], dtype=bool))
    suffix = "_".join(slugs(dropped))
    return {
        f"event_micro_f_without_{suffix}": micro_f(kept),
        f"event_macro_f_without_{suffix}": macro_f(kept),
    }


def _per_class(task: str, counts: EventCounts, names: Sequence[str]) -> Scores:
    kinds: Mapping[str, _Score] = {"f": f_score, "precision": precision, "recall": recall}
    return {
        f"{task}_{kind}/{name}": value
        for kind, score in kinds.items()
        for name, value in zip(names, score(counts), strict=True)
    }


def _fractions(numerator: Counts, denominator: Counts) -> list[float | None]:
    pairs = zip(numerator.tolist(), denominator.tolist(), strict=True)
    return [above / below if below else None for above, below in pairs]
