"""Which recordings are meant by files and folders, and what is to be called after each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from ablate.ground.errors import DataError
from ablate.mtl.data.audio import AUDIO_SUFFIXES


@dataclass(frozen=True)
class Asked:
    """A recording, and the name of what is written of it: a relative path without a suffix."""

    file: Path
    name: str


def find_recordings(paths: Sequence[Path]) -> list[Asked]:
    """The files, and all audio in the folders and their sub-folders, each once, in the order of ``paths``.

    Names keep the sub-folders, and those that would be alike get a number. Raises DataError that names every
    path that is not there, and every folder without audio.
    """
    problems: list[str] = []
    found: dict[Path, tuple[Path, Path]] = {}
    for path in paths:
        for file, name in _of_path(path, problems):
            found.setdefault(file.resolve(), (file, name))
    if problems:
        raise DataError(problems)
    return list(_named(found.values()))


def _of_path(path: Path, problems: list[str]) -> Iterator[tuple[Path, Path]]:
    """Files, each with the path that names it."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_audio(file.relative_to(path), file)]
        if not files:
            known = ", ".join(sorted(AUDIO_SUFFIXES))
            problems.append(f"{path}: no recording in this folder or below it ({known})")
        for file in files:
            yield file, file.relative_to(path)
    elif path.exists():
        yield path, Path(path.name)
    else:
        problems.append(f"{path}: no such file or folder")


def _is_audio(inside: Path, file: Path) -> bool:
    hidden = any(part.startswith(".") for part in inside.parts)
    return file.suffix.lower() in AUDIO_SUFFIXES and not hidden and file.is_file()


def _named(found: Iterable[tuple[Path, Path]]) -> Iterator[Asked]:
    """``a.wav`` and ``a.flac`` are called ``a`` and ``a-2``."""
    taken: set[str] = set()
    for file, inside in found:
        stem = inside.with_suffix("").as_posix()
        numbered = (f"{stem}-{number}" for number in count(2))
        name = next(name for name in chain([stem], numbered) if name.lower() not in taken)
        taken.add(name.lower())
        yield Asked(file, name)
