"""A campaign: what is left of a study goes to the launcher, and what comes back goes to MLflow."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ablate.campaign.shipping import Shipper, Ships, Unshipped
from ablate.design.runs import Run
from ablate.ground.errors import ConfigError, StoreError
from ablate.ground.failures import Failure, failure_told
from ablate.launch.base import DISK_FULL, Event, Kind, Launcher, Task
from ablate.record.rundir import RunBusy, RunFolder, State
from ablate.record.store import Store
from ablate.schedule.twins import weights_for
from ablate.subject.interface import never
from ablate.tracking import Tracker

POLL_S = 0.2
ELSEWHERE_POLL_S = 1.0
LOOKS_PER_S = 10  # at the runs of other controllers; each is 20 operations on a file system that all share


@dataclass(frozen=True)
class Policy:
    """What to do about runs that do not finish.

    ``max_retries``: how often a run is resumed whose worker died or ran out of memory, before it counts as
    failed. Other failures happen again with the same seed, so they are not tried again. ``fail_fast``:
    whether the first failed run ends the campaign. ``until``: from when on (``time.monotonic()``) no further
    run is begun; those under way go on to their ends. ``is_cancelled`` says whether somebody has asked for
    the end of the whole study.
    """

    max_retries: int = 1
    fail_fast: bool = False
    until: float = math.inf
    is_cancelled: Callable[[], bool] = never


class Cancelled(Exception):
    """Somebody has asked for the end of the study's training."""


class Watcher(Protocol):
    """Who is told what happens, such as a progress bar."""

    def on_event(self, run: Run, event: Event) -> None:
        """A run has started, finished an epoch, or left its slot."""

    def on_warning(self, message: str) -> None:
        """Something went wrong that does not end the campaign."""


class Feed(Protocol):
    """Where further runs come from while others train, as in a search."""

    @property
    def may_go_on(self) -> bool:
        """Whether runs may come although none is under way."""

    def weights(self, runs: Sequence[Run]) -> Mapping[str, Path]:
        """Finished runs whose weights the next ones can take: their folders by the id of the training."""

    def next_runs(self, room: int) -> Sequence[Run]:
        """Runs for ``room`` free slots; none where there are no more, or none before others have ended."""

    def on_event(self, run: Run, event: Event) -> Sequence[tuple[str, str]]:
        """What has happened to a run. Returns the runs to be given up for it, each an id and why."""


class Campaign:
    """Trains ``runs`` on ``launcher`` and ships their folders to MLflow as they come in.

    A run that another controller is training is waited for, and taken over should that controller die. A run
    that ran out of memory is trained again with no other run beside it. Of runs that differ only in their
    scoring one is trained, and the others take its weights when it has finished. Without a ``tracker``
    nothing is shipped.
    """

    def __init__(
        self,
        store: Store,
        launcher: Launcher,
        tracker: Tracker | None,
        watcher: Watcher,
        policy: Policy = Policy(),
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._shipper: Ships = Unshipped() if tracker is None else Shipper(tracker, watcher.on_warning)
        self._watcher = watcher
        self._policy = policy
        self._queue: deque[Run] = deque()
        self._alone: deque[Run] = deque()  # for when nothing else is under way
        self._stopping = False
        self._has_failed = False
        self._under_way: dict[str, Run] = {}
        self._elsewhere: dict[str, Run] = {}
        self._look_elsewhere_at = 0.0
        self._feed: Feed | None = None
        self._weights: dict[str, Path] = {}  # training -> a finished run that has them
        self._in_training: set[str] = set()  # trainings that a run has been sent for
        self._twins: dict[str, deque[Run]] = {}  # training -> runs that wait for its weights
        self._losses: Counter[str] = Counter()
        self._without_memory: set[str] = set()

    def execute(self, runs: Sequence[Run], study: Sequence[RunFolder] = (), feed: Feed | None = None) -> None:
        """Train all runs, and those of ``feed`` as slots get free; how each ended is in its folder.

        Then ship what MLflow lacks of the whole ``study``: runs that another study has trained, and those of
        a controller that died.

        On KeyboardInterrupt the runs save where they are, but for those that go on without a controller; then
        it is raised again. Raises Cancelled when that is asked for, with all runs saved.
        """
        self._feed = feed
        self._weights = weights_for(runs, self._store)
        self._admit(runs)
        self._refill()
        try:
            if self._queue:
                self._launcher.warm_up(len(self._queue))  # workers import torch while we import MLflow
                self._shipper.prepare()
            while self._is_work_left() and not self._gives_up():
                self._submit_what_fits()
                for event in self._launcher.poll(POLL_S):
                    self._handle(event)
                self._look_elsewhere()
                self._refill()
                self._tell_news()
                if self._policy.is_cancelled():
                    raise Cancelled
                if self._is_work_left() and not (self._under_way or self._queue or self._alone):
                    time.sleep(ELSEWHERE_POLL_S)  # others train, or more may come
            if self._gives_up():
                self._watcher.on_warning("a run has failed; the others save where they are (--fail-fast)")
                self._stop_launcher()
            self._shipper.ship_rest(study)
        except KeyboardInterrupt:
            goes_on = self._launcher.leave()
            if goes_on is not None:
                self._watcher.on_warning(goes_on)
            raise
        finally:
            try:
                self._stop_launcher()
            finally:
                self._shipper.close()

    def hand_over(self, runs: Sequence[Run]) -> str:
        """Give all runs to a launcher that goes on without a controller; what a reader is told of it.

        Of runs that differ only in their scoring, the first is trained before the others.
        """
        self._weights = weights_for(runs, self._store)
        self._launcher.warm_up(len(runs))
        for run in runs:
            self._submit(run)
            self._weights.setdefault(run.training_id, self._store.folder(run.run_id).path)
        goes_on = self._launcher.leave()
        if goes_on is None:
            raise ConfigError("runs of this launcher end with the command; leave out --no-wait")
        return goes_on

    def _admit(self, runs: Sequence[Run]) -> None:
        """Put runs into the queue; of those with the same training the first, which the others wait for."""
        for run in runs:
            if run.training_id in self._weights or run.training_id not in self._in_training:
                self._in_training.add(run.training_id)
                self._enqueue(run)
            else:
                self._twins.setdefault(run.training_id, deque()).append(run)

    def _refill(self) -> None:
        """Ask the feed for as many runs as there are free slots for."""
        room = self._launcher.slots - len(self._queue) - len(self._alone) - len(self._under_way)
        if self._feed is not None and room > 0 and not self._is_over:
            runs = self._feed.next_runs(room)
            self._weights |= self._feed.weights(runs)
            self._admit(runs)

    def _is_work_left(self) -> bool:
        if self._is_over:
            return bool(self._under_way)
        may_go_on = self._feed is not None and self._feed.may_go_on
        return bool(self._queue or self._alone or self._under_way or self._elsewhere) or may_go_on

    @property
    def _is_over(self) -> bool:
        """Whether the time is over in which runs are begun."""
        return time.monotonic() >= self._policy.until

    def _gives_up(self) -> bool:
        return self._has_failed and self._policy.fail_fast

    def _tell_news(self) -> None:
        for sentence in self._launcher.news():
            self._watcher.on_warning(sentence)

    def _stop_launcher(self) -> None:
        self._stopping = True
        for event in self._launcher.stop():
            self._handle(event)

    def _release_twins(self, run: Run, kind: Kind) -> None:
        """What waited for a run that has ended: all when it has left weights, else the next to be trained."""
        waiting = self._twins.get(run.training_id, deque())
        if kind is Kind.FINISHED:
            if waiting or self._feed is not None:  # else nobody will ask for its weights
                self._weights.setdefault(run.training_id, self._store.folder(run.run_id).path)
            self._queue.extend(waiting)
            waiting.clear()
        elif kind in (Kind.FAILED, Kind.PRUNED):
            if waiting:
                self._queue.append(waiting.popleft())
            else:
                self._in_training.discard(run.training_id)

    def _enqueue(self, run: Run) -> None:
        (self._alone if run.run_id in self._without_memory else self._queue).append(run)

    def _submit_what_fits(self) -> None:
        if self._is_over:
            return
        if self._alone and not self._under_way:
            self._submit(self._alone.popleft())
            return
        is_alone = any(run_id in self._without_memory for run_id in self._under_way)
        # Where runs wait at the launcher, none may be begun after the time is over.
        room = self._launcher.capacity if math.isinf(self._policy.until) else self._launcher.slots
        while self._queue and not is_alone and len(self._under_way) < room:
            self._submit(self._queue.popleft())

    def _submit(self, run: Run) -> None:
        self._under_way[run.run_id] = run
        weights_of = self._weights.get(run.training_id)
        self._launcher.submit(Task(self._store.folder(run.run_id).path, run.dataset.path, weights_of))

    def _handle(self, event: Event) -> None:
        run = self._under_way[event.run_id]
        if event.ends:
            del self._under_way[event.run_id]
        if event.kind is Kind.BUSY:
            self._elsewhere[run.run_id] = run
        elif event.kind in (Kind.DIED, Kind.NO_MEMORY):
            event = self._bury(event, run)
        elif event.kind is Kind.INTERRUPTED and not self._stopping:  # somebody else has ended its worker
            self._resume(run, event.cause or "")
        self._has_failed |= event.kind is Kind.FAILED
        self._release_twins(run, event.kind)
        self._tell(run, event)
        if event.kind is not Kind.BUSY:
            folder = RunFolder(self._store.folder(run.run_id).path, run.name, run.condition)
            self._shipper.ship(folder, now=event.ends)

    def _tell(self, run: Run, event: Event) -> None:
        self._watcher.on_event(run, event)
        for run_id, why in self._feed.on_event(run, event) if self._feed else ():
            self._launcher.prune(run_id, why)

    def _bury(self, event: Event, run: Run) -> Event:
        """A run whose worker died is resumed, as often as the policy allows; then it has failed.

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
        if self._losses[run.run_id] > self._policy.max_retries:
            return self._give_up(run, cause, event.failure or failure_told(cause))
        if event.kind is Kind.NO_MEMORY:
            self._without_memory.add(run.run_id)
        self._resume(run, cause)
        return event

    def _resume(self, run: Run, cause: str) -> None:
        self._enqueue(run)
        when = ", alone, after the others" if run.run_id in self._without_memory else ""
        self._watcher.on_warning(f"{run.title}: {cause}; the run will be resumed{when}")

    def _give_up(self, run: Run, cause: str, failure: Failure) -> Event:
        """Record the failure, unless another controller has taken the run over."""
        folder = self._store.folder(run.run_id)
        try:
            with folder.claim():
                folder.fail(cause, failure)
        except RunBusy:
            self._elsewhere[run.run_id] = run
            return Event(Kind.BUSY, run.run_id)
        except OSError as error:
            raise StoreError(f"{folder.path}: cannot be written ({error.strerror or error})") from error
        return Event(Kind.FAILED, run.run_id, cause=cause, failure=failure)

    def _look_elsewhere(self) -> None:
        """What has become of the runs that another controller had; the less often, the more there are."""
        if time.monotonic() < self._look_elsewhere_at:
            return
        pause_s = max(ELSEWHERE_POLL_S, len(self._elsewhere) / LOOKS_PER_S)
        self._look_elsewhere_at = time.monotonic() + pause_s
        for run in list(self._elsewhere.values()):
            status = self._store.folder(run.run_id).status()
            if status.state is State.RUNNING:
                continue
            del self._elsewhere[run.run_id]
            if status.state in (State.FINISHED, State.FAILED):
                self._has_failed |= status.state is State.FAILED
                event = Event(
                    Kind(status.state.value), run.run_id, cause=status.cause, failure=status.failure
                )
                self._release_twins(run, event.kind)
                self._tell(run, event)
            else:
                self._enqueue(run)
