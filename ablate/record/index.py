"""The index of a study: what its runs said the last time, so that who has many need not read all again.

    <store>/studies/<study>/index

It is never the truth. Of each run it keeps a reading, and a signature of what was read: inode, size and times
of the run's folder and of each file that the reading follows from. Every command looks at all of these, which
takes a twentieth of reading the files, and reads those runs anew that are not as they were. What a process
holds, and what is damaged, is never kept. An index that is missing, damaged, of another version or of another
byte order is as good as none: everything is read, and the index written anew where that can be done.

A file that changes twice within one tick of its file system's clock looks the same both times. So a run is
kept only if nothing of it has changed since ``TICK_S`` before it was read, by that clock.

The file is a line of magic; the SHA-256 of all the rest; two lengths; the signatures; scores, 8 bytes each,
NaN where one is undefined; and JSON for the rest.
"""

import hashlib
import json
import os
import struct
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from ablate.design.runs import SCHEMA
from ablate.ground.failures import Failure
from ablate.ground.files import clock_ns, replacing
from ablate.ground.version import VERSION
from ablate.record.reading import Reading, read
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.scores import Scores
from ablate.record.store import Store
from ablate.subject.settings import SEED, Seeded

FILE = "index"
WORTH = 100  # readings that the file lacks: fewer take less time than writing it
TICK_S = 2.0  # of the coarsest clock that a file system has, FAT's

# States that follow from the files alone. Whether a run is under way, its lock decides.
SETTLED = frozenset({State.PENDING, State.FINISHED, State.FAILED, State.PRUNED})

_STATES = {str(state): state for state in State}  # which takes a tenth of ``State(name)``
_MAGIC = f"ablate index 3, {VERSION}, {SCHEMA}, {sys.byteorder}\n".encode()
_LENGTHS = struct.Struct("=QQ")
_DIGEST = 32
_SIGNATURE = 16
_PER_FILE = 4  # numbers: inode, size, times of change of the content and of the file
_INODES = 2**63  # they may have 64 bits


class Index:
    """What is known of a study's runs, for one command."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened_at = time.monotonic()
        self._kept = _load(file)
        self._as_before: list[tuple[Sequence[Any], RunFolder]] = []
        self._anew: list[_Entry] = []

    @classmethod
    def of(cls, store: Store, study: str) -> "Index":
        """Raises StudyError for a name that no study can have."""
        return cls(store.study_folder(study) / FILE)

    def read(self, folder: RunFolder) -> Reading:
        """What the folder of a run of a study says. Raises OtherSchema, or StoreError when it is damaged."""
        row = self._kept.find(folder)
        if row is not None:
            self._as_before.append((row, folder))
            return self._kept.reading(row, folder)
        reading = read(folder)
        stats = None if reading.status.state not in SETTLED else _stats(str(folder.path), reading.files)
        if stats is not None:
            self._anew.append(_Entry(folder.run_id, _signature(stats), _changed_ns(stats), reading))
        return reading

    def status(self, folder: RunFolder) -> Status:
        """The state of a run, as ``RunFolder.status`` has it."""
        row = self._kept.find(folder)
        return folder.status() if row is None else _status(row)

    @property
    def n_read(self) -> int:
        """How many of the readings were not known before, and follow from files alone."""
        return len(self._anew)

    def write(self) -> None:
        """Keep what was read, if that is worth it. Where nothing can be written, nothing is."""
        if self.n_read < WORTH:
            return
        with suppress(OSError):
            self._file.parent.mkdir(exist_ok=True)
            began_ns = clock_ns(self._file.parent) - int(1e9 * (time.monotonic() - self._opened_at))
            settled_ns = began_ns - int(1e9 * TICK_S)
            settled = [entry for entry in self._anew if entry.changed_ns < settled_ns]
            if len(settled) >= WORTH:
                known = [self._kept.entry(row, folder) for row, folder in self._as_before]
                with replacing(self._file) as temporary:
                    temporary.write_bytes(_packed([*known, *settled]))


@dataclass(frozen=True)
class _Entry:
    """A run's reading, the signature of its folder, and when that last changed; 0 for long ago."""

    run_id: str
    signature: bytes
    changed_ns: int
    reading: Reading


def _stats(folder: str, files: Sequence[str]) -> "array[int] | None":
    """Of the folder and of each file, ``_PER_FILE`` numbers; None when one is gone."""
    numbers: list[int] = []
    try:
        for name in ("", *files):
            stat = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a Path takes longer than the look
            numbers += (stat.st_ino % _INODES, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    except OSError:
        return None
    return array("q", numbers)


def _signature(stats: "array[int]") -> bytes:
    return hashlib.blake2b(stats, digest_size=_SIGNATURE).digest()


def _changed_ns(stats: "array[int]") -> int:
    return max(*stats[2::_PER_FILE], *stats[3::_PER_FILE])


# ------------------------------------------------------------------------------------------------- the file


@dataclass(frozen=True)
class _Kept:
    """The content of an index. ``frames`` are lists that many rows have in common."""

    signatures: bytes = b""
    scores: "array[float]" = field(default_factory=lambda: array("d"))
    frames: Sequence[Any] = ()
    rows: Sequence[Sequence[Any]] = ()
    places: Mapping[str, int] = field(default_factory=dict)
    numbered: dict[int, dict[str, int]] = field(default_factory=dict)  # frames of scores, by their place
    configs: dict[int, dict[str, Any]] = field(default_factory=dict)  # those of settings, likewise

    def find(self, folder: RunFolder) -> Sequence[Any] | None:
        """The row of a run that is as it was."""
        path = str(folder.path)
        place = self.places.get(path.rpartition("/")[2])
        if place is None:
            return None
        row = self.rows[place]
        stats = _stats(path, self.frames[row[1]])
        return row if stats is not None and _signature(stats) == self._signature(place) else None

    def entry(self, row: Sequence[Any], folder: RunFolder) -> _Entry:
        """A run that is as it was, for a new index."""
        signature = self._signature(self.places[folder.run_id])
        return _Entry(folder.run_id, signature, 0, self.reading(row, folder))

    def _signature(self, place: int) -> bytes:
        return self.signatures[place * _SIGNATURE : (place + 1) * _SIGNATURE]

    def reading(self, row: Sequence[Any], folder: RunFolder) -> Reading:
        """As ``reading.read`` has it; the study calls the run what the ``folder`` says."""
        _, files, config, seed, condition_id, fold, n_folds, dataset, _, metrics, scores, *rest = row
        duration_s, made_by, facts, unread, added, shapes, digest, has_log, shown = rest
        frames = self.frames
        dataset_name, dataset_digest = frames[dataset]
        device, versions = frames[made_by]
        return Reading(
            folder.name or "",
            folder.condition or {},
            condition_id,
            seed,
            fold,
            n_folds,
            dataset_name,
            dataset_digest,
            self._config(config, seed),
            _status(row),
            self._metrics(metrics, scores),
            duration_s,
            device,
            dict(versions),
            facts,
            frames[unread],
            frames[added],
            frames[shapes],
            digest,
            has_log,
            shown,
            frames[files],
        )

    def _config(self, frame: int, seed: int) -> Mapping[str, Any]:
        """The runs of a condition share their settings, but for the seed."""
        if frame not in self.configs:
            self.configs[frame] = dict(self.frames[frame])
        return Seeded(self.configs[frame], seed)

    def _metrics(self, frame: int, scores: Any) -> Mapping[str, float | None]:
        """``scores`` is where they begin among all scores, or what they are where some are whole numbers."""
        names = self.frames[frame]
        if not isinstance(scores, int):
            return dict(zip(names, scores, strict=True))
        places = self.numbered.get(frame)
        if places is None:
            places = self.numbered[frame] = {name: place for place, name in enumerate(names)}
        return Scores(places, self.scores[scores : scores + len(names)])


def _status(row: Sequence[Any]) -> Status:
    state, *rest = row[8]
    rest[-1] = None if rest[-1] is None else Failure.of(rest[-1])
    return Status(_STATES[state], *rest)


def _load(file: Path) -> _Kept:
    """The content of an index; nothing where it cannot be used."""
    try:
        content = file.read_bytes()
        checked = memoryview(content)[len(_MAGIC) + _DIGEST :]
        if content[: len(_MAGIC)] != _MAGIC or _digest(checked) != content[len(_MAGIC) :][:_DIGEST]:
            return _Kept()
    except OSError:
        return _Kept()
    n_signatures, n_scores = _LENGTHS.unpack(checked[: _LENGTHS.size])
    parts = checked[_LENGTHS.size :]
    scores = array("d")
    scores.frombytes(parts[n_signatures : n_signatures + n_scores])
    frames, rows = json.loads(bytes(parts[n_signatures + n_scores :]))
    return _Kept(
        bytes(parts[:n_signatures]),
        scores,
        _frozen(frames),
        rows,
        {row[0]: place for place, row in enumerate(rows)},
    )


def _packed(entries: Sequence[_Entry]) -> bytes:
    """What the file holds of these runs."""
    scores, frames = array("d"), _Frames()
    rows = [_row(entry, scores, frames) for entry in entries]
    signatures = b"".join(entry.signature for entry in entries)
    rest = json.dumps([frames.all, rows], separators=(",", ":")).encode()
    numbers = scores.tobytes()
    body = b"".join([_LENGTHS.pack(len(signatures), len(numbers)), signatures, numbers, rest])
    return _MAGIC + _digest(body) + body


def _row(entry: _Entry, scores: "array[float]", frames: "_Frames") -> list[Any]:
    reading = entry.reading
    return [
        entry.run_id,
        frames.place(reading.files),
        frames.place(tuple((name, 0 if name == SEED else value) for name, value in reading.config.items())),
        reading.seed,
        reading.condition_id,
        reading.fold,
        reading.n_folds,
        frames.place((reading.dataset_name, reading.dataset_digest)),
        list(asdict(reading.status).values()),
        frames.place(tuple(reading.metrics)),
        _add_scores(scores, list(reading.metrics.values())),
        reading.duration_s,
        frames.place((reading.device, tuple(reading.versions.items()))),
        reading.facts,
        frames.place(reading.unread),
        frames.place(reading.added),
        frames.place(reading.shapes),
        reading.digest,
        reading.has_log,
        reading.shown,
    ]


def _add_scores(scores: "array[float]", values: list[float | None]) -> int | list[float | None]:
    if any(isinstance(value, int) for value in values):  # which are not to become 1.0
        return values
    scores.extend(nan if value is None else value for value in values)
    return len(scores) - len(values)


@dataclass
class _Frames:
    """Lists that many rows have in common, each kept once. Equal numbers of two types make two lists."""

    all: list[tuple[Any, ...]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def place(self, frame: tuple[Any, ...]) -> int:
        place = self._places.setdefault(repr(frame), len(self.all))
        if place == len(self.all):
            self.all.append(frame)
        return place


def _frozen(value: Any) -> Any:
    """Lists as tuples, to any depth."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _digest(content: "bytes | memoryview") -> bytes:
    return hashlib.sha256(content).digest()
