"""What is remarkable about the classes of a data set, though no reason to stop."""

from collections import Counter
from collections.abc import Iterator

from ablate.mtl.data.annotations import Annotations, Recording
from ablate.mtl.data.tasks import OTHER, lacking
from ablate.mtl.data.vocabulary import KINDS, LABELS_FILE, STUDY, Kind, listed

Uses = dict[str, Counter[str]]  # split -> how often each class occurs there


def class_notes(annotations: Annotations) -> list[str]:
    """Classes that a split lacks, classes that may be misspelt, a lone scene, no events: a sentence each."""
    notes: list[str] = []
    for kind in KINDS:
        uses = {split: _uses(kind, recordings) for split, recordings in annotations.splits.items()}
        notes += _one_sided(kind, uses, annotations.vocabulary.of(kind))
        if kind not in annotations.vocabulary.fixed:
            notes += _misspelt(kind, sum(uses.values(), Counter()))
    notes += [
        f"{why}: only the {OTHER[task]}s are trained" for task, why in lacking(annotations.vocabulary).items()
    ]
    return notes


def _uses(kind: Kind, recordings: tuple[Recording, ...]) -> Counter[str]:
    if kind == "scene":
        return Counter(recording.scene for recording in recordings)
    return Counter(event.label for recording in recordings for event in recording.events)


def _one_sided(kind: Kind, uses: Uses, words: tuple[str, ...]) -> Iterator[str]:
    """A class that only one split has is learnt and never tested, or tested and never learnt."""
    development, evaluation = uses["development"], uses["evaluation"]
    unused = [word for word in words if not development[word] and not evaluation[word]]
    for sentence, names in (
        # The study's words come with its data: nobody has named them who could leave them out.
        ("in neither part", [] if words == STUDY.of(kind) else unused),
        (
            "in the development part only, so learnt but never tested",
            [word for word in words if development[word] and not evaluation[word]],
        ),
        (
            "in the evaluation part only, so tested but never learnt",
            [word for word in words if evaluation[word] and not development[word]],
        ),
    ):
        if names:
            yield f"{kind if len(names) == 1 else f'{len(names)} {kind}s'} {sentence}: {listed(names)}"


def _misspelt(kind: Kind, uses: Counter[str]) -> Iterator[str]:
    """Classes that occur once and are one letter away from one that occurs more often, or comes first.

    Words that are one letter apart are the same without some letter, so only those with such a word in common
    are compared: thousands of classes take no long.
    """
    near: dict[str, list[str]] = {}
    for label in uses:
        for key in _shortened(label):
            near.setdefault(key, []).append(label)
    for label in sorted(label for label, count in uses.items() if count == 1):
        twins = {
            twin
            for key in _shortened(label)
            for twin in near[key]
            if (uses[twin] > 1 or twin < label) and one_letter_apart(label, twin)
        }
        if twins:
            twin = min(twins, key=lambda twin: (-uses[twin], twin))
            yield (
                f"{kind} '{label}' occurs once, '{twin}' {_times(uses[twin])}; mend it if it is misspelt, "
                f"else name all {kind}s in {LABELS_FILE}"
            )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _shortened(label: str) -> set[str]:
    return {label} | {label[:place] + label[place + 1 :] for place in range(len(label))}


def one_letter_apart(one: str, other: str) -> bool:
    """Whether one edit makes one word the other: a letter added, left out, changed, or swapped with the next.

    Digits count as other words, not as mistakes: ``speaker 1`` and ``speaker 2`` are no typos.
    """
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if any(letter.isdigit() for letter in one + other):
        return False
    swapped = len(one) == 2 and one == other[::-1]
    return one != other and (swapped or max(len(one), len(other)) == 1)
