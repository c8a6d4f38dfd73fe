"""Which audio file a label file means."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ablate.ground.errors import DataError, brief
from ablate.mtl.data.audio import AUDIO_SUFFIXES
from ablate.mtl.data.vocabulary import listed
from ablate.subject.code import files_below

ARCHIVERS_OWN = "__MACOSX/"  # what macOS adds to zip archives


@dataclass(frozen=True)
class AudioFiles:
    """The audio below ``root``, as paths relative to it, by their names with and without suffix."""

    root: Path
    paths: tuple[PurePosixPath, ...]
    by_name: dict[str, list[PurePosixPath]]

    @cached_property
    def folders(self) -> frozenset[str]:
        """The names of all folders that audio lies in."""
        return frozenset(part for path in self.paths for part in path.parent.parts)

    def find(self, said: str, folders: Sequence[str]) -> tuple[PurePosixPath | None, str]:
        """The audio of a recording by the name that labels say, and what is wrong where it may be several.

        ``folders`` are the names of those that the labels lie in. Audio has to lie in all of them that are
        folders of audio at all: labels in ``home/`` are never of audio in ``street/``.
        """
        named = PurePosixPath(_one_spelling(said))
        parts = {*named.parent.parts, *folders}
        needed = parts & self.folders
        found = [path for path in self.by_name.get(named.name, []) if needed <= set(path.parent.parts)]
        if len(found) > 1:
            return None, f"'{brief(said)}' may be any of {listed([str(path) for path in found])}"
        return (found[0], "") if found else (None, "")


def audio_below(root: Path, without: Path) -> AudioFiles:
    """The audio files in a folder and its folders, but for those in ``without``. Raises DataError."""
    paths = tuple(path for path in files_of(root, without) if path.suffix.lower() in AUDIO_SUFFIXES)
    by_name: dict[str, list[PurePosixPath]] = {}
    for path in paths:
        spelled = PurePosixPath(_one_spelling(str(path)))
        for name in (spelled.name, spelled.stem):
            by_name.setdefault(name, []).append(path)
    return AudioFiles(root, paths, by_name)


def files_of(root: Path, without: Path) -> list[PurePosixPath]:
    """All files below a folder but for hidden ones and those in ``without``, relative to it.

    Raises DataError.
    """
    try:
        found = files_below(root.resolve())
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read ({error.strerror})") from error
    return [
        PurePosixPath(name)
        for name, file in found
        if not name.startswith(ARCHIVERS_OWN) and not file.is_relative_to(without)
    ]


def _one_spelling(text: str) -> str:
    """Accented letters as one character each: some systems store them as two in the names of files."""
    return unicodedata.normalize("NFC", text.replace("\\", "/"))
