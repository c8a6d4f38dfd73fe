"""A study from moment to moment, seen from outside: its runs' folders tell all, whoever trains where.

A look costs a ``stat`` of each run's state. What is read beside that are the states that have changed since
the last look, the leases of runs under way, and what was added to the histories that somebody looks at.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from ablate.ground.errors import StoreError
from ablate.ground.files import read_json
from ablate.ground.leases import holder
from ablate.ground.records import require
from ablate.record.failures import FailedRun, FailureGroup, grouped
from ablate.record.formats import Epoch
from ablate.record.index import Index
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.searches import SearchFolder
from ablate.record.store import Store

OVER = frozenset({State.FINISHED, State.FAILED, State.PRUNED, State.DAMAGED})
SETTLED_S = 10.0  # after which no further runs of a study that is decided are waited for
NO_CURVES = frozenset({"epoch", "seconds"})

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """A run at a look."""

    folder: RunFolder
    status: Status

    @property
    def state(self) -> State:
        return self.status.state

    @property
    def condition(self) -> str:
        return self.folder.name or self.folder.run_id


@dataclass(frozen=True)
class Work:
    """What a worker does: the run that it trains, its epoch, how many there are (None: nobody knows), and the
    curves so far, by name.
    """

    run: Seen
    epoch: int
    n_epochs: int | None
    curves: Mapping[str, Sequence[float]]

    @property
    def share(self) -> float | None:
        """How much of the training is done; None where that is not known."""
        return min(1.0, self.epoch / self.n_epochs) if self.n_epochs else None

    def seconds(self, now: float) -> float:
        """Since this attempt began."""
        return max(0.0, now - (self.run.status.started_at or now))


@dataclass(frozen=True)
class Look:
    """A study at a moment. ``at`` is in seconds since the epoch."""

    at: float
    runs: Sequence[Seen]
    works: Sequence[Work]
    is_over: bool

    @cached_property
    def counts(self) -> Counter[State]:
        return Counter(seen.state for seen in self.runs)

    @property
    def n_ended(self) -> int:
        return sum(self.counts[state] for state in OVER)

    @cached_property
    def conditions(self) -> dict[str, list[Seen]]:
        """The runs of each condition, in the order of planning."""
        found: dict[str, list[Seen]] = {}
        for seen in self.runs:
            found.setdefault(seen.condition, []).append(seen)
        return found

    @cached_property
    def failures(self) -> list[FailureGroup]:
        return grouped(
            FailedRun(seen.folder, seen.status) for seen in self.runs if seen.state is State.FAILED
        )

    @cached_property
    def share(self) -> float:
        """How much of all trainings is done, a run as much as another."""
        under_way = sum(work.share or 0.0 for work in self.works)
        return (self.n_ended + under_way) / len(self.runs) if self.runs else 1.0

    @cached_property
    def seconds_left(self) -> float | None:
        """About how long the rest takes with as many runs at a time as now; None where nothing tells."""
        if self.is_over:
            return 0.0
        times = _Times.of(self)
        if not self.works or times.usual is None:
            return None
        here = [times.left(work) for work in self.works]
        waiting = [seen for seen in self.runs if seen.state in (State.PENDING, State.INTERRUPTED)]
        total = sum(here) + sum(times.whole(seen.condition) for seen in waiting)
        return max(total / len(here), *here)


@dataclass(frozen=True)
class _Times:
    """How long whole runs take, in seconds: as the finished ones of a condition did, else as all did."""

    by_condition: Mapping[str, float]
    usual: float | None
    now: float

    @classmethod
    def of(cls, look: Look) -> "_Times":
        taken: dict[str, list[float]] = {}
        for seen in look.runs:
            status = seen.status
            if seen.state is State.FINISHED and status.attempt == 1 and status.started_at and status.ended_at:
                taken.setdefault(seen.condition, []).append(status.ended_at - status.started_at)
        known = [seconds for times in taken.values() for seconds in times] or [
            work.seconds(look.at) / work.share for work in look.works if work.share
        ]
        by_condition = {name: median(times) for name, times in taken.items()}
        return cls(by_condition, median(known) if known else None, look.at)

    def whole(self, condition: str) -> float:
        return self.by_condition.get(condition, self.usual or 0.0)

    def left(self, work: Work) -> float:
        whole = self.whole(work.run.condition)
        if work.share is not None:
            return whole * (1 - work.share)
        return max(0.0, whole - work.seconds(self.now))


class Watching:
    """Looks at a study again and again. Raises StudyError when there is none.

    ``main_curves`` are the names of those curves that the subject wants drawn; without any, all are drawn.
    """

    def __init__(self, store: Store, study: str, main_curves: Sequence[str] = ()) -> None:
        self._store = store
        self._study = study
        self._main_curves = main_curves
        self._index = Index.of(store, study)
        self._known: dict[str, tuple[Stamp | None, Status]] = {}
        self._histories: dict[str, _History] = {}
        self._n_epochs: dict[str, int | None] = {}

    def look(self) -> Look:
        runs = [Seen(folder, self._status(folder)) for folder in self._store.study_runs(self._study)]
        finished = next((seen for seen in runs if seen.state is State.FINISHED), None)
        if finished is not None:  # which says how many epochs there are, where no setting does
            self._history(finished.folder)
        works = [self._work(seen) for seen in runs if seen.state is State.RUNNING]
        return Look(time.time(), runs, works, self._is_over(runs))

    def curves(self, folder: RunFolder) -> Mapping[str, Sequence[float]]:
        """The curves of a run so far by name: the main ones, if it has them."""
        curves = self._history(folder).curves
        main = {name: curves[name] for name in self._main_curves if name in curves}
        return main or curves

    def _status(self, folder: RunFolder) -> Status:
        stamp = _stamp(folder)
        known = self._known.get(folder.run_id)
        if known is not None and known[0] == stamp and not _may_change(known[1]):
            return known[1]
        try:
            status = self._index.status(folder) if known is None else folder.status()
        except StoreError as error:
            status = Status(State.DAMAGED, "; ".join(error.problems))
        self._known[folder.run_id] = stamp, status
        return status

    def _work(self, seen: Seen) -> Work:
        history = self._history(seen.folder)
        return Work(seen, history.epoch, self._epochs_of(seen.folder), self.curves(seen.folder))

    def _history(self, folder: RunFolder) -> "_History":
        history = self._histories.setdefault(folder.run_id, _History(folder))
        history.read_on()
        return history

    def _epochs_of(self, folder: RunFolder) -> int | None:
        """The run's one setting that is called ``epochs``; else as many as runs of the study have had."""
        if folder.run_id not in self._n_epochs:
            self._n_epochs[folder.run_id] = _asked_epochs(folder)
        longest = max((each.epoch for each in self._histories.values() if each.is_whole), default=None)
        return self._n_epochs[folder.run_id] or longest

    def _is_over(self, runs: Sequence[Seen]) -> bool:
        """Whether all runs have ended, and no more come. A search, and who decides, add some now and then."""
        if any(seen.state not in OVER for seen in runs):
            return False
        folder = self._store.study_folder(self._study)
        if SearchFolder.of(self._store, self._study).exists():
            return holder(folder / ".lock") is None
        if (folder / "decision.json").exists():
            last = max((seen.status.ended_at or 0.0 for seen in runs), default=0.0)
            return time.time() >= last + SETTLED_S
        return True


def _stamp(folder: RunFolder) -> Stamp | None:
    """What changes with the run's state; None before there is one."""
    try:
        stat = os.stat(f"{folder.path}/state.json")  # noqa: PTH116 - a Path takes longer than the look
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _may_change(status: Status) -> bool:
    """Whether the state can become another one with the file as it is, as a lease is taken or lost."""
    return status.state is State.RUNNING or (status.state is State.INTERRUPTED and status.ended_at is None)


def _asked_epochs(folder: RunFolder) -> int | None:
    try:
        config = read_json(folder.path / "config.json")["config"]
        found = [value for name, value in config.items() if name.rpartition(".")[2] == "epochs"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    is_count = len(found) == 1 and isinstance(found[0], int) and found[0] > 0
    return found[0] if is_count else None


@dataclass
class _History:
    """What is known of a run's epochs; of its file only what is new is read."""

    folder: RunFolder
    epoch: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict)
    is_whole: bool = False
    _inode: int = 0
    _read_to: int = 0

    def read_on(self) -> None:
        try:
            stat = self.folder.history_file.stat()
        except OSError:
            return
        if stat.st_ino != self._inode or stat.st_size < self._read_to:  # a resumed run writes it anew
            self.epoch, self.curves, self._read_to = 0, {}, 0
        self._inode = stat.st_ino
        if stat.st_size > self._read_to:
            for row in self._new_rows():
                self._add(row)
        self.is_whole = (self.folder.path / "result.json").exists()

    def _new_rows(self) -> Iterator[Mapping[str, Any]]:
        try:
            with self.folder.history_file.open("rb") as lines:
                lines.seek(self._read_to)
                whole, newline, _ = lines.read().rpartition(b"\n")
        except OSError:
            return
        self._read_to += len(whole) + len(newline)
        for line in whole.splitlines():
            try:
                yield require(Epoch, json.loads(line))
            except (ValueError, RecursionError):  # of a dying machine; `ablate doctor` tells of it
                continue

    def _add(self, row: Mapping[str, Any]) -> None:
        self.epoch = row["epoch"]
        for name, value in row.items():
            if name not in NO_CURVES and value is not None:
                self.curves.setdefault(name, []).append(float(value))
