"""What every launcher keeps to."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ablate.ground.failures import Failure, FailureKind
from ablate.launch import local
from ablate.launch.base import Event, Kind, Launcher, Task
from ablate.launch.inline import InlineLauncher
from ablate.launch.local import LocalLauncher

if TYPE_CHECKING:
    from ablate.launch.ray_cluster import Cluster

FAKE_WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


def _fake_train(task: Task, device: str, emit: Callable[[Event], None]) -> None:
    assert device == "cpu"
    emit(Event(Kind.STARTED, task.run_id))
    if task.run_id.startswith("fails"):
        emit(Event(Kind.FAILED, task.run_id, cause="ValueError: no"))
        return
    emit(Event(Kind.EPOCH, task.run_id, 1))
    emit(Event(Kind.FINISHED, task.run_id))


@cache
def ray_of_this_machine() -> "Cluster":
    """A Ray cluster of one core, which all tests share that need one: it takes seconds to start."""
    from ablate.launch.ray_cluster import start

    return start(1)


@pytest.fixture(scope="module", autouse=True)
def end_ray() -> Iterator[None]:
    yield
    if ray_of_this_machine.cache_info().currsize:
        ray_of_this_machine().close()
        ray_of_this_machine.cache_clear()


def on_ray() -> Launcher:
    from ablate.launch.ray import RayLauncher

    store = Path(tempfile.mkdtemp())
    return RayLauncher(ray_of_this_machine(), {}, store, command=FAKE_WORKER, keeps_cluster=True)


LAUNCHERS: dict[str, Callable[[], Launcher]] = {
    "inline": lambda: InlineLauncher(_fake_train, "cpu"),
    "local": lambda: LocalLauncher(["cpu", "cpu"], {}, FAKE_WORKER),
    "ray": on_ray,
}


@pytest.fixture(params=LAUNCHERS)
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    launcher = LAUNCHERS[request.param]()
    yield launcher
    launcher.stop()


def task(name: str) -> Task:
    return Task(Path("runs") / name, Path("data"))


def train(launcher: Launcher, names: list[str]) -> list[Event]:
    """Submit as slots come free, until every run has left its slot."""
    waiting, under_way, events = list(names), 0, []
    deadline = time.monotonic() + 30
    while waiting or under_way:
        assert time.monotonic() < deadline
        while waiting and under_way < launcher.slots:
            launcher.submit(task(waiting.pop(0)))
            under_way += 1
        for event in launcher.poll(0.1):
            events.append(event)
            under_way -= event.ends
    return events


def test_events_of_a_run_come_in_order(launcher: Launcher) -> None:
    assert train(launcher, ["a"]) == [
        Event(Kind.STARTED, "a"),
        Event(Kind.EPOCH, "a", 1),
        Event(Kind.FINISHED, "a"),
    ]


def test_every_run_ends_once(launcher: Launcher) -> None:
    names = [f"run{i}" for i in range(9)]
    ended = [event.run_id for event in train(launcher, names) if event.ends]
    assert sorted(ended) == sorted(names)


def test_runs_may_be_announced_before_they_are_submitted(launcher: Launcher) -> None:
    launcher.warm_up(3)
    assert len([event for event in train(launcher, ["a", "b", "c"]) if event.ends]) == 3


@pytest.mark.parametrize(("announced", "started"), [(1, 1), (5, 2)])
def test_workers_start_when_runs_are_announced_and_train_them(
    announced: int, started: int, tmp_path: Path
) -> None:
    noted = tmp_path / "started"
    command = ["sh", "-c", f'echo >> {noted}; exec "$@"', "sh", *FAKE_WORKER]
    launcher = LocalLauncher(["cpu", "cpu"], {}, command)
    launcher.warm_up(announced)
    deadline = time.monotonic() + 30
    while not noted.exists() or len(noted.read_text()) < started:
        assert time.monotonic() < deadline
    ends = [event for event in train(launcher, [f"run{i}" for i in range(announced)]) if event.ends]
    launcher.stop()
    assert (len(ends), len(noted.read_text())) == (announced, started)


def test_a_failed_run_tells_its_cause_and_the_others_go_on(launcher: Launcher) -> None:
    ends = {event.run_id: event for event in train(launcher, ["a", "fails", "b"]) if event.ends}
    assert ends["fails"] == Event(Kind.FAILED, "fails", cause="ValueError: no")
    assert (ends["a"].kind, ends["b"].kind) == (Kind.FINISHED, Kind.FINISHED)


def test_polling_an_idle_launcher_tells_nothing(launcher: Launcher) -> None:
    assert launcher.poll(0.01) == []


def test_stopping_twice_is_harmless(launcher: Launcher) -> None:
    train(launcher, ["a"])
    assert launcher.stop() == []
    assert launcher.stop() == []


def test_a_run_is_pruned_and_frees_its_slot() -> None:
    launcher = LocalLauncher(["cpu"], {}, FAKE_WORKER)
    launcher.submit(task("hopeless"))
    launcher.prune("hopeless", "below the median")
    events: list[Event] = []
    deadline = time.monotonic() + 30
    while not any(event.ends for event in events):
        assert time.monotonic() < deadline
        events += launcher.poll(0.1)
    assert events[-1] == Event(Kind.PRUNED, "hopeless", cause="below the median")
    assert train(launcher, ["a"])[-1].kind is Kind.FINISHED
    launcher.stop()


def test_pruning_a_run_that_is_not_there_is_harmless(launcher: Launcher) -> None:
    launcher.prune("a", "below the median")
    assert train(launcher, ["a"])[-1].kind is Kind.FINISHED


def test_a_worker_that_dies_names_the_signal_and_its_last_words() -> None:
    launcher = LocalLauncher(["cpu"], {}, FAKE_WORKER)
    (event,) = [event for event in train(launcher, ["dies"]) if event.ends]
    assert event.kind is Kind.NO_MEMORY  # the system kills without a word what takes too much
    assert event.cause == "its worker ended by SIGKILL (out of memory?): out of luck"
    assert train(launcher, ["a"])[-1].kind is Kind.FINISHED  # a new worker takes its place
    launcher.stop()


def on_one_gpu(names: list[str]) -> list[Event]:
    """What is told of runs that one worker is given at once."""
    launcher = LocalLauncher(["cuda:0"], {}, FAKE_WORKER, runs_per_gpu=len(names))
    assert launcher.slots == len(names)
    events = train(launcher, names)
    assert len(launcher._workers) <= 1
    launcher.stop()
    return events


def test_a_worker_on_a_gpu_is_given_several_runs_at_once() -> None:
    ended = [event.run_id for event in on_one_gpu(["a", "b", "c"]) if event.ends]
    assert sorted(ended) == ["a", "b", "c"]


def test_all_runs_of_a_worker_die_with_it() -> None:
    kinds = {event.run_id: event.kind for event in on_one_gpu(["a", "dies", "b"]) if event.ends}
    assert kinds == {"a": Kind.FINISHED, "dies": Kind.NO_MEMORY, "b": Kind.NO_MEMORY}


def test_a_worker_that_leaves_in_peace_has_not_lost_what_it_had_not_begun() -> None:
    ends = {event.run_id: event for event in on_one_gpu(["leaves", "a"]) if event.ends}
    assert ends["a"] == Event(Kind.INTERRUPTED, "a", cause="its worker left before the run began")


def test_two_gpus_are_filled_evenly() -> None:
    launcher = LocalLauncher(["cuda:0", "cuda:1"], {}, FAKE_WORKER, runs_per_gpu=2)
    for name in ("slow1", "slow2", "slow3", "slow4"):
        launcher.submit(task(name))
    assert [sorted(worker.tasks) for worker in launcher._workers.values()] == [
        ["slow1", "slow3"],
        ["slow2", "slow4"],
    ]
    launcher.stop()


def test_a_worker_that_cannot_start_says_why() -> None:
    launcher = LocalLauncher(["cpu"], {}, [sys.executable, "-c", "import nothing_of_this_name"])
    (event,) = train(launcher, ["a"])
    assert event.kind is Kind.DIED
    assert event.cause is not None
    assert "exit code 1" in event.cause
    assert "nothing_of_this_name" in event.cause
    launcher.stop()


def test_a_worker_is_used_again() -> None:
    launcher = LocalLauncher(["cpu", "cpu"], {}, FAKE_WORKER)
    train(launcher, ["a"])
    (first,) = launcher._workers.values()
    train(launcher, ["b"])
    assert list(launcher._workers.values()) == [first]
    launcher.stop()


def test_stop_lets_runs_save_and_leaves_no_process() -> None:
    launcher = LocalLauncher(["cpu", "cpu"], {}, FAKE_WORKER)
    for name in ("slow1", "slow2"):
        launcher.submit(task(name))
    processes = [worker.process for worker in launcher._workers.values()]
    ends = {event.run_id: event.kind for event in launcher.stop() if event.ends}
    assert ends == {"slow1": Kind.INTERRUPTED, "slow2": Kind.INTERRUPTED}
    assert all(process.returncode == 0 for process in processes)


def test_stop_kills_a_worker_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STOP_GRACE_S", 0.5)
    launcher = LocalLauncher(["cpu"], {}, FAKE_WORKER)
    launcher.submit(task("stuck"))
    (process,) = [worker.process for worker in launcher._workers.values()]
    events = launcher.stop()
    cause = "its worker did not stop in time and was killed"
    assert events[-1] == Event(Kind.DIED, "stuck", cause=cause, failure=Failure(FailureKind.KILLED))
    assert process.returncode == -9


def submit_and_freeze(monkeypatch: pytest.MonkeyPatch, silence_s: float) -> LocalLauncher:
    """A launcher whose only worker has said that it begins, and is then frozen."""
    monkeypatch.setattr(local, "SILENCE_S", silence_s)
    launcher = LocalLauncher(["cpu"], {}, FAKE_WORKER)
    launcher.submit(task("stuck"))
    while Event(Kind.STARTED, "stuck") not in launcher.poll(0.1):
        pass
    (worker,) = launcher._workers.values()
    os.kill(worker.process.pid, signal.SIGSTOP)
    return launcher


def test_a_frozen_worker_is_killed_and_its_run_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = submit_and_freeze(monkeypatch, silence_s=0.5)
    events: list[Event] = []
    deadline = time.monotonic() + 30
    while not events and time.monotonic() < deadline:
        events = launcher.poll(0.1)
    assert [event.kind for event in events] == [Kind.DIED]
    assert events[0].cause == "its worker was silent for 0.5 s, as if frozen, and was killed"
    launcher.stop()


def test_a_controller_that_was_frozen_itself_blames_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = submit_and_freeze(monkeypatch, silence_s=0.5)
    (worker,) = launcher._workers.values()
    time.sleep(1.0)  # nobody polls
    assert launcher.poll(0.0) == []
    assert worker.killed_for is None
    worker.process.kill()
    launcher.stop()


def test_a_frozen_worker_leaves_when_its_controller_is_killed() -> None:
    """The system wakes it: its process group lies in the session of the controller, which it outlives."""
    code = f"""
import os, signal, sys, time
from pathlib import Path
from ablate.launch.base import Task
from ablate.launch.local import LocalLauncher
launcher = LocalLauncher(["cpu"], {{}}, {FAKE_WORKER!r})
launcher.submit(Task(Path("runs/slow"), Path("data")))
while not launcher.poll(0.1):
    pass
(worker,) = launcher._workers.values()
os.kill(worker.process.pid, signal.SIGSTOP)
while Path(f"/proc/{{worker.process.pid}}/stat").read_text().rpartition(")")[2].split()[0] != "T":
    time.sleep(0.01)  # it stops when it is next given a core
print(worker.process.pid, flush=True)
time.sleep(60)
"""
    controller = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert controller.stdout is not None
    worker = int(controller.stdout.readline())
    controller.kill()
    controller.communicate()
    deadline = time.monotonic() + 30
    while is_running(worker):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process is there, and more than a name that nobody has waited for."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")
