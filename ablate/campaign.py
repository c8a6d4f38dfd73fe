"""A campaign: what is left of a study goes to the launcher, and what comes back goes to MLflow."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ablate.design.runs import Run
from ablate.launch.base import Event, Kind, Launcher, Task
from ablate.rundir import RunFolder, State
from ablate.store import Store
from ablate.tracking import Tracker, TrackingUnavailable

POLL_S = 0.2
SHIP_EVERY_S = 10.0  # the curves of a run under way
# A worker that dies takes its run with it (often: out of memory). The run is resumed, but not for ever.
MAX_DEATHS = 2
ELSEWHERE_POLL_S = 1.0

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Who is told what happens, such as a progress bar."""

    def on_event(self, run: Run, event: Event) -> None:
        """A run has started, finished an epoch, or left its slot."""

    def on_warning(self, message: str) -> None:
        """Something went wrong that does not end the campaign."""


@dataclass
class Outcome:
    """How a campaign ended: run ids, and the cause where there is one."""

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: list[str] = field(default_factory=list)


class Campaign:
    """Trains ``runs`` on ``launcher`` and ships their folders to MLflow as they come in.

    A run that another controller is training is waited for, and taken over should that controller die.
    """

    def __init__(self, store: Store, launcher: Launcher, tracker: Tracker, watcher: Watcher) -> None:
        self._store = store
        self._launcher = launcher
        self._shipper = _Shipper(tracker, watcher)
        self._watcher = watcher
        self._under_way: dict[str, Run] = {}
        self._elsewhere: dict[str, Run] = {}
        self._deaths: dict[str, int] = {}

    def execute(self, runs: Sequence[Run]) -> Outcome:
        """Train all runs. On KeyboardInterrupt they save where they are, then it is raised again."""
        outcome = Outcome()
        queue = deque(runs)
        try:
            while queue or self._under_way or self._elsewhere:
                while queue and len(self._under_way) < self._launcher.slots:
                    self._submit(queue.popleft())
                for event in self._launcher.poll(POLL_S):
                    self._handle(event, queue, outcome)
                if self._elsewhere and not self._under_way and not queue:
                    time.sleep(ELSEWHERE_POLL_S)
                self._look_elsewhere(queue, outcome)
        finally:
            for event in self._launcher.stop():
                self._handle(event, deque(), outcome)
            self._shipper.close()
        return outcome

    def _submit(self, run: Run) -> None:
        self._under_way[run.run_id] = run
        self._launcher.submit(Task(self._store.folder(run.run_id).path, run.dataset.path))

    def _handle(self, event: Event, queue: deque[Run], outcome: Outcome) -> None:
        run = self._under_way[event.run_id]
        folder = self._store.folder(event.run_id)
        if event.ends:
            del self._under_way[event.run_id]
        if event.kind is Kind.FINISHED:
            outcome.finished.append(run.run_id)
        elif event.kind is Kind.FAILED:
            outcome.failed[run.run_id] = event.cause or "unknown cause"
        elif event.kind is Kind.INTERRUPTED:
            outcome.interrupted.append(run.run_id)
        elif event.kind is Kind.BUSY:
            self._elsewhere[run.run_id] = run
        elif event.kind is Kind.DIED:
            event = self._bury(event, run, folder, queue, outcome)
        self._watcher.on_event(run, event)
        if event.kind is not Kind.BUSY:
            self._shipper.ship(folder, now=event.kind is not Kind.EPOCH)

    def _bury(
        self, event: Event, run: Run, folder: RunFolder, queue: deque[Run], outcome: Outcome
    ) -> Event:
        """A run whose worker died goes on from its checkpoint in another one; after that it has failed."""
        cause = event.cause or "its worker died"
        self._deaths[run.run_id] = self._deaths.get(run.run_id, 0) + 1
        if self._deaths[run.run_id] < MAX_DEATHS:
            queue.append(run)
            self._watcher.on_warning(f"{run.name} seed={run.seed}: {cause}; the run will be resumed")
            return event
        with folder.lock():
            folder.fail(cause)
        outcome.failed[run.run_id] = cause
        return Event(Kind.FAILED, run.run_id, cause=cause)

    def _look_elsewhere(self, queue: deque[Run], outcome: Outcome) -> None:
        for run in list(self._elsewhere.values()):
            status = self._store.folder(run.run_id).status()
            if status.state is State.RUNNING:
                continue
            del self._elsewhere[run.run_id]
            if status.state is State.FINISHED:
                outcome.finished.append(run.run_id)
                self._watcher.on_event(run, Event(Kind.FINISHED, run.run_id))
            elif status.state is State.FAILED:
                outcome.failed[run.run_id] = status.cause or "unknown cause"
            else:
                queue.append(run)


class _Shipper:
    """Ships run folders to MLflow beside the training, one at a time. Its failures cost the study nothing."""

    def __init__(self, tracker: Tracker, watcher: Watcher) -> None:
        self._tracker = tracker
        self._watcher = watcher
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._last: dict[Path, float] = {}
        self._under_way: dict[Path, Future[None]] = {}
        self._warned = False

    def ship(self, folder: RunFolder, *, now: bool) -> None:
        """Ship the folder ``now``, or unless that was done a short while ago."""
        waiting = self._under_way.get(folder.path)
        recent = time.monotonic() - self._last.get(folder.path, float("-inf")) < SHIP_EVERY_S
        if not now and (recent or (waiting is not None and not waiting.done())):
            return
        self._last[folder.path] = time.monotonic()
        self._under_way[folder.path] = self._pool.submit(self._ship, folder)

    def _ship(self, folder: RunFolder) -> None:
        try:
            self._tracker.ship(folder)
        except TrackingUnavailable as error:
            log.warning("%s", error)
            if not self._warned:
                self._warned = True
                self._watcher.on_warning(
                    f"MLflow is not reachable ({error}); training goes on, `ablate sync` completes it later"
                )
        except Exception as error:  # a defect in tracking must not pass in silence, nor stop the study
            log.exception("shipping %s", folder.path)
            self._watcher.on_warning(
                f"{folder.run_id} was not shipped to MLflow: {type(error).__name__}: {error}"
            )

    def close(self) -> None:
        """Wait until all is shipped."""
        self._pool.shutdown()
