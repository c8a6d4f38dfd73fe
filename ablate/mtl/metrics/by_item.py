"""F from counts of each recording, as the harness keeps what scores are made of by item."""

from collections.abc import Sequence
from typing import Literal

from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import slugs
from ablate.subject.items import Overall, Ratios

AVERAGES: tuple[Literal["micro", "macro"], ...] = ("micro", "macro")


def f_ratios(counts: EventCounts, labels: Sequence[str]) -> Ratios:
    """F of each class from counts (n_items, n_classes): 2 TP of 2 TP + FP + FN, where the class occurs."""
    hits, misses = 2 * counts.true_positives, counts.false_negatives
    return Ratios(slugs(labels), hits, hits + counts.false_positives + misses, counts.true_positives + misses)


def f_overall(task: str, kind: str = "", without: Sequence[str] = ()) -> dict[str, Overall]:
    """Micro and macro F of the family ``<task>_f<kind>``, by name, but for the classes ``without``."""
    suffix = f"{kind}_without_{'_'.join(without)}" if without else kind
    return {
        f"{task}_{average}_f{suffix}": Overall(f"{task}_f{kind}", average, without) for average in AVERAGES
    }
