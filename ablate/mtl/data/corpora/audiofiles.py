"""Which audio file a label file means."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ablate.ground.errors import brief
from ablate.mtl.data.audio import AUDIO_SUFFIXES
from ablate.mtl.data.vocabulary import listed


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
    """The audio files in a folder and its folders, but for hidden ones and those in ``without``."""
    paths = tuple(sorted(_found(root, without)))
    by_name: dict[str, list[PurePosixPath]] = {}
    for path in paths:
        spelled = PurePosixPath(_one_spelling(str(path)))
        for name in (spelled.name, spelled.stem):
            by_name.setdefault(name, []).append(path)
    return AudioFiles(root, paths, by_name)


def files_below(root: Path, without: Path) -> Iterator[PurePosixPath]:
    """All files in a folder and its folders, as paths relative to it, but for hidden ones."""
    for file in root.rglob("*"):
        path = PurePosixPath(file.relative_to(root).as_posix())
        is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        if not is_hidden and file.is_file() and not file.is_relative_to(without):
            yield path


def _found(root: Path, without: Path) -> Iterator[PurePosixPath]:
    return (path for path in files_below(root, without) if path.suffix.lower() in AUDIO_SUFFIXES)


def _one_spelling(text: str) -> str:
    """Accented letters as one character each: some systems store them as two in the names of files."""
    return unicodedata.normalize("NFC", text.replace("\\", "/"))
