"""What a campaign does with what its launcher tells, and with MLflow's absence."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from ablate.campaign.campaign import Campaign, Cancelled, Policy
from ablate.design.runs import Run
from ablate.ground.errors import ConfigError, StoreError
from ablate.launch.base import DISK_FULL, Event, Kind, Launcher, Task
from ablate.mtl.config import RunConfig
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.tracking import TrackingUnavailable
from tests.fabricate import add_runs, run_of
from tests.no_scores import NO_SCORES

DATA = Dataset("tiny", "d" * 32, Path("data"))
RUNS = [run_of(RunConfig(seed=seed), DATA) for seed in range(4)]


class ScriptedLauncher(Launcher):
    """Each submission of a run meets the next fate in its list; "finished" when the list is empty."""

    slots = 2

    def __init__(self, fates: dict[str, list[Kind]] | None = None, cause: str = "no") -> None:
        self.fates = fates or {}
        self.cause = cause
        self.submitted: list[str] = []
        self.most_at_once = 0
        self.neighbours: list[int] = []  # of each submitted run
        self._under_way: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self.submitted.append(task.run_id)
        self.neighbours.append(len(self._under_way))
        self._under_way.append(task)
        self.most_at_once = max(self.most_at_once, len(self._under_way))

    def poll(self, timeout_s: float) -> list[Event]:  # noqa: ARG002
        if not self._under_way:
            return []
        task = self._under_way.popleft()
        fates = self.fates.get(task.run_id, [])
        kind = fates.pop(0) if fates else Kind.FINISHED
        folder = RunFolder(task.folder)
        if kind is not Kind.BUSY:
            folder.begin()
        if kind is Kind.FINISHED:
            folder.write_result(NO_SCORES)
        if kind in (Kind.FINISHED, Kind.FAILED):
            folder.end(State(kind.value), "no" if kind is Kind.FAILED else None)
        return [Event(kind, task.run_id, cause=self.cause)]

    def stop(self) -> list[Event]:
        return []


class QueueingLauncher(ScriptedLauncher):
    """As a cluster's: tasks wait for it in any number, and go on without us."""

    capacity = 100

    def __init__(self) -> None:
        super().__init__()
        self.left = False

    def leave(self) -> str:
        self.left = True
        return "they go on"


class RecordingTracker:
    """Notes what it is asked to ship; refuses when there is no server."""

    at_once = 1

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.shipped: list[str] = []

    def prepare(self) -> list[str]:
        self._connect()
        return []

    def ship_together(self, folders: list[RunFolder]) -> list[object]:
        return [self.ship(folder) for folder in folders]

    def ship(self, folder: RunFolder) -> str:
        self._connect()
        self.shipped.append(folder.run_id)
        return "id"

    def is_current(self, folder: RunFolder) -> bool:
        return folder.run_id in self.shipped

    def _connect(self) -> None:
        if self.away:
            raise TrackingUnavailable("MLflow at nowhere: connection refused")


class Listener:
    def __init__(self) -> None:
        self.ended: list[tuple[int, Kind]] = []
        self.warnings: list[str] = []

    def on_event(self, run: Run, event: Event) -> None:
        if event.ends:
            self.ended.append((run.seed, event.kind))

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    add_runs(store, "s", RUNS)
    return store


def execute(
    store: Store,
    launcher: ScriptedLauncher,
    tracker: RecordingTracker,
    runs: list[Run] = RUNS,
    policy: Policy | None = None,
) -> Listener:
    listener = Listener()
    campaign = Campaign(store, launcher, tracker, listener, policy or Policy())  # type: ignore[arg-type]
    campaign.execute(runs, store.study_runs("s"))
    return listener


class Countdown:
    """A feed of runs with the seeds 0, 1, ...; it notes how many it was asked for, and which have ended."""

    may_go_on = False

    def __init__(self, store: Store, n: int) -> None:
        self.store = store
        self.left = [run_of(RunConfig(seed=seed), DATA) for seed in range(n)]
        self.rooms: list[int] = []
        self.ended: list[int] = []

    def next_runs(self, room: int) -> list[Run]:
        self.rooms.append(room)
        runs, self.left = self.left[:room], self.left[room:]
        for run in runs:
            self.store.folder(run.run_id).create(run)
        return runs

    def weights(self, _runs: Sequence[Run]) -> dict[str, Path]:
        return {}

    def on_event(self, run: Run, event: Event) -> list[tuple[str, str]]:
        if event.ends:
            self.ended.append(run.seed)
        return []


def test_a_feed_is_asked_whenever_a_slot_is_free_and_told_of_every_end(store: Store) -> None:
    launcher, tracker, feed = ScriptedLauncher(), RecordingTracker(), Countdown(store, 9)
    campaign = Campaign(store, launcher, tracker, Listener())  # type: ignore[arg-type]
    campaign.execute([], feed=feed)
    assert sorted(feed.ended) == list(range(9))
    assert launcher.most_at_once == 2
    assert set(feed.rooms) <= {1, 2}
    assert sorted(tracker.shipped) == sorted(launcher.submitted)


def test_every_run_is_trained_once_and_shipped(store: Store) -> None:
    launcher, tracker = ScriptedLauncher(), RecordingTracker()
    listener = execute(store, launcher, tracker)
    assert launcher.submitted == [run.run_id for run in RUNS]
    assert launcher.most_at_once == launcher.slots
    assert sorted(tracker.shipped) == sorted(launcher.submitted)
    assert listener.ended == [(seed, Kind.FINISHED) for seed in range(4)]


def test_a_run_whose_worker_died_is_resumed_once_then_failed(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.DIED], RUNS[1].run_id: [Kind.DIED, Kind.DIED]})
    listener = execute(store, launcher, RecordingTracker())
    assert launcher.submitted.count(RUNS[0].run_id) == 2
    assert launcher.submitted.count(RUNS[1].run_id) == 2
    states = [store.folder(run.run_id).status() for run in RUNS]
    assert [status.state for status in states] == ["finished", "failed", "finished", "finished"]
    assert states[1].cause == "no"
    assert len(listener.warnings) == 2


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_lost_run_is_resumed_as_often_as_asked(store: Store, max_retries: int) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.DIED] * 9})
    execute(store, launcher, RecordingTracker(), policy=Policy(max_retries=max_retries))
    assert launcher.submitted.count(RUNS[0].run_id) == 1 + max_retries
    assert store.folder(RUNS[0].run_id).status().state is State.FAILED


def test_a_run_without_memory_is_trained_again_alone(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.NO_MEMORY]})
    listener = execute(store, launcher, RecordingTracker())
    assert launcher.submitted == [*(run.run_id for run in RUNS), RUNS[0].run_id]
    assert launcher.neighbours[-1] == 0
    assert listener.ended == [(0, Kind.NO_MEMORY), *((seed, Kind.FINISHED) for seed in (1, 2, 3, 0))]
    assert listener.warnings == ["baseline seed=0: no; the run will be resumed, alone, after the others"]


def test_a_run_without_memory_that_is_alone_has_failed(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.NO_MEMORY, Kind.NO_MEMORY]})
    listener = execute(store, launcher, RecordingTracker())
    assert listener.ended[-1] == (0, Kind.FAILED)
    assert store.folder(RUNS[0].run_id).status().cause == "no"


def test_by_default_the_others_go_on_when_a_run_fails(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.FAILED]})
    listener = execute(store, launcher, RecordingTracker())
    assert [kind for _, kind in listener.ended].count(Kind.FINISHED) == 3


def test_fail_fast_ends_the_campaign_at_the_first_failure(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.FAILED]})
    listener = execute(store, launcher, RecordingTracker(), policy=Policy(fail_fast=True))
    assert len(launcher.submitted) == launcher.slots
    assert listener.warnings == ["a run has failed; the others save where they are (--fail-fast)"]


def test_after_its_time_no_run_is_begun_and_those_under_way_end(store: Store) -> None:
    class SlowLauncher(ScriptedLauncher):
        def poll(self, timeout_s: float) -> list[Event]:
            time.sleep(0.06)
            return super().poll(timeout_s)

    launcher = SlowLauncher()
    listener = execute(store, launcher, RecordingTracker(), policy=Policy(until=time.monotonic() + 0.05))
    assert launcher.submitted == [run.run_id for run in RUNS[:2]]
    assert listener.ended == [(0, Kind.FINISHED), (1, Kind.FINISHED)]
    listener = execute(store, SlowLauncher(), RecordingTracker(), policy=Policy(until=time.monotonic()))
    assert listener.ended == []
    execute(store, ScriptedLauncher(), RecordingTracker(), runs=RUNS[2:])
    assert all(store.folder(run.run_id).status().state is State.FINISHED for run in RUNS)


def test_a_run_whose_worker_was_asked_to_stop_is_resumed(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.INTERRUPTED]})
    listener = execute(store, launcher, RecordingTracker())
    assert launcher.submitted.count(RUNS[0].run_id) == 2
    assert all(store.folder(run.run_id).status().state == "finished" for run in RUNS)
    assert "will be resumed" in listener.warnings[0]


def test_a_lost_run_that_another_controller_took_over_is_left_to_it(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.DIED, Kind.DIED]})
    folder = store.folder(RUNS[0].run_id)
    with folder.claim():
        folder.write_result(NO_SCORES)
        threading.Timer(3.0, lambda: folder.end(State.FINISHED)).start()
        listener = execute(store, launcher, RecordingTracker(), runs=RUNS[:1])
    assert listener.ended[-1] == (0, Kind.FINISHED)
    assert folder.status().state is State.FINISHED


def test_a_full_disk_ends_the_campaign_and_fails_no_run(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.DIED]}, cause=f"OSError: {DISK_FULL}")
    with pytest.raises(StoreError, match="make room and type the command again"):
        execute(store, launcher, RecordingTracker(), runs=RUNS[:1])
    assert store.folder(RUNS[0].run_id).status().state is State.INTERRUPTED


def test_a_failed_run_is_not_tried_again(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.FAILED]})
    listener = execute(store, launcher, RecordingTracker())
    assert launcher.submitted.count(RUNS[0].run_id) == 1
    assert (0, Kind.FAILED) in listener.ended


def test_a_run_that_another_controller_had_and_lost_is_taken_over(store: Store) -> None:
    launcher = ScriptedLauncher({RUNS[0].run_id: [Kind.BUSY]})
    listener = execute(store, launcher, RecordingTracker())
    assert launcher.submitted.count(RUNS[0].run_id) == 2
    assert listener.ended[-1] == (0, Kind.FINISHED)


def test_without_mlflow_every_run_is_trained_and_the_reader_is_told_at_once_and_at_the_end(
    store: Store,
) -> None:
    launcher = ScriptedLauncher()
    listener = execute(store, launcher, RecordingTracker(away=True))
    assert len(launcher.submitted) == 4
    at_once, at_the_end = listener.warnings
    assert "connection refused; training goes on" in at_once
    assert at_the_end.startswith("4 runs are not")
    assert "`ablate sync`" in at_the_end


def test_what_another_study_trained_is_shipped_too(store: Store) -> None:
    execute(store, ScriptedLauncher(), RecordingTracker())
    tracker = RecordingTracker()
    execute(store, ScriptedLauncher(), tracker, runs=[])
    assert sorted(tracker.shipped) == sorted(run.run_id for run in RUNS)


def test_a_defect_in_tracking_does_not_stop_the_study(store: Store) -> None:
    class BrokenTracker(RecordingTracker):
        def ship(self, folder: RunFolder) -> str:
            raise KeyError(folder.run_id)

    listener = execute(store, ScriptedLauncher(), BrokenTracker())
    assert len(listener.ended) == 4
    assert "KeyError" in listener.warnings[0]


# Clusters.


def test_where_tasks_can_wait_all_are_handed_over_at_once(store: Store) -> None:
    launcher = QueueingLauncher()
    execute(store, launcher, RecordingTracker())
    assert launcher.most_at_once == len(RUNS) > launcher.slots


def test_no_task_waits_when_none_may_begin_after_a_time(store: Store) -> None:
    launcher = QueueingLauncher()
    execute(store, launcher, RecordingTracker(), policy=Policy(until=time.monotonic() + 60))
    assert launcher.most_at_once == launcher.slots


def test_runs_can_be_left_to_a_launcher_that_goes_on_alone(store: Store) -> None:
    launcher, tracker = QueueingLauncher(), RecordingTracker()
    campaign = Campaign(store, launcher, tracker, Listener())  # type: ignore[arg-type]
    assert campaign.hand_over(RUNS) == "they go on"
    assert launcher.submitted == [run.run_id for run in RUNS]
    assert launcher.left
    assert tracker.shipped == []


def test_runs_cannot_be_left_to_a_launcher_that_ends_with_us(store: Store) -> None:
    campaign = Campaign(store, ScriptedLauncher(), None, Listener())
    with pytest.raises(ConfigError, match="leave out --no-wait"):
        campaign.hand_over(RUNS)


def test_of_runs_left_alone_that_share_a_training_the_first_is_trained_and_the_others_wait(
    store: Store,
) -> None:
    tasks: list[Task] = []
    launcher = QueueingLauncher()
    launcher.submit = tasks.append  # type: ignore[method-assign]
    twins = [run_of(RunConfig().override({"scoring.threshold": level}), DATA) for level in (0.3, 0.5)]
    add_runs(store, "twins", twins)
    Campaign(store, launcher, None, Listener()).hand_over(twins)
    assert [task.weights_of for task in tasks] == [None, store.folder(twins[0].run_id).path]


def test_an_interrupted_campaign_leaves_its_runs_and_says_so(store: Store) -> None:
    launcher, listener = QueueingLauncher(), Listener()

    def interrupted(_timeout_s: float) -> list[Event]:
        raise KeyboardInterrupt

    launcher.poll = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        Campaign(store, launcher, None, listener).execute(RUNS)
    assert launcher.left
    assert listener.warnings == ["they go on"]


def test_a_cancelled_campaign_stops_its_runs(store: Store) -> None:
    launcher = QueueingLauncher()
    stopped: list[bool] = []
    launcher.stop = lambda: stopped.append(True) or []  # type: ignore[method-assign, func-returns-value]
    policy = Policy(is_cancelled=lambda: True)
    with pytest.raises(Cancelled):
        Campaign(store, launcher, None, Listener(), policy).execute(RUNS)
    assert stopped
    assert not launcher.left


def test_without_a_tracker_nothing_is_shipped(store: Store) -> None:
    launcher = ScriptedLauncher()
    Campaign(store, launcher, None, Listener()).execute(RUNS, store.study_runs("s"))
    assert launcher.submitted == [run.run_id for run in RUNS]
    assert not any(folder.mlflow_file.exists() for folder in store.study_runs("s"))
