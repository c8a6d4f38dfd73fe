"""Folders that travel between machines without a shared file system.

What does not change, such as prepared data and code, travels once, in blocks of bounded size. A run's folder
travels to the machine that trains it, and comes home piece by piece while it is trained there: the files that
have changed, each whole, and the names of all, so that what is gone there goes at home, too.

At home they are written in an order that leaves a folder to go on from, wherever it is cut off: what a run is
resumed from, the files that it returns, the result, the seal, and the state last.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ablate.ground.files import UNFINISHED, replacing
from ablate.record.seals import SEAL, STATE

BLOCK_BYTES = 32 << 20
# What a run's folder keeps for those at home alone: the lease, and what MLflow shows.
STAYS = ("lock", "mlflow.json")
# The order in which a folder comes home; all else comes before.
LAST = ("result.json", SEAL, STATE)
DURABLE = ("result.json", SEAL)


@dataclass(frozen=True)
class Piece:
    """Bytes of a file, from ``start`` on; ``mode`` are its permissions."""

    name: str
    start: int
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Changes:
    """What has become of a folder: the ``files`` that are new, each whole, and the ``names`` of all."""

    files: dict[str, bytes]
    names: frozenset[str]


def blocks(files: Iterable[tuple[str, Path]], size: int = BLOCK_BYTES) -> Iterator[list[Piece]]:
    """Files under the names that they are to have, in blocks of at most ``size`` bytes. Raises OSError."""
    block: list[Piece] = []
    room = size
    for name, path in files:
        with path.open("rb") as handle:
            mode = stat.S_IMODE(os.fstat(handle.fileno()).st_mode)
            start = 0
            while True:
                content = handle.read(room)
                block.append(Piece(name, start, content, mode))
                start += len(content)
                room -= len(content)
                if room > 0:
                    break
                yield block
                block, room = [], size
    if block:
        yield block


def unpack(block: Sequence[Piece], folder: Path) -> None:
    """Write a block's pieces below ``folder``; the blocks of a parcel come in their order.

    Raises ValueError for a name that leads out of the folder.
    """
    for piece in block:
        path = inside(folder, piece.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if piece.start == 0 else "ab") as handle:
            handle.write(piece.content)
            os.fchmod(handle.fileno(), piece.mode | stat.S_IRUSR)


def inside(folder: Path, name: str) -> Path:
    """The file of that name in the folder. Raises ValueError for a name that leads out of it."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise ValueError(f"'{name}' is no name of a file in a folder")
    return folder.joinpath(*parts)


@dataclass
class Watched:
    """A run's folder on the machine that trains it, and what of it is known at home."""

    folder: Path
    _known: dict[str, tuple[int, int, int]] = field(default_factory=dict, repr=False)

    def changes(self) -> Changes | None:
        """What has changed since the last call; None when nothing has.

        A training that ends meanwhile writes its state last: what the state says, the other files bear out
        when they are read after it.
        """
        while True:
            with contextlib.suppress(FileNotFoundError):  # a file went away just now: all is looked at again
                return self._look()

    def _look(self) -> Changes | None:
        marks: dict[str, tuple[int, int, int]] = {}
        files: dict[str, bytes] = {}
        if (self.folder / STATE).exists():
            self._read(STATE, marks, files)
        for name in travelling(self.folder):
            if name != STATE:
                self._read(name, marks, files)
        if not files and marks.keys() == self._known.keys():
            return None
        self._known = marks
        return Changes(files, frozenset(marks))

    def _read(self, name: str, marks: dict[str, tuple[int, int, int]], files: dict[str, bytes]) -> None:
        found = (self.folder / name).stat()
        marks[name] = found.st_mtime_ns, found.st_size, found.st_ino
        if self._known.get(name) != marks[name]:
            files[name] = (self.folder / name).read_bytes()


def whole(folder: Path) -> Changes:
    """All of a run's folder that travels."""
    return Watched(folder).changes() or Changes({}, frozenset())


def travelling(folder: Path) -> list[str]:
    """The names of what travels of a run's folder, with ``/`` between, in the order to write them in."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(filter(_travels, names), key=_rank)


def _travels(name: str) -> bool:
    first, last = name.split("/", 1)[0], name.rsplit("/", 1)[-1]
    return first.split(".", 1)[0] != "lock" and first not in STAYS and not UNFINISHED.fullmatch(last)


def _rank(name: str) -> tuple[int, str]:
    return (LAST.index(name) + 1 if name in LAST else 0, name)


def arrive(folder: Path, changes: Changes, require: Callable[[], None] = lambda: None) -> None:
    """Make a folder what ``changes`` say, each file whole or absent, in the order of the page's head.

    What is gone goes before the state says that the run has ended, and after its result is there. ``require``
    is asked before each write, and raises when this process may not write any more.
    """
    ordered = sorted(changes.files, key=_rank)
    ends = STATE in ordered
    for name in ordered[: len(ordered) - ends]:
        require()
        _write(folder, name, changes.files[name])
    _drop_gone(folder, changes.names)
    if ends:
        require()
        _write(folder, STATE, changes.files[STATE])


def _write(folder: Path, name: str, content: bytes) -> None:
    path = inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=name in DURABLE) as temporary:
        temporary.write_bytes(content)


def _drop_gone(folder: Path, names: frozenset[str]) -> None:
    for name in travelling(folder):
        if name not in names:
            (folder / name).unlink(missing_ok=True)
    for below in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(below.iterdir()):
            below.rmdir()
