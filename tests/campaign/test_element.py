"""A job of a cluster, without the cluster: what it takes, trains, gives back, and says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.campaign.element import Taking
from ablate.design.runs import Run, SubjectRef
from ablate.ground.version import VERSION
from ablate.launch.base import Event, Kind, Task
from ablate.launch.tickets import Inbox, Queue, Sheet
from ablate.record.cancellation import Cancellation
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import NO_DATA, Dataset, Subject
from ablate.subject.module import open_module
from ablate.subject.settings import Settings

WALK = Path(__file__).parent.parent / "launch" / "walk.py"
DATA = Dataset("none", NO_DATA, Path("none"))


@pytest.fixture(scope="module")
def walk() -> Subject:
    before = list(sys.path)
    subject = open_module({"kind": "module", "path": str(WALK)})
    sys.path[:] = before
    return subject


class Place:
    """A store with runs, and their tickets."""

    def __init__(self, folder: Path, subject: Subject, pause: float) -> None:
        self.store = Store(folder)
        self.queue = Queue(folder / "studies" / "s" / "slurm" / "d")
        self.sheet = Sheet(str(folder), "s", dict(subject.spec), VERSION, "cpu", 1)
        self.queue.open(self.sheet)
        self.inbox = Inbox(self.queue)
        self._subject = subject
        self._pause = pause

    def run(self, seed: int) -> Run:
        config = self._subject.default.override({"seed": seed, "pause": self._pause})
        reference = SubjectRef(self._subject.name, self._subject.version)
        return Run(Settings(config.flat()), DATA, "baseline", {}, reference, ())

    def ask_for(self, *seeds: int) -> list[RunFolder]:
        folders = []
        for seed in seeds:
            run = self.run(seed)
            folder = self.store.folder(run.run_id)
            folder.create(run)
            self.queue.put(Task(folder.path, DATA.path))
            folders.append(folder)
        return folders

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ablate.campaign.element", str(self.queue.path)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def place(tmp_path: Path, walk: Subject) -> Place:
    return Place(tmp_path, walk, pause=0.01)


@pytest.fixture
def slow(tmp_path: Path, walk: Subject) -> Place:
    return Place(tmp_path, walk, pause=0.3)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_trains_what_waits_and_leaves(place: Place) -> None:
    folders = place.ask_for(0, 1, 2)
    said, _ = place.start().communicate(timeout=60)
    assert [folder.status().state for folder in folders] == [State.FINISHED] * 3
    assert place.queue.tickets() == set()
    assert place.queue.present() == []
    ended = [event.run_id for event in place.inbox.read() if event.kind is Kind.FINISHED]
    assert ended == [folder.run_id for folder in folders]
    assert said.splitlines()[-1].endswith("nothing waits any more")


def test_a_finished_run_is_told_of_and_not_trained_again(place: Place) -> None:
    (folder,) = place.ask_for(0)
    place.start().communicate(timeout=60)
    before = folder.status()
    place.inbox.read()
    place.ask_for(0)
    place.start().communicate(timeout=60)
    assert place.inbox.read() == [Event(Kind.FINISHED, folder.run_id)]
    assert folder.status() == before


def test_a_job_that_is_asked_to_end_saves_and_gives_back(slow: Place) -> None:
    first, second = slow.ask_for(0, 1)
    process = slow.start()
    wait_until(lambda: len(first.history()) > 0)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "asked to end; all runs have saved where they are" in said
    assert first.status().state is State.INTERRUPTED
    assert first.checkpoints()
    assert second.status().state is State.PENDING
    assert slow.queue.tickets() == {first.run_id, second.run_id}
    assert slow.queue.n_waiting() == 2


def test_a_study_that_is_cancelled_ends_its_jobs_without_slurm(slow: Place) -> None:
    """As on a host from which scancel cannot be called."""
    (folder,) = slow.ask_for(0)
    process = slow.start()
    wait_until(lambda: len(folder.history()) > 0)
    Cancellation(slow.store, "s").say()
    said, _ = process.communicate(timeout=60)
    assert "the study was cancelled; all runs have saved where they are" in said
    assert folder.status().state is State.INTERRUPTED
    said, _ = slow.start().communicate(timeout=60)  # begun again by Slurm
    assert "the study was cancelled" in said
    assert folder.status().attempt == 1


def test_a_hopeless_run_is_given_up(slow: Place) -> None:
    (folder,) = slow.ask_for(0)
    process = slow.start()
    wait_until(lambda: len(folder.history()) > 0)
    slow.queue.prune(folder.run_id, "below the median")
    process.communicate(timeout=60)
    assert folder.status().state is State.PRUNED
    assert slow.inbox.read()[-1] == Event(Kind.PRUNED, folder.run_id, cause="below the median")


def test_a_job_of_another_version_refuses(place: Place) -> None:
    place.queue.open(replace(place.sheet, version="9.9"))
    place.ask_for(0)
    process = place.start()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    reason = f"ablate {VERSION} is installed where the job runs, 9.9 where it was submitted"
    assert reason in said
    (refusal,) = (place.queue.path / "refused").iterdir()
    assert refusal.read_text().startswith(reason)


# What it takes.


def taking(place: Place, n_members: int) -> Taking:
    return Taking(place.queue, "1_0", replace(place.sheet, n_members=n_members), first=0)


def test_a_job_leaves_their_shares_to_the_others(place: Place) -> None:
    place.ask_for(*range(10))
    assert len(taking(place, n_members=4).next_runs(room=8)) == 3  # a quarter of ten, rounded up
    assert place.queue.n_waiting() == 7


def test_a_job_takes_no_more_than_it_has_room_for(place: Place) -> None:
    place.ask_for(*range(10))
    assert len(taking(place, n_members=1).next_runs(room=2)) == 2


def test_a_run_waits_for_the_weights_that_another_one_trains(place: Place) -> None:
    (first,) = place.ask_for(0)
    second = place.run(1)
    folder = place.store.folder(second.run_id)
    folder.create(second)
    place.queue.put(Task(folder.path, DATA.path, weights_of=first.path))
    job, other = taking(place, n_members=1), Taking(place.queue, "1_1", place.sheet, first=1)
    assert other.next_runs(1) == []  # it has looked at the second, and put it back
    (run,) = job.next_runs(1)
    assert run.run_id == first.run_id
    job.on_event(run, Event(Kind.FINISHED, run.run_id))
    later = Taking(place.queue, "1_2", place.sheet, first=0)
    (run,) = later.next_runs(1)
    assert run.run_id == second.run_id
    assert later.weights([run]) == {run.training_id: first.path}


def test_a_run_whose_folder_is_damaged_fails_and_the_others_go_on(place: Place) -> None:
    first, second = place.ask_for(0, 1)
    (first.path / "config.json").write_text("{")
    job = taking(place, n_members=1)
    assert [run.run_id for run in job.next_runs(2)] == [second.run_id]
    (event,) = place.inbox.read()
    assert (event.kind, event.run_id) == (Kind.FAILED, first.run_id)
    assert "no readable run folder" in (event.cause or "")
