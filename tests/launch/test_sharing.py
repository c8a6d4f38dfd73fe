"""Processes that share a GPU: how many, why, and what is left of it afterwards."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.launch import cards, mps
from ablate.launch.admission import Door
from ablate.launch.base import Event, Kind
from ablate.launch.sharing import SharingLauncher, Terms, launcher_of, terms_of
from ablate.subject.interface import Config, Subject
from tests.launch.gpus import Machine, make_machine
from tests.launch.test_conformance import task, train

WORKER = [sys.executable, str(Path(__file__).with_name("gpu_worker.py"))]

Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr(cards, "READ_EVERY_S", 0.05)
    return lambda **options: make_machine(tmp_path, monkeypatch, **options)


# ------------------------------------------------------------------------------------------ how many, and why

NO_PROGRAM = "no CUDA MPS here (nvidia-cuda-mps-control is not on PATH)"
UNREADABLE = "nvidia-smi does not say how much memory is free"


@pytest.mark.parametrize(
    ("machine", "asked", "n", "why"),
    [
        ({}, None, 8, "cuda:0: up to 8 processes at a time through CUDA MPS, as many as its memory admits"),
        ({}, 3, 3, "cuda:0: up to 3 processes at a time through CUDA MPS, as many as its memory admits"),
        ({}, 1, 1, "one run at a time on a GPU, as asked for"),
        ({"mps": False}, None, 1, f"one run at a time on a GPU: {NO_PROGRAM}"),
        (
            {"mps": False},
            2,
            2,
            f"cuda:0: up to 2 processes taking turns, since there is {NO_PROGRAM}, as many as its memory "
            "admits",
        ),
        (
            {"mig": "Enabled"},
            None,
            1,
            "one run at a time on a GPU: no CUDA MPS here (GPU 0 is divided by MIG)",
        ),
        (
            {"mode": "Prohibited"},
            None,
            1,
            "one run at a time on a GPU: no CUDA MPS here (the compute mode of GPU 0 is Prohibited)",
        ),
        (
            {"free": "[N/A]"},
            None,
            1,
            f"one run at a time on a GPU: {UNREADABLE}; --runs-per-gpu N says how many fit",
        ),
        (
            {"free": "[N/A]"},
            4,
            4,
            f"cuda:0: up to 4 processes at a time through CUDA MPS, as asked for: {UNREADABLE}",
        ),
        (
            {"mode": "Exclusive_Process"},
            None,
            8,
            "cuda:0: up to 8 processes at a time through CUDA MPS, as many as its memory admits",
        ),
    ],
)
def test_the_terms_say_how_many_and_why(
    make: Make, machine: dict[str, str], asked: int | None, n: int, why: str
) -> None:
    make(**machine)
    terms = terms_of(["cuda:0"], asked, None)
    assert terms is not None
    assert (terms.devices, terms.why) == (("cuda:0",) * n, why)


def test_workers_are_dealt_out_among_the_gpus(make: Make) -> None:
    make(cards=2)
    terms = terms_of(["cuda:0", "cuda:1", "cuda:0"], None, 3)
    assert terms is not None
    assert terms.devices == ("cuda:0", "cuda:1", "cuda:0")
    assert terms.why.startswith("cuda:0, cuda:1: up to 2 processes on each at a time")


def test_the_smaller_of_two_wishes_counts(make: Make) -> None:
    make()
    terms = terms_of(["cuda:0"] * 6, 2, 6)
    assert terms is not None
    assert terms.devices == ("cuda:0", "cuda:0")


def test_a_gpu_for_one_process_is_not_shared_without_mps(make: Make) -> None:
    make(mode="Exclusive_Process", mps=False)
    with pytest.raises(ConfigError, match=r"cuda:0 takes one process at a time .*leave out --runs-per-gpu"):
        terms_of(["cuda:0"], 2, None)


@pytest.mark.parametrize(
    ("devices", "words"),
    [(["cpu", "cpu"], "runs train on the CPU"), (["cuda:0,cuda:1"], "a run takes several GPUs")],
)
def test_where_no_gpu_is_shared_a_number_for_it_is_refused(devices: list[str], words: str) -> None:
    assert terms_of(devices, None, None) is None
    assert terms_of(devices, 1, None) is None
    with pytest.raises(ConfigError, match=f"--runs-per-gpu 2: {words}"):
        terms_of(devices, 2, None)


def test_a_subject_gets_the_launcher_that_suits_it(make: Make) -> None:
    subject = Subject("mine", Config)
    make(cards=2)
    assert launcher_of(subject, ["cpu"] * 3, None, None).slots == 3
    assert launcher_of(subject, ["cuda:0", "cuda:1"], 1, None).slots == 2
    shared = launcher_of(subject, ["cuda:0", "cuda:1"], None, None)
    assert isinstance(shared, SharingLauncher)
    assert shared.slots == 2  # one on each, until it has been seen what that takes


# ---------------------------------------------------------------------------------------------- the door


def told(run_id: str) -> Event:
    return Event(Kind.EPOCH, run_id, 1)


def test_a_run_is_alone_until_it_has_told_of_an_epoch() -> None:
    door = Door(8, 10_000)
    assert door.room == 1
    door.enter("a")
    door.read(9_000, n_processes=1)
    assert door.room == 1  # it may take more before its first epoch is over
    door.hear(told("a"))
    assert door.room == 1  # it may have taken more since that was read
    door.read(9_000, n_processes=1)
    assert door.room == 2


def test_a_run_that_tells_of_no_epochs_is_seen_when_it_has_finished() -> None:
    door = Door(8, 10_000)
    door.enter("a")
    door.read(9_000, n_processes=1)
    door.hear(Event(Kind.FINISHED, "a"))
    assert (door.room, door.n_inside) == (2, 0)


def seen(door: Door, n_runs: int, each_mib: int) -> None:
    """So many runs have been at work, alone, and took so much."""
    for index in range(n_runs):
        door.enter(f"run{index}")
        door.read(10_000 - each_mib, n_processes=1)
        door.hear(Event(Kind.FINISHED, f"run{index}"))


@pytest.mark.parametrize(
    ("n_seen", "each_mib", "room"),
    [
        (1, 1_000, 2),  # twice as many as were seen
        (3, 1_000, 6),
        (8, 1_000, 8),  # 10,000 / 1,200
        (8, 2_500, 3),  # 10,000 / 3,000
        (8, 9_000, 1),
        (8, 100, 10),  # as many as were asked for
    ],
)
def test_as_many_as_fit_and_no_more_than_twice_as_many_as_were_seen(
    n_seen: int, each_mib: int, room: int
) -> None:
    door = Door(10, 10_000)
    seen(door, n_seen, each_mib)
    assert door.room == room


def test_what_the_most_greedy_one_takes_counts() -> None:
    door = Door(8, 10_000)
    seen(door, 4, 1_000)
    assert door.room == 8
    door.enter("a")
    door.enter("b")
    door.read(4_000, n_processes=2)  # 3,000 each
    assert door.room == 2


def test_one_fewer_after_memory_ran_out() -> None:
    door = Door(8, 10_000)
    seen(door, 4, 1_000)
    for name in "abcde":
        door.enter(name)
    door.hear(Event(Kind.NO_MEMORY, "e"))
    assert (door.room, door.n_inside) == (4, 4)
    door.hear(Event(Kind.NO_MEMORY, "d"))
    assert door.room == 3


def test_where_memory_cannot_be_read_as_many_as_asked_for_come_until_it_runs_out() -> None:
    door = Door(4, None)
    assert door.room == 4
    door.enter("a")
    door.enter("b")
    door.hear(Event(Kind.NO_MEMORY, "b"))
    assert door.room == 1


# ---------------------------------------------------------------------------------------------- the launcher


def terms(asked: int | None = None, devices: tuple[str, ...] = ("cuda:0",)) -> Terms:
    found = terms_of(devices, asked, None)
    assert found is not None
    return found


def most_at_once(events: list[Event]) -> int:
    under_way, most = 0, 0
    for event in events:
        under_way += (event.kind is Kind.STARTED) - event.ends
        most = max(most, under_way)
    return most


def test_as_many_processes_share_a_gpu_as_its_memory_admits(make: Make) -> None:
    machine = make()
    launcher = SharingLauncher(terms(), {}, WORKER)
    assert launcher.slots == 1
    events = train(launcher, [f"takes-2500-{name}" for name in "abcdefg"])
    assert [event.kind for event in events if event.ends] == [Kind.FINISHED] * 7
    assert launcher.slots == most_at_once(events) == 3  # 10,000 / (1.2 x 2,500)
    assert machine.daemon() == ["start"]
    launcher.stop()
    assert machine.daemon() == ["start", f"quit -t {mps.QUIT_S}"]
    pipes = {line.split()[1] for line in (machine.folder / "workers").read_text().splitlines()}
    (folder,) = pipes
    assert "ablate-mps-" in folder
    assert not Path(folder).parent.exists()


def test_two_gpus_are_filled_evenly(make: Make) -> None:
    machine = make(cards=2)
    launcher = SharingLauncher(terms(devices=("cuda:0", "cuda:1")), {}, WORKER)
    train(launcher, [f"takes-4000-{name}" for name in "abcdefgh"])
    launcher.stop()
    workers = [line.split()[0] for line in (machine.folder / "workers").read_text().splitlines()]
    assert sorted(workers) == ["0", "0", "1", "1"]


def test_one_fewer_at_a_time_after_memory_ran_out(make: Make) -> None:
    make(free="[N/A]")
    launcher = SharingLauncher(terms(3), {}, WORKER)
    assert launcher.slots == 3
    kinds = [
        event.kind for event in train(launcher, ["takes-1-a", "takes-1-b", "overtakes-1-c"]) if event.ends
    ]
    launcher.stop()
    assert sorted(kinds) == [Kind.FINISHED, Kind.FINISHED, Kind.NO_MEMORY]
    assert launcher.slots == 2


def test_a_daemon_that_runs_already_is_used_and_left_alone(make: Make) -> None:
    machine = make()
    machine.run_daemon()
    launcher = SharingLauncher(terms(), {}, WORKER)
    train(launcher, ["takes-1000-a"])
    launcher.stop()
    assert machine.daemon() == []
    assert (machine.folder / "workers").read_text() == "0 -\n"


def test_a_daemon_that_does_not_start_leaves_one_run_at_a_time(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make(fault="An instance of this daemon is already running")
    launcher = SharingLauncher(terms(), {}, WORKER)
    events = train(launcher, [f"takes-1000-{name}" for name in "abc"])
    launcher.stop()
    assert most_at_once(events) == 1
    assert capsys.readouterr().err == (
        "warning: CUDA MPS does not start (An instance of this daemon is already running); "
        "one run at a time trains on a GPU\n"
    )


def test_processes_that_were_asked_for_take_turns_where_the_daemon_does_not_start(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make(fault="no")
    launcher = SharingLauncher(terms(2), {}, WORKER)
    events = train(launcher, [f"takes-1000-{name}" for name in "abcd"])
    launcher.stop()
    assert most_at_once(events) == 2
    assert "(no); the processes take turns" in capsys.readouterr().err


def test_nothing_is_started_for_a_study_without_runs(make: Make) -> None:
    machine = make()
    SharingLauncher(terms(), {}, WORKER).stop()
    assert machine.daemon() == []


def test_the_daemon_serves_all_cards_by_their_own_numbers(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the clients' CUDA_VISIBLE_DEVICES would count among those that the daemon sees."""
    machine = make(cards=2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    service = mps.Service()
    service.end()
    assert machine.daemon() == ["start", f"quit -t {mps.QUIT_S}"]


def test_the_daemon_ends_with_a_controller_that_is_killed(make: Make) -> None:
    """The guard, which the controller has only a pipe to, ends it."""
    machine = make()
    service = mps.Service()
    assert service._guard is not None
    assert service._guard.stdin is not None
    service._guard.stdin.close()  # as the system does for a process that was killed
    deadline = time.monotonic() + 10
    while len(machine.daemon()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    service._guard.wait()


# ------------------------------------------------------------------------------------------------ the cards


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, ["0", "1"]), ("1", ["1"]), ("1,0", ["1", "0"]), ("GPU-1", ["1"]), ("7,0", [])],
)
def test_cards_are_numbered_as_cuda_does(
    make: Make, monkeypatch: pytest.MonkeyPatch, visible: str | None, found: list[str]
) -> None:
    make(cards=2)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.index for card in cards.read_cards(["cuda:0", "cuda:1"]).values()] == found


def test_of_a_driver_that_fails_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert cards.read_cards(["cuda:0"]) == {}


def test_a_gpu_worker_that_waits_is_stopped(make: Make) -> None:
    machine = make()
    launcher = SharingLauncher(terms(), {}, WORKER)
    launcher.submit(task("takes-1000-a"))
    launcher.stop()
    assert machine.daemon()[-1].startswith("quit")
