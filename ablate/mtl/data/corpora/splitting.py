"""Which recordings of a corpus are trained on, and which are scored."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ablate.ground.errors import DataError, brief
from ablate.ground.wording import suggest
from ablate.mtl.data.annotations import SPLITS

SHARE = 0.25  # of the recordings, for evaluation
MOST_SHARE = 0.9
# Names of folders that say which part of a corpus they are.
DEVELOPMENT = frozenset({"train", "training", "dev", "development", "validate", "valid", "val", "validation"})
EVALUATION = frozenset({"test", "testing", "eval", "evaluation"})


# The split that folders say a recording is of, and the folder that says so.
PartOf = Callable[[Sequence[str]], tuple[str, str]]


@dataclass(frozen=True)
class Part:
    """A recording to put into one of the splits: its folders are those of its audio and of its labels."""

    path: str
    scene: str
    folders: tuple[str, ...]


def chosen(wanted: str) -> float | str:
    """What ``--evaluation`` says: a share, or the name of a folder. Raises DataError."""
    try:
        share = float(wanted)
    except ValueError:
        return wanted
    if not 0 < share <= MOST_SHARE:
        raise DataError(f"--evaluation {wanted}: a share lies above 0 and at most at {MOST_SHARE:g}")
    return share


def split(parts: Sequence[Part], wanted: str, part_of: PartOf) -> tuple[set[str], str]:
    """The paths of the evaluation recordings, and the sentence on how they were chosen.

    ``wanted`` is a share or a folder's name; without it the folders of the corpus decide, where ``part_of``
    reads it from those of all recordings, else a share does. Raises DataError when a split would be empty.
    """
    if wanted:
        choice = chosen(wanted)
        return _by_share(parts, choice) if isinstance(choice, float) else _by_folder(parts, choice)
    said = {part.path: part_of(part.folders) for part in parts}
    if {name for name, _ in said.values()} == set(SPLITS):
        evaluation = {path for path, (name, _) in said.items() if name == "evaluation"}
        folders = sorted({said[path][1] for path in evaluation})
        return evaluation, f"evaluation: what lies in {', '.join(folders)}, as the corpus has it"
    return _by_share(parts, SHARE)


def by_folders(folders: Sequence[str]) -> tuple[str, str]:
    """The split that the last folder names which names any, and that folder; both empty where none does."""
    for folder in reversed(folders):
        for split, names in (("development", DEVELOPMENT), ("evaluation", EVALUATION)):
            if folder.lower() in names:
                return split, folder
    return "", ""


def _by_folder(parts: Sequence[Part], folder: str) -> tuple[set[str], str]:
    evaluation = {part.path for part in parts if folder.strip("/") in part.folders}
    if not evaluation:
        known = sorted({name for part in parts for name in part.folders})
        raise DataError(
            f"--evaluation {brief(folder)}: no recordings lie in such a folder{suggest(folder, known)}"
        )
    if len(evaluation) == len(parts):
        raise DataError(
            f"--evaluation {brief(folder)}: all recordings lie there, so none is left to train on"
        )
    return evaluation, f"evaluation: what lies in {folder}"


def _by_share(parts: Sequence[Part], share: float) -> tuple[set[str], str]:
    """About that share of the recordings of each scene, in an order that only their names decide."""
    evaluation = {path for paths in _scenes(parts).values() for path in _first(paths, share)}
    if not evaluation:
        raise DataError("the splits share no recording, and there are not two of any scene; add recordings")
    each = " of each scene" if len(_scenes(parts)) > 1 else ""
    return evaluation, (
        f"evaluation: {share:.0%} of the recordings{each}, chosen by their names; --evaluation names another "
        "share, or a folder"
    )


def _scenes(parts: Iterable[Part]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in parts:
        found.setdefault(part.scene, []).append(part.path)
    return found


def _first(paths: Sequence[str], share: float) -> list[str]:
    """At least one of them, and never all."""
    if len(paths) < 2:
        return []
    order = sorted(paths, key=lambda path: hashlib.sha256(PurePosixPath(path).name.encode()).hexdigest())
    return order[: min(max(1, round(share * len(paths))), len(paths) - 1)]
