"""Which recordings are meant by files and folders, and what is to be called after each."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePosixPath

from ablate.ground.errors import DataError
from ablate.mtl.data.audio import AUDIO_SUFFIXES


@dataclass(frozen=True)
class Asked:
    """A recording. ``path`` is what it is called in what is written of it all, and ``name`` what is its own.

    Both are relative and unique among those that are asked for together; ``name`` has no suffix unless
    another recording differs in the suffix alone.
    """

    file: Path
    path: str
    name: str


def find_recordings(paths: Sequence[Path]) -> list[Asked]:
    """The files, and all audio in the folders and their sub-folders, each once, in the order of ``paths``.

    What lies in a folder is called by its path in there and, where several paths are given, by the folder's
    name before that. Raises DataError that names every path that is not there, and every folder without
    audio.
    """
    problems: list[str] = []
    found: dict[Path, tuple[Path, PurePosixPath]] = {}
    for path in paths:
        for file, called in _of_path(path, len(paths) > 1, problems):
            found.setdefault(file.resolve(), (file, called))
    if problems:
        raise DataError(problems)
    unique = list(_numbered(found.values()))
    stems = Counter(called.with_suffix("") for _, called in unique)
    return [
        Asked(file, str(called), str(stem if stems[stem := called.with_suffix("")] == 1 else called))
        for file, called in unique
    ]


def _of_path(path: Path, several: bool, problems: list[str]) -> Iterator[tuple[Path, PurePosixPath]]:
    """Files, and what they are called."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_audio(file.relative_to(path), file)]
        if not files:
            known = ", ".join(sorted(AUDIO_SUFFIXES))
            problems.append(f"{path}: no recording in this folder or below it ({known})")
        above = PurePosixPath(path.resolve().name if several else "")
        for file in files:
            yield file, above / file.relative_to(path).as_posix()
    elif path.exists():
        yield path, PurePosixPath(path.name)
    else:
        problems.append(f"{path}: no such file or folder")


def _is_audio(inside: Path, file: Path) -> bool:
    hidden = any(part.startswith(".") for part in inside.parts)
    return file.suffix.lower() in AUDIO_SUFFIXES and not hidden and file.is_file()


def _numbered(found: Iterable[tuple[Path, PurePosixPath]]) -> Iterator[tuple[Path, PurePosixPath]]:
    """A second ``a.wav`` is called ``a-2.wav``."""
    taken: set[str] = set()
    for file, called in found:
        others = (called.with_name(f"{called.stem}-{number}{called.suffix}") for number in count(2))
        free = next(each for each in chain([called], others) if str(each).lower() not in taken)
        taken.add(str(free).lower())
        yield file, free
