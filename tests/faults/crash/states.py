"""What a disk may hold after a crash: what was not flushed yet is open to loss.

Four models, from the mildest to the harshest. In all of them what ``fsync`` or ``fdatasync`` has returned for
is there: the content of a file, and the names in a folder.

    killed      Nothing is lost: the processes were killed, not the machine.
    ordered     As ext4 with data=ordered, or btrfs. Names are journaled, so that of those that were not
                flushed the first ones are there, up to some moment. A file has the first of its writes.
    writeback   As XFS, or ext4 with data=writeback. Names as above; of what was written any blocks are
                there, and where one is not, a file that has its new size has zeros or what was there before.
    unordered   As little as POSIX says: of names, too, any may be lost, each alone.

After Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), whose tool ALICE has the last
model, and Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (OSDI 2018;
CrashMonkey).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from tests.faults.crash.disk import (
    Disk,
    Enter,
    Flush,
    Leave,
    Move,
    Operation,
    Resize,
    Touch,
    Write,
    disk_after,
)

BLOCK = 4096
SECTOR = 512


class Model(StrEnum):
    KILLED = "killed"
    ORDERED = "ordered"
    WRITEBACK = "writeback"
    UNORDERED = "unordered"


@dataclass(frozen=True)
class Crash:
    """After the first ``after`` operations; the same seed loses the same."""

    after: int
    model: Model
    seed: int

    def __str__(self) -> str:
        return f"{self.model} {self.after} {self.seed}"


# How likely something is to be there after a power loss. The first two are the corners: all, and nothing.
SHARES = (1.0, 0.0, 0.1, 0.5, 0.9)

Changed = dict[int, list[Operation]]  # what became of an operation, by its index


def disk_of(operations: Sequence[Operation], crash: Crash) -> Disk:
    done = operations[: crash.after]
    if crash.model is Model.KILLED:
        return disk_after(done)
    return disk_after(done, _Loss(done, crash).changed())


def open_to_loss(operations: Sequence[Operation]) -> list[int]:
    """The indices of those whose effect no flush after them has made sure of."""
    return sorted({*_open_writes(operations), *_open_names(operations)})


def _open_writes(operations: Sequence[Operation]) -> list[int]:
    return _open(operations, _file_of)


def _open_names(operations: Sequence[Operation]) -> list[int]:
    """Names that no flush of their folder has made sure of."""
    return _open(operations, _folders_of)


def _open(operations: Sequence[Operation], flushed_with: Callable[[Operation], set[int]]) -> list[int]:
    """Those of which no inode that they are ``flushed_with`` was flushed later; without any, none at all."""
    flushed: set[int] = set()
    found = []
    for index in range(len(operations) - 1, -1, -1):
        operation = operations[index]
        if isinstance(operation, Flush):
            flushed.add(operation.inode)
        elif (inodes := flushed_with(operation)) and not inodes & flushed:
            found.append(index)
    return found[::-1]


def _file_of(operation: Operation) -> set[int]:
    match operation:
        case Write(inode) | Resize(inode) | Touch(inode):
            return {inode}
    return set()


def _folders_of(operation: Operation) -> set[int]:
    """One of either folder does for a move."""
    match operation:
        case Enter(folder) | Leave(folder):
            return {folder}
        case Move(folder, _, to_folder):
            return {folder, to_folder}
    return set()


def journaled(operations: Sequence[Operation]) -> int:
    """Up to which operation a journal is on the disk: a flush brings all until the file's own last change."""
    changed: dict[int, int] = {}  # by inode, the last operation that the journal has of it
    sizes: dict[int, int] = {}
    until = 0
    for index, operation in enumerate(operations):
        match operation:
            case Flush(inode):
                until = max(until, changed.get(inode, 0))
            case Write(inode, offset, content):
                if offset + len(content) > sizes.get(inode, 0):
                    sizes[inode], changed[inode] = offset + len(content), index + 1
            case Resize(inode, size):
                sizes[inode], changed[inode] = size, index + 1
            case Enter(folder, _, inode) | Leave(folder, _, inode):
                changed[folder] = changed[inode] = index + 1
            case Move(folder, _, to_folder, _, inode):
                changed[folder] = changed[to_folder] = changed[inode] = index + 1
    return until


@dataclass
class _Loss:
    """What becomes of the operations that are open to loss."""

    operations: Sequence[Operation]
    crash: Crash

    def __post_init__(self) -> None:
        self._draw = random.Random(str(self.crash))
        self._names_share, self._data_share = self._shares()

    def _shares(self) -> tuple[float, float]:
        """How much is there of names, and of what was written."""
        return self._draw.choice(SHARES), self._draw.choice(SHARES)

    def changed(self) -> Changed:
        changed: Changed = {index: [] for index in self._lost_names()}
        for writes in self._writes_by_file.values():
            changed |= self._first_ones(writes) if self.crash.model is Model.ORDERED else self._any(writes)
        return changed

    def _keeps(self, share: float) -> bool:
        return self._draw.random() < share

    def _lost_names(self) -> list[int]:
        if self.crash.model is Model.UNORDERED:
            return [i for i in _open_names(self.operations) if not self._keeps(self._names_share)]
        first, last = journaled(self.operations), len(self.operations)
        cut = first + round(self._names_share * (last - first))
        if 0 < self._names_share < 1:
            cut = self._draw.randint(first, last)
        journal = Enter | Leave | Move | Touch
        return [i for i in range(cut, last) if isinstance(self.operations[i], journal)]

    @cached_property
    def _writes_by_file(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index in _open_writes(self.operations):
            found.setdefault(_written(self.operations[index]), []).append(index)
        return found

    def _first_ones(self, writes: list[int]) -> Changed:
        """The first writes of a file are there, the last of them in part."""
        if self._keeps(self._data_share):
            return {}
        n_kept = self._draw.randint(0, len(writes) - 1) if self._data_share else 0
        changed: Changed = {index: [] for index in writes[n_kept:]}
        torn = self.operations[writes[n_kept]]
        if self._data_share and isinstance(torn, Write):
            sectors = self._draw.randint(0, len(torn.content) // SECTOR)
            changed[writes[n_kept]] = [Write(torn.inode, torn.offset, torn.content[: sectors * SECTOR])]
        return changed

    def _any(self, writes: list[int]) -> Changed:
        """Any blocks of what was written are there; the sizes as if all were, or as far as they reach."""
        has_size = self._draw.random() < 0.5
        changed: Changed = {}
        for index in writes:
            operation = self.operations[index]
            if isinstance(operation, Write):
                changed[index] = list(self._blocks(operation, has_size))
            elif not self._keeps(self._data_share):
                changed[index] = []
        return changed

    def _blocks(self, write: Write, has_size: bool) -> Iterator[Operation]:
        size = SECTOR if self._draw.random() < 0.2 else BLOCK
        end = write.offset + len(write.content)
        start = write.offset
        while start < end:
            until = min(end, (start // size + 1) * size)
            if self._keeps(self._data_share):
                yield Write(write.inode, start, write.content[start - write.offset : until - write.offset])
            start = until
        if has_size:
            yield Write(write.inode, end, b"")


def _written(operation: Operation) -> int:
    assert isinstance(operation, Write | Resize | Touch)
    return operation.inode


def crashes(operations: Sequence[Operation], start: int, n: int, seed: int) -> Iterator[tuple[Crash, Disk]]:
    """``n`` crashes after which the folder ``store`` holds different things, and the disk after each.

    Drawn are the model and the operation, from ``start`` on; fewer where no others are found.
    """
    draw = random.Random(seed)
    seen: set[str] = set()
    misses = 0
    models = [Model.KILLED, *[Model.ORDERED, Model.WRITEBACK, Model.UNORDERED] * 3]
    while len(seen) < n and misses < 20 * len(models):
        crash = Crash(draw.randint(start, len(operations)), draw.choice(models), draw.getrandbits(32))
        disk = disk_of(operations, crash)
        digest = disk.digest("store")
        if digest in seen:
            misses += 1
            continue
        misses = 0
        seen.add(digest)
        yield crash, disk
