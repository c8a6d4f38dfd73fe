"""The bench: the runs that one process trains at once on one device, each recorded in its own folder."""

import logging
import os
import platform
import shutil
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ablate.ground.errors import AblateError, ConfigError, causes
from ablate.ground.failures import Failure, failure_of
from ablate.ground.files import replacing
from ablate.ground.leases import Lease, LeaseLost
from ablate.ground.machine import available_cores, processor, system
from ablate.ground.version import VERSION
from ablate.launch.base import DISK_FULL, Event, Kind, Task
from ablate.record.rundir import OWN_FILES, RunBusy, RunFolder, State
from ablate.subject.code import harness_digest
from ablate.subject.interface import Interrupted, Job, Outcome, Row, Source, Subject, never
from ablate.subject.metrics import ENERGY
from ablate.subject.scores import FileSource, Scores
from ablate.worker.energy import CodeCarbon, Ledger, Start

SAVE_EVERY_S = float(os.environ.get("ABLATE_CHECKPOINT_EVERY_S", "30"))
LOOK_AT_LEASE_S = 1.0

STATES = {
    Kind.FINISHED: State.FINISHED,
    Kind.FAILED: State.FAILED,
    Kind.INTERRUPTED: State.INTERRUPTED,
    Kind.PRUNED: State.PRUNED,
    Kind.NO_MEMORY: State.INTERRUPTED,  # it goes on from where it was saved, alone
}

Emit = Callable[[Event], None]

# A run's own lines are said below this name and go to its own log; all others to the logs of all runs.
RUN_LOG = "ablate.run"


@dataclass(frozen=True)
class Stops:
    """What ends runs before their time: ``all_runs`` says whether all are to stop, ``pruned`` which and why.

    Both are looked at before every step, and may change at any time.
    """

    all_runs: Callable[[], bool] = never
    pruned: Mapping[str, str] = field(default_factory=dict)  # by run id

    def of(self, run_id: str) -> Callable[[], bool]:
        return lambda: run_id in self.pruned or self.all_runs()


def train_task(task: Task, device: str, emit: Emit, stops: Stops = Stops(), *, subject: Subject) -> None:
    """Train one run to its end and record it. What goes wrong is recorded too, not raised.

    Raises OSError when nothing can be recorded, as on a full disk.
    """
    with Bench(subject, device, emit, stops) as bench:
        bench.put(task)
        while not bench.is_idle:
            bench.train_epoch()


@dataclass(frozen=True)
class _Seat:
    """A run on the bench: its folder, the right to write there, and what is to be undone when it leaves."""

    folder: RunFolder
    held: Lease
    log: logging.Logger
    leaving: ExitStack


class Bench:
    """Trains the runs that are put on it, up to ``width`` at once, and emits what happens to them.

    ``width`` None: as many as make it faster on the device. Use it as a context manager: whatever is still
    there when it ends is let go, to be resumed by another process.
    """

    def __init__(
        self,
        subject: Subject,
        device: str,
        emit: Emit,
        stops: Stops = Stops(),
        width: int | None = 1,
        meter: Start = CodeCarbon,
    ) -> None:
        self._subject = subject
        self._trainer = subject.trainer(device)
        self._code = subject.code_digest
        self._emit = emit
        self._stops = stops
        self._width = width
        self._waiting: deque[Task] = deque()
        self._seats: dict[str, _Seat] = {}  # by run id
        self._energy = Ledger(device, meter)
        self._noted_at = time.monotonic()

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
        for job, outcome in self._trainer.advance():
            self._leave(self._seats[job.run_id], outcome)

    def _note_energies(self) -> None:
        """Now and then, so that a run whose worker is killed loses little of what it has taken."""
        if time.monotonic() >= self._noted_at + SAVE_EVERY_S:
            self._noted_at = time.monotonic()
            for seat in self._seats.values():
                self._note_energy(seat)

    def _note_energy(self, seat: _Seat) -> None:
        """Keep with a run under way what it has taken, for the attempt that goes on from here."""
        taken = self._energy.taken(seat.folder.run_id)
        if taken is not None:
            seat.folder.note_energy(taken[0])

    def _take_up(self) -> None:
        while self._waiting and (not self._seats or len(self._seats) < self._width_for(self._waiting[0])):
            task = self._waiting.popleft()
            seat = self._sit_down(task)
            if seat is None:
                continue
            try:
                self._trainer.begin(self._job(seat, task))
            except Exception as error:
                self._leave(seat, error)

    def _width_for(self, task: Task) -> int:
        """How many runs to train at once when the next is such a one."""
        if self._width is not None:
            return self._width
        try:
            run = RunFolder(task.folder).run()
            return self._trainer.width(run.config, replace(run.dataset, path=task.dataset))
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
                self._end(folder, Kind.FINISHED)
                self._emit(Event(Kind.FINISHED, folder.run_id))
                return None
            self._emit(Event(Kind.STARTED, folder.run_id))
            stack.enter_context(_LogTo(folder))
            log = logging.getLogger(f"{RUN_LOG}.{folder.run_id}")
            seat = _Seat(folder, held, log, stack.pop_all())
        self._seats[folder.run_id] = seat
        return seat

    def _job(self, seat: _Seat, task: Task) -> Job:
        folder, run = seat.folder, seat.folder.run()
        if run.metered:
            self._energy.enter(folder.run_id, folder.noted_energy(), seat.log)
        else:
            self._energy.join(folder.run_id)

        def report(row: Row) -> None:
            seat.held.require()
            folder.append_history(dict(row))
            self._note_energies()
            self._emit(Event(Kind.EPOCH, folder.run_id, epoch=int(row["epoch"])))

        def resumed(rows: Sequence[Row]) -> None:
            folder.write_history([dict(row) for row in rows])

        return Job(
            run_id=folder.run_id,
            title=run.title,
            settings=run.config,
            folder=folder.path,
            data=replace(run.dataset, path=task.dataset),
            report=report,
            resumed=resumed,
            should_stop=_looking_at(seat.held, self._stops.of(folder.run_id)),
            log=seat.log,
            save_every_s=SAVE_EVERY_S,
            lean=run.lean,
            source=self._source(seat, task),
        )

    def _source(self, seat: _Seat, task: Task) -> Source | None:
        """The task's ``weights_of``, if it is whole and what it is taken for."""
        if task.weights_of is None:
            return None
        source = RunFolder(task.weights_of)
        try:
            if source.status().state is not State.FINISHED or source.damage(files=True):
                return None
            if source.run().training_id != seat.folder.run().training_id:
                return None
            return Source(source.path, source.history())
        except (AblateError, OSError) as error:
            seat.log.info("the training of run %s cannot be taken over: %s", source.run_id, error)
            return None

    def _leave(self, seat: _Seat, outcome: Outcome) -> None:
        """Record how a run ended. Raises OSError on a full disk, which is not the run's fault."""
        del self._seats[seat.folder.run_id]
        with seat.leaving:
            try:
                kind, cause, failure = self._conclude(seat, outcome)
                seat.held.require()
                if kind is not Kind.FINISHED:
                    self._note_energy(seat)
                self._end(seat.folder, kind, cause, failure)
            except LeaseLost as error:
                seat.log.error("%s", error)
                kind, cause, failure = Kind.BUSY, str(error), None
            finally:
                self._energy.leave(seat.folder.run_id)
        self._emit(Event(kind, seat.folder.run_id, cause=cause, failure=failure))

    def _end(
        self, folder: RunFolder, kind: Kind, cause: str | None = None, failure: Failure | None = None
    ) -> None:
        if kind is Kind.FINISHED:  # before the run says so, after which nobody looks here again
            self._trainer.tidy(folder.path)
            folder.forget_energy()
        folder.end(STATES[kind], cause, failure if kind is Kind.FAILED else None)

    def _conclude(self, seat: _Seat, outcome: Outcome) -> tuple[Kind, str | None, Failure | None]:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            with self._energy.alone(seat.folder.run_id):
                scores = outcome()
            seat.held.require()
            for name, source in {**scores.files, **scores.kept}.items():
                keep_file(seat.folder.path, name, source)
            seat.folder.write_result(self._result(seat.folder, scores))
        except Interrupted as error:
            seat.log.info("%s", error)
            why = self._stops.pruned.get(seat.folder.run_id)
            return (Kind.INTERRUPTED, str(error), None) if why is None else (Kind.PRUNED, why, None)
        except LeaseLost:
            raise
        except Exception as error:
            if is_disk_full(error):
                raise  # the controller tells the reader what is wrong
            is_ours = isinstance(error, AblateError)
            seat.log.error("%s", error if is_ours else "".join(traceback.format_exception(error)))
            no_memory = self._trainer.is_out_of_memory(error)
            kind = Kind.NO_MEMORY if no_memory else Kind.FAILED
            return kind, cause_of(error), failure_of(error, no_memory=no_memory)
        return Kind.FINISHED, None, None

    def _result(self, folder: RunFolder, scores: Scores) -> dict[str, Any]:
        """The content of ``result.json``; its keys are described at ``RunFolder.result``."""
        trained_s = sum(row.get("seconds") or 0.0 for row in folder.history())
        return {
            "run_id": folder.run_id,
            "metrics": scores.metrics,
            "matrices": {name: matrix.to_json() for name, matrix in scores.matrices.items()},
            "tables": {name: table.to_json() for name, table in scores.tables.items()},
            "files": list(scores.files),
            "kept": list(scores.kept),
            "facts": {**scores.facts, **self._energy_of(folder.run_id)},
            "unread": list(scores.unread or ()),
            "duration_s": trained_s + (scores.seconds or 0.0),
            "device": self._trainer.device_name,
            "versions": {
                "ablate": VERSION,
                "python": platform.python_version(),
                **_versions(self._subject.packages),
                **scores.versions,
            },
            "made": {
                "code": self._code,
                "harness": harness_digest(),
                "processor": processor(),
                "threads": _threads(),
                "system": system(),
            },
        }

    def _energy_of(self, run_id: str) -> dict[str, Any]:
        taken = self._energy.taken(run_id)
        return {} if taken is None else {ENERGY.name: taken[0], "energy_by": taken[1]}


def keep_file(folder: Path, name: str, source: FileSource) -> None:
    """Put a file that a training returns into the run's folder, whole or not at all.

    Raises ConfigError for a name that is none of a file there, or of one of the harness's own.
    """
    if Path(name).name != name or name.startswith(".") or name in OWN_FILES:
        raise ConfigError(
            f"file '{name}' of the scores: choose a plain name that is not one of the run's own"
        )
    path = folder / name
    if isinstance(source, Path) and source.resolve() == path.resolve():
        return
    with replacing(path, durable=True) as temporary:
        if isinstance(source, Path):
            shutil.copyfile(source, temporary)
        elif isinstance(source, bytes):
            temporary.write_bytes(source)
        else:
            source(temporary)


def cause_of(error: Exception) -> str:
    """What a reader is told of a failure: our own sentences as they are, others with their kind."""
    if isinstance(error, AblateError):
        return "; ".join(error.problems)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it came from, is a full disk."""
    return any(isinstance(link, OSError) and DISK_FULL in str(link) for link in causes(error))


def _threads() -> int:
    """How many threads add up a sum in this process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else available_cores()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
