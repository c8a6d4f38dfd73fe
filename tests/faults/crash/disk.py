"""A file system in memory: what programs ask of it, and what it then holds."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = 0  # the inode of the folder that holds everything


@dataclass(frozen=True)
class Write:
    inode: int
    offset: int
    content: bytes


@dataclass(frozen=True)
class Resize:
    inode: int
    size: int


@dataclass(frozen=True)
class Enter:
    """A file or folder gets a name, be it a new one or, as by ``link``, one that has a name already."""

    folder: int
    name: str
    inode: int
    is_folder: bool = False


@dataclass(frozen=True)
class Leave:
    folder: int
    name: str
    inode: int


@dataclass(frozen=True)
class Move:
    """A new name for an old one, in one step; the file that had it before loses it."""

    folder: int
    name: str
    to_folder: int
    to_name: str
    inode: int


@dataclass(frozen=True)
class Touch:
    inode: int
    seconds: float  # since the epoch


@dataclass(frozen=True)
class Flush:
    """``fsync`` or ``fdatasync`` of a file or a folder."""

    inode: int


@dataclass(frozen=True)
class Say:
    """A line that a worker has sent to its controller."""

    line: str


Operation = Write | Resize | Enter | Leave | Move | Touch | Flush | Say
Naming = Enter | Leave | Move


@dataclass
class Disk:
    """Files and folders by inode. What no name leads to is not there for anybody."""

    files: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    times: dict[int, float] = field(default_factory=dict)  # of those that were touched since last written

    def apply(self, operation: Operation) -> None:
        match operation:
            case Write(inode, offset, content):
                file = self.files.setdefault(inode, bytearray())
                if len(file) < offset:
                    file.extend(bytes(offset - len(file)))
                file[offset : offset + len(content)] = content
                self.times.pop(inode, None)
            case Resize(inode, size):
                file = self.files.setdefault(inode, bytearray())
                del file[size:]
                file.extend(bytes(size - len(file)))
            case Enter(folder, name, inode, is_folder):
                if is_folder:
                    self.folders.setdefault(inode, {})
                else:
                    self.files.setdefault(inode, bytearray())
                self._names(folder)[name] = inode
            case Leave(folder, name, inode):
                self._forget(folder, name, inode)
            case Move(folder, name, to_folder, to_name, inode):
                self._forget(folder, name, inode)
                if inode not in self.folders:
                    self.files.setdefault(inode, bytearray())
                self._names(to_folder)[to_name] = inode
            case Touch(inode, seconds):
                self.times[inode] = seconds

    def _names(self, folder: int) -> dict[str, int]:
        return self.folders.setdefault(folder, {})

    def _forget(self, folder: int, name: str, inode: int) -> None:
        names = self._names(folder)
        if names.get(name) == inode:
            del names[name]

    def find(self, path: str) -> int | None:
        """The inode of a path from the root, such as ``store/id``; None when there is nothing."""
        inode: int | None = ROOT
        for name in path.split("/") if path else ():
            inode = self.folders.get(inode, {}).get(name) if inode is not None else None
        return inode

    def walk(self, path: str) -> Iterator[tuple[str, int]]:
        """Everything in a folder, at any depth, folders before what they hold: path from there, and inode."""
        top = self.find(path)
        if top is not None:
            yield from self._walk(top, "")

    def _walk(self, folder: int, before: str) -> Iterator[tuple[str, int]]:
        for name, inode in sorted(self.folders.get(folder, {}).items()):
            yield before + name, inode
            if inode in self.folders:
                yield from self._walk(inode, f"{before}{name}/")

    def tree(self, path: str) -> dict[str, bytes | None]:
        """Content by path; None for a folder."""
        return {name: bytes(self.files[i]) if i in self.files else None for name, i in self.walk(path)}

    def digest(self, path: str) -> str:
        """The same for folders with the same names and contents, whatever their times."""
        whole = hashlib.blake2b(digest_size=16)
        for name, inode in self.walk(path):
            content = self.files.get(inode)
            whole.update(f"{name}\0{'folder' if content is None else len(content)}\0".encode())
            whole.update(content or b"")
        return whole.hexdigest()

    def write_to(self, target: Path, path: str, age_s: float) -> None:
        """Make the folder ``path`` real. Its files are ``age_s`` old, or as old as they were made."""
        then = time.time() - age_s
        if self.find(path) is not None:
            target.mkdir()
        for name, inode in self.walk(path):
            place = f"{target}/{name}"
            if inode not in self.files:
                Path(place).mkdir()
                continue
            Path(place).write_bytes(self.files[inode])
            moment = min(self.times.get(inode, then), then)
            os.utime(place, (moment, moment))


def disk_after(operations: Iterable[Operation], changed: Mapping[int, list[Operation]] | None = None) -> Disk:
    """What is there after all operations, of which those by index in ``changed`` were done as told there."""
    disk = Disk()
    if not changed:
        for operation in operations:
            disk.apply(operation)
        return disk
    for index, operation in enumerate(operations):
        for done in changed.get(index, (operation,)):
            disk.apply(done)
    return disk
