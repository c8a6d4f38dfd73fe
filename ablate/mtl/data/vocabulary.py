"""The words of a data set: the names of its scenes and its events, and their order.

They are what the annotations say, in alphabetical order. A ``labels.json`` in the folder fixes scenes, events
or both, in its own order: ``{"scenes": [...], "events": [...]}``. The words of the study (Imoto et al. 2022,
section 4.1) are demanded only of its own data: soundscapes of ``ablate data generate``, and the TUT corpora.
Annotations of just its four scenes and of no events but its own have all its words too: a small part of its
data trains the same network as the whole.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from ablate.ground.errors import brief, shown
from ablate.ground.files import read_json
from ablate.ground.wording import suggest
from ablate.mtl.data.textfiles import read_text

Kind = Literal["scene", "event"]
KINDS: tuple[Kind, Kind] = ("scene", "event")

LABELS_FILE = "labels.json"
GENERATION_FILE = "generation.json"  # says what soundscapes were generated from
LONGEST_LABEL = 100  # characters; a metric's name holds two labels at most, and MLflow takes 250
MOST_LABELS = 1000  # of a kind; AudioSet's strong labels are 456
MOST_LISTED = 12  # names in a sentence

SCENES = ("city_center", "home", "office", "residential_area")
EVENTS = (
    "(object) banging",
    "(object) impact",
    "(object) rustling",
    "(object) snapping",
    "(object) squeaking",
    "bird singing",
    "brakes squeaking",
    "breathing",
    "car",
    "children",
    "cupboard",
    "cutlery",
    "dishes",
    "drawer",
    "fan",
    "glass jingling",
    "keyboard typing",
    "large vehicle",
    "mouse clicking",
    "mouse wheeling",
    "people talking",
    "people walking",
    "washing dishes",
    "water tap running",
    "wind blowing",
)

# The annotations of 2021 renamed events. Whoever has these names has the wrong version of the files.
RENAMED_2021 = {
    "car passing by": "car",
    "object banging": "(object) banging",
    "object impact": "(object) impact",
    "object rustling": "(object) rustling",
    "object snapping": "(object) snapping",
    "object squeaking": "(object) squeaking",
    "people speaking": "people talking",
}

TUT_CORPUS = re.compile(r"(?:\./)*TUT-(?:acoustic-scenes|sound-events)-\d{4}-(?:development|evaluation)/")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The scenes and events of a data set: their order is that of every array.

    ``fixed`` are the kinds whose words were fixed by more than what the annotations happen to say.
    """

    scenes: tuple[str, ...]
    events: tuple[str, ...]
    fixed: frozenset[Kind] = frozenset()

    def of(self, kind: Kind) -> tuple[str, ...]:
        return self.scenes if kind == "scene" else self.events


STUDY = Vocabulary(SCENES, EVENTS, frozenset(KINDS))


@dataclass(frozen=True)
class Judge:
    """Knows which words may be said, and why no others."""

    vocabulary: Vocabulary
    why: Mapping[Kind, str]  # of the fixed kinds: a sentence that names who fixed them
    alike: Mapping[Kind, Mapping[str, str]] = field(default_factory=dict)  # a rare spelling -> the common one

    @cached_property
    def _known(self) -> dict[Kind, frozenset[str]]:
        return {kind: frozenset(self.vocabulary.of(kind)) for kind in KINDS}

    def problems(self, kind: Kind, label: str) -> list[str]:
        """What is wrong with a word of the annotations, in a sentence or none."""
        if not label:
            return [f"no {kind}"] if self.vocabulary.of(kind) else []
        if label in self._known[kind]:
            return []
        if kind in self.vocabulary.fixed:
            return [self._unknown(kind, label)]
        if label in self.alike.get(kind, {}):
            other = self.alike[kind][label]
            return [
                f"{kind} '{label}' is '{other}' in other rows; spell it alike, as metrics are named after it"
            ]
        return [f"{kind} {shown(label)} is not a name: {NAME_RULE}"]

    def _unknown(self, kind: Kind, label: str) -> str:
        known = self.vocabulary.of(kind)
        renamed = RENAMED_2021.get(label.lower())
        if renamed in known:
            return (
                f"unknown {kind} '{label}'; did you mean '{renamed}'? The annotations of 2021 use other "
                "names: take the version of the study (metadata_SEDandASC01)"
            )
        same = [name for name in known if slug(name) == slug(label)]
        hint = suggest(label, same or known)
        return f"unknown {kind} '{brief(label)}'{hint}{' ' if hint.endswith('?') else '. '}{self.why[kind]}"


def slug(label: str) -> str:
    """A label as one lower-case word: ``(object) impact`` -> ``object_impact``."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def listed(names: Collection[str]) -> str:
    """Names in a sentence, the first of them if they are many."""
    first = ", ".join(brief(name) for name in list(names)[:MOST_LISTED])
    return first if len(names) <= MOST_LISTED else f"{first} and {len(names) - MOST_LISTED} more"


def judge(folder: Path, said: Mapping[Kind, Counter[str]], paths: Iterable[str]) -> tuple[Judge, list[str]]:
    """The words of the data set in ``folder``, and what is wrong with its ``labels.json``.

    ``said`` counts the rows that say each word, ``paths`` are those of the recordings.
    """
    labels, problems = _read_labels(folder / LABELS_FILE)
    corpus = _study_corpus(folder, said, paths)
    words: dict[Kind, tuple[str, ...]] = {}
    why: dict[Kind, str] = {}
    alike: dict[Kind, dict[str, str]] = {}
    for kind in KINDS:
        if kind in labels:
            words[kind], why[kind] = labels[kind], f"{LABELS_FILE} names the {kind}s of this data set"
        elif corpus:
            words[kind] = STUDY.of(kind)
            why[kind] = f"The {kind}s are the study's, since {corpus}; {LABELS_FILE} can name others"
        else:
            words[kind], alike[kind] = _words_said(said[kind])
            if len(words[kind]) > MOST_LABELS and not problems:
                problems.append(
                    f"{len(words[kind])} different {kind}s, such as {listed(words[kind][:3])}; unless the "
                    f"columns are mistaken, name them all in {LABELS_FILE}"
                )
    return Judge(Vocabulary(words["scene"], words["event"], frozenset(why)), why, alike), problems


def words_said(said: Mapping[Kind, Counter[str]]) -> Judge:
    """The words of annotations that no folder says more of. ``said`` counts the rows that say each word."""
    found = {kind: _words_said(said.get(kind, Counter())) for kind in KINDS}
    vocabulary = Vocabulary(found["scene"][0], found["event"][0])
    return Judge(vocabulary, {}, {kind: alike for kind, (_, alike) in found.items()})


def _words_said(said: Counter[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words in alphabetical order, and the rarer spellings of a word, which are none."""
    common: dict[str, str] = {}
    rare: dict[str, str] = {}
    for label in sorted(said, key=lambda label: (-said[label], label)):
        if is_name(label):
            word = common.setdefault(slug(label), label)
            if word != label:
                rare[label] = word
    return tuple(sorted(common.values())), rare


def _study_corpus(folder: Path, said: Mapping[Kind, Counter[str]], paths: Iterable[str]) -> str:
    """How the folder says that it holds the study's own data, or a part of them; empty if it does not."""
    if set(said["scene"]) == set(SCENES) and set(said["event"]) <= set(EVENTS):
        return "all its words are"
    file = folder / GENERATION_FILE
    try:
        record = read_json(file) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        record = None
    if isinstance(record, dict) and "generator" in record:
        return f"{GENERATION_FILE} says that these are its soundscapes"
    named = [path for path in paths if path]
    if named and all(TUT_CORPUS.match(path) for path in named):
        return "the recordings are of the TUT corpora"
    return ""


# --------------------------------------------------------------------------------------------- labels.json

NAME_RULE = f"it needs a letter or digit from a-z, 0-9, and at most {LONGEST_LABEL} characters"


def is_name(label: object) -> bool:
    """Whether a class can be called that: what is named after it needs a letter or digit."""
    return (
        isinstance(label, str)
        and label == label.strip()
        and label.isprintable()
        and bool(slug(label))
        and len(label) <= LONGEST_LABEL
    )


def _read_labels(file: Path) -> tuple[dict[Kind, tuple[str, ...]], list[str]]:
    """The words that ``labels.json`` fixes, in its order. Nothing is fixed by a file with problems."""
    problems: list[str] = []
    if not file.exists() or (text := read_text(file, problems)) is None:
        return {}, problems
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        return {}, [f"{file.name}:{error.lineno}: not JSON: {error.msg}"]
    except (ValueError, RecursionError):  # an integer of thousands of digits, thousands of nested lists
        return {}, [f"{file.name}: holds something else than lists of names"]
    keys: dict[str, Kind] = {"scenes": "scene", "events": "event"}
    if not isinstance(content, dict) or not content or not set(content) <= set(keys):
        return {}, [f'{file.name}: expected {{"scenes": [...], "events": [...]}}, or one of them']
    problems = [f"{file.name}: {sentence}" for key in content for sentence in _bad_names(key, content[key])]
    if problems:
        return {}, problems
    return {keys[key]: tuple(names) for key, names in content.items()}, []


def _bad_names(key: str, names: object) -> Iterator[str]:
    if not isinstance(names, list) or not names:
        yield f"{key} must be a list of at least one name"
        return
    for name in names:
        if not is_name(name):
            yield f"{key}: {shown(name)} is not a name; {NAME_RULE}"
    words = Counter(slug(name) for name in names if isinstance(name, str))
    for word, count in sorted(words.items()):
        if word and count > 1:
            yield f"{key}: more than one name reads '{brief(word)}' when written as a file or metric name"
