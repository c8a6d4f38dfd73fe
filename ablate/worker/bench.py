"""The bench: the runs that one process trains at once on one device, each recorded in its own folder."""

import functools
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ablate.ground.errors import AblateError, DataError
from ablate.ground.leases import Lease, LeaseLost
from ablate.launch.base import DISK_FULL, Event, Kind, Task
from ablate.mtl.data.prepared import Prepared, open_prepared
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.record import load_weights, save_weights, score
from ablate.mtl.training.capacity import best_width
from ablate.mtl.training.checkpoint import load_history, remove_checkpoints
from ablate.mtl.training.graphs import causes, is_out_of_memory, ways_of
from ablate.mtl.training.loop import Interrupted, Job, never, upload
from ablate.mtl.training.pack import Outcome, Pack
from ablate.record.rundir import RunBusy, RunFolder, State

CHECKPOINT_EVERY_S = float(os.environ.get("ABLATE_CHECKPOINT_EVERY_S", "30"))
LOOK_AT_LEASE_S = 1.0

STATES = {
    Kind.FINISHED: State.FINISHED,
    Kind.FAILED: State.FAILED,
    Kind.INTERRUPTED: State.INTERRUPTED,
    Kind.NO_MEMORY: State.INTERRUPTED,  # it goes on from its checkpoint, alone
}

Emit = Callable[[Event], None]

# A run's own lines are said below this name and go to its own log; all others to the logs of all runs.
RUN_LOG = "ablate.run"


def train_task(task: Task, device: str, emit: Emit, should_stop: Callable[[], bool] = never) -> None:
    """Train one run to its end and record it. What goes wrong is recorded too, not raised.

    Raises OSError when nothing can be recorded, as on a full disk.
    """
    with Bench(device, emit, should_stop) as bench:
        bench.put(task)
        while not bench.is_idle:
            bench.train_epoch()


@dataclass(frozen=True)
class _Seat:
    """A run on the bench: its folder, the right to write there, and what is to be undone when it leaves."""

    folder: RunFolder
    held: Lease
    dataset: Path
    leaving: ExitStack

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger(f"{RUN_LOG}.{self.folder.run_id}")


class Bench:
    """Trains the runs that are put on it, up to ``width`` at once, and emits what happens to them.

    ``width`` None: as many as make it faster on the device. Runs of one data set share it in memory. Use it
    as a context manager: whatever is still there when it ends is let go, to be resumed by another process.
    """

    def __init__(
        self, device: str, emit: Emit, should_stop: Callable[[], bool] = never, width: int | None = 1
    ) -> None:
        self._device = torch.device(device)
        self._emit = emit
        self._should_stop = should_stop
        self._width = width
        self._waiting: deque[Task] = deque()
        self._seats: dict[Path, _Seat] = {}  # by the checkpoint, which tells jobs apart
        self._packs: dict[Path, Pack] = {}  # by data set

    def __enter__(self) -> "Bench":
        self._level = logging.getLogger("ablate").level
        logging.getLogger("ablate").setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        for seat in self._seats.values():
            seat.leaving.close()
        logging.getLogger("ablate").setLevel(self._level)

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._seats)

    def put(self, task: Task) -> None:
        self._waiting.append(task)

    def drop_waiting(self) -> None:
        """Forget the runs that have not begun."""
        self._waiting.clear()

    def train_epoch(self) -> None:
        """Take up what fits, train every run to the end of its epoch, and record those that ended."""
        self._take_up()
        for dataset, pack in list(self._packs.items()):
            pack.train_epoch()
            for job, outcome in pack.take_ended():
                assert job.checkpoint is not None
                self._leave(self._seats[job.checkpoint], outcome)
            if not pack.members:
                del self._packs[dataset]  # and its clips from the device's memory

    def _take_up(self) -> None:
        while self._waiting and (not self._seats or len(self._seats) < self._width_for(self._waiting[0])):
            task = self._waiting.popleft()
            seat = self._sit_down(task)
            if seat is None:
                continue
            try:
                model = self._trained_elsewhere(seat, task)
                if model is not None:
                    self._leave(seat, model)
                    continue
                pack, job = self._pack(seat), self._job(seat)
            except Exception as error:
                self._leave(seat, error)
            else:
                pack.admit(job)

    def _width_for(self, task: Task) -> int:
        """How many runs to train at once when the next is such a one."""
        if self._width is not None:
            return self._width
        try:
            run = RunFolder(task.folder).run()
            return best_width(run.config, _data(task.dataset), device=self._device)
        except Exception:  # it will be told when the run begins
            return 1

    def _sit_down(self, task: Task) -> _Seat | None:
        """Claim the run. None when that is not ours to train: it is finished, or another process has it."""
        folder = RunFolder(task.folder)
        with ExitStack() as stack:
            try:
                held = stack.enter_context(folder.claim())
            except RunBusy as error:
                self._emit(Event(Kind.BUSY, folder.run_id, cause=str(error)))
                return None
            if folder.status().state is State.FINISHED:
                self._emit(Event(Kind.FINISHED, folder.run_id))
                return None
            folder.sweep()
            folder.begin()
            if folder.has_outcome():  # killed between its last two writes
                self._end(folder, Kind.FINISHED, None)
                self._emit(Event(Kind.FINISHED, folder.run_id))
                return None
            self._emit(Event(Kind.STARTED, folder.run_id))
            stack.enter_context(_LogTo(folder))
            seat = _Seat(folder, held, task.dataset, stack.pop_all())
        self._seats[folder.checkpoint_file] = seat
        return seat

    def _trained_elsewhere(self, seat: _Seat, task: Task) -> Mtl | None:
        """The network of the task's ``weights_of``, whose history becomes the run's. None to train it."""
        if task.weights_of is None:
            return None
        source, run = RunFolder(task.weights_of), seat.folder.run()
        try:
            if source.status().state is not State.FINISHED or source.damage(weights=True):
                return None
            if source.run().training_id != run.training_id:
                return None
            model = load_weights(run, _data(seat.dataset), source.weights_file).to(self._device)
            seat.folder.write_history(source.history())
        except (AblateError, OSError) as error:
            seat.log.info("the weights of run %s cannot be used: %s", source.run_id, error)
            return None
        seat.log.info("scoring %s seed=%d with the weights of run %s", run.name, run.seed, source.run_id)
        return model

    def _pack(self, seat: _Seat) -> Pack:
        """The runs on the same data."""
        if seat.dataset not in self._packs:
            data = _data(seat.dataset)
            self._packs[seat.dataset] = Pack(data, upload(data, self._device), ways_of(self._device))
        return self._packs[seat.dataset]

    def _job(self, seat: _Seat) -> Job:
        folder = seat.folder
        run, data = folder.run(), _data(seat.dataset)
        if data.digest != run.dataset.digest:
            raise DataError(f"{seat.dataset}: the data have changed since the run was planned; plan it again")
        folder.write_history(load_history(folder.checkpoint_file, run.config, data))
        seat.log.info("training %s seed=%d on %s", run.name, run.seed, self._device)

        def on_epoch(row: dict[str, Any]) -> None:
            seat.held.require()
            folder.append_history(row)
            self._emit(Event(Kind.EPOCH, folder.run_id, epoch=int(row["epoch"])))

        should_stop = _looking_at(seat.held, self._should_stop)
        return Job(run.config, folder.checkpoint_file, on_epoch, should_stop, CHECKPOINT_EVERY_S)

    def _leave(self, seat: _Seat, outcome: Outcome) -> None:
        """Record how a run ended. Raises OSError on a full disk, which is not the run's fault."""
        del self._seats[seat.folder.checkpoint_file]
        with seat.leaving:
            try:
                kind, cause = self._conclude(seat, outcome)
                seat.held.require()
                self._end(seat.folder, kind, cause)
            except LeaseLost as error:
                seat.log.error("%s", error)
                kind, cause = Kind.BUSY, str(error)
        self._emit(Event(kind, seat.folder.run_id, cause=cause))

    def _end(self, folder: RunFolder, kind: Kind, cause: str | None) -> None:
        if kind is Kind.FINISHED:  # before the run says so, after which nobody looks here again
            remove_checkpoints(folder.checkpoint_file)
        folder.end(STATES[kind], cause)

    def _conclude(self, seat: _Seat, outcome: Outcome) -> tuple[Kind, str | None]:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            folder = seat.folder
            result = score(folder.run(), _data(seat.dataset), outcome, self._device, folder)
            seat.held.require()
            save_weights(outcome, folder.weights_file)
            folder.write_result(result)
        except Interrupted as error:
            seat.log.info("%s", error)
            return Kind.INTERRUPTED, str(error)
        except LeaseLost:
            raise
        except Exception as error:
            if is_disk_full(error):
                raise  # the controller tells the reader what is wrong
            seat.log.error("%s", "".join(traceback.format_exception(error)))
            kind = Kind.NO_MEMORY if is_out_of_memory(error) else Kind.FAILED
            return kind, f"{type(error).__name__}: {error}"
        return Kind.FINISHED, None


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it came from, is a full disk."""
    return any(DISK_FULL in str(link) for link in causes(error))


def _looking_at(held: Lease, should_stop: Callable[[], bool]) -> Callable[[], bool]:
    """``should_stop``, which also raises LeaseLost when another process has taken the run over."""
    look_at = time.monotonic()

    def check() -> bool:
        nonlocal look_at
        if time.monotonic() >= look_at:
            held.require()
            look_at = time.monotonic() + LOOK_AT_LEASE_S
        return should_stop()

    return check


@functools.lru_cache(maxsize=4)
def _data(path: Path) -> Prepared:
    return open_prepared(path)


class _LogTo:
    """Appends what this package logs to a run's log, but for what is said of other runs."""

    def __init__(self, folder: RunFolder) -> None:
        self._own = f"{RUN_LOG}.{folder.run_id}"
        self._handler = logging.FileHandler(folder.log_file, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._handler.addFilter(lambda record: record.name == self._own or RUN_LOG not in record.name)

    def __enter__(self) -> None:
        logging.getLogger("ablate").addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("ablate").removeHandler(self._handler)
        self._handler.close()
