"""A campaign: what is left of a study goes to the launcher, and what comes back goes to MLflow."""

import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

from ablate.design.runs import Run
from ablate.errors import StoreError
from ablate.launch.base import DISK_FULL, Event, Kind, Launcher, Task
from ablate.rundir import RunBusy, RunFolder, State
from ablate.shipping import Shipper
from ablate.store import Store
from ablate.tracking import Tracker

POLL_S = 0.2
# A worker that dies takes its run with it (often: out of memory). The run is resumed, but not for ever.
MAX_LOSSES = 2
ELSEWHERE_POLL_S = 1.0


class Watcher(Protocol):
    """Who is told what happens, such as a progress bar."""

    def on_event(self, run: Run, event: Event) -> None:
        """A run has started, finished an epoch, or left its slot."""

    def on_warning(self, message: str) -> None:
        """Something went wrong that does not end the campaign."""


class Campaign:
    """Trains ``runs`` on ``launcher`` and ships their folders to MLflow as they come in.

    A run that another controller is training is waited for, and taken over should that controller die.
    """

    def __init__(self, store: Store, launcher: Launcher, tracker: Tracker, watcher: Watcher) -> None:
        self._store = store
        self._launcher = launcher
        self._shipper = Shipper(tracker, watcher.on_warning)
        self._watcher = watcher
        self._queue: deque[Run] = deque()
        self._stopping = False
        self._under_way: dict[str, Run] = {}
        self._elsewhere: dict[str, Run] = {}
        self._losses: Counter[str] = Counter()

    def execute(self, runs: Sequence[Run], study: Sequence[RunFolder] = ()) -> None:
        """Train all runs; how each ended is in its folder.

        Then ship what MLflow lacks of the whole ``study``: runs that another study has trained, and those of
        a controller that died.

        On KeyboardInterrupt the runs save where they are, then it is raised again.
        """
        self._queue.extend(runs)
        try:
            if self._queue:
                self._shipper.prepare()
            while self._queue or self._under_way or self._elsewhere:
                while self._queue and len(self._under_way) < self._launcher.slots:
                    self._submit(self._queue.popleft())
                for event in self._launcher.poll(POLL_S):
                    self._handle(event)
                if self._elsewhere and not self._under_way and not self._queue:
                    time.sleep(ELSEWHERE_POLL_S)
                self._look_elsewhere()
            self._shipper.ship_rest(study)
        finally:
            self._stopping = True
            for event in self._launcher.stop():
                self._handle(event)
            self._shipper.close()

    def _submit(self, run: Run) -> None:
        self._under_way[run.run_id] = run
        self._launcher.submit(Task(self._store.folder(run.run_id).path, run.dataset.path))

    def _handle(self, event: Event) -> None:
        run = self._under_way[event.run_id]
        if event.ends:
            del self._under_way[event.run_id]
        if event.kind is Kind.BUSY:
            self._elsewhere[run.run_id] = run
        elif event.kind is Kind.DIED or (event.kind is Kind.INTERRUPTED and not self._stopping):
            event = self._bury(event, run)
        self._watcher.on_event(run, event)
        if event.kind is not Kind.BUSY:
            folder = RunFolder(self._store.folder(run.run_id).path, run.name, run.condition)
            self._shipper.ship(folder, now=event.kind is not Kind.EPOCH)

    def _bury(self, event: Event, run: Run) -> Event:
        """A run whose worker died or left is resumed by another one; when that is lost too, it has failed.

        Raises StoreError when it was lost because the disk is full.
        """
        cause = event.cause or "its worker died"
        if DISK_FULL in cause:
            raise StoreError(
                f"the store {self._store.root}: {DISK_FULL}; make room and type the command again"
            )
        self._losses[run.run_id] += 1
        if self._stopping:
            return event
        if self._losses[run.run_id] < MAX_LOSSES:
            self._queue.append(run)
            self._watcher.on_warning(f"{run.name} seed={run.seed}: {cause}; the run will be resumed")
            return event
        return self._give_up(run, cause)

    def _give_up(self, run: Run, cause: str) -> Event:
        """Record the failure, unless another controller has taken the run over."""
        folder = self._store.folder(run.run_id)
        try:
            with folder.lock():
                folder.fail(cause)
        except RunBusy:
            self._elsewhere[run.run_id] = run
            return Event(Kind.BUSY, run.run_id)
        except OSError as error:
            raise StoreError(f"{folder.path}: cannot be written ({error.strerror or error})") from error
        return Event(Kind.FAILED, run.run_id, cause=cause)

    def _look_elsewhere(self) -> None:
        """What has become of the runs that another controller had."""
        for run in list(self._elsewhere.values()):
            status = self._store.folder(run.run_id).status()
            if status.state is State.RUNNING:
                continue
            del self._elsewhere[run.run_id]
            if status.state in (State.FINISHED, State.FAILED):
                self._watcher.on_event(run, Event(Kind(status.state.value), run.run_id, cause=status.cause))
            else:
                self._queue.append(run)
