"""The run folder: what a reader sees, whatever happened to the writer."""

import itertools
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.ground.errors import StoreError
from ablate.ground.files import read_json, write_json
from ablate.mtl.config import RunConfig
from ablate.record.rundir import RunBusy, RunFolder, State
from ablate.subject.interface import Dataset
from ablate.subject.items import Items, Ratios
from tests.fabricate import run_of
from tests.no_scores import NO_SCORES
from tests.record.race import N_RUNS, N_WORKERS, take_part

RUN = run_of(RunConfig(), Dataset("tiny", "d" * 64, Path("data")), "baseline", {"grl_pos": "none"})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / RUN.run_id)
    folder.create(RUN)
    return folder


def hold_run(folder: RunFolder) -> subprocess.Popen[str]:
    """Another process that trains the run until it is killed."""
    code = """
import sys, time
from pathlib import Path
from ablate.record.rundir import RunFolder
folder = RunFolder(Path(sys.argv[1]))
with folder.claim():
    folder.begin()
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_run_is_read_back_as_it_was_planned(folder: RunFolder) -> None:
    assert folder.run() == RUN
    assert folder.run_id == RUN.run_id
    assert folder.status().state is State.PENDING


def test_a_run_goes_from_pending_to_finished(folder: RunFolder) -> None:
    with folder.claim():
        folder.begin()
        assert folder.status().state is State.RUNNING
        folder.write_result(NO_SCORES)
        folder.end(State.FINISHED)
    status = folder.status()
    assert status.state is State.FINISHED
    assert status.attempt == 1
    assert status.started_at is not None
    assert status.ended_at is not None
    assert status.started_at <= status.ended_at <= time.time()


def test_a_finished_run_whose_result_is_gone_is_trained_again(folder: RunFolder) -> None:
    with folder.claim():
        folder.begin()
        folder.end(State.FINISHED)
    assert folder.status().state is State.INTERRUPTED
    assert folder.status().cause == "its result is gone"


def test_a_failed_run_keeps_its_cause_until_it_is_tried_again(folder: RunFolder) -> None:
    with folder.claim():
        folder.begin()
        folder.end(State.FAILED, "ValueError: no")
        assert folder.status().cause == "ValueError: no"
        folder.begin()
        assert (folder.status().cause, folder.status().attempt) == (None, 2)


def test_a_run_can_be_marked_as_failed_for_a_worker_that_died_with_it(folder: RunFolder) -> None:
    with folder.claim():
        folder.begin()
    begun = folder.status()
    folder.fail("lost its worker twice")
    failed = folder.status()
    assert (failed.state, failed.cause) == (State.FAILED, "lost its worker twice")
    assert (failed.attempt, failed.started_at) == (begun.attempt, begun.started_at)
    assert failed.ended_at is not None


def test_what_a_finished_run_consists_of_is_on_the_disk_before_it_has_finished(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    flush = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with folder.claim():
        folder.begin()
        flushed.clear()
        folder.write_result(NO_SCORES)
        folder.end(State.FINISHED)
    records = [name for name in flushed if name.startswith((".result.json.", ".seal.json."))]
    assert [name.split(".")[1] for name in records] == ["result", "seal"]


def test_who_looks_for_damage_is_handed_what_was_read(folder: RunFolder) -> None:
    with folder.claim():
        folder.begin()
        folder.write_result(NO_SCORES)
        folder.end(State.FINISHED)
    contents: dict[str, bytes] = {}
    assert folder.damage(contents=contents) is None
    assert contents == {name: (folder.path / name).read_bytes() for name in ("state.json", "result.json")}


def test_energy_is_noted_over_attempts_until_the_result_has_it(folder: RunFolder) -> None:
    assert folder.noted_energy() == 0.0
    folder.note_energy(0.25)
    assert folder.noted_energy() == 0.25
    folder.forget_energy()
    folder.forget_energy()
    assert folder.noted_energy() == 0.0


def test_a_run_whose_worker_was_killed_reads_as_interrupted(folder: RunFolder) -> None:
    process = hold_run(folder)
    assert folder.status().state is State.RUNNING
    kill(process)
    assert folder.status().state is State.INTERRUPTED
    assert folder.status().cause == "its worker died"


def test_two_processes_never_train_one_run(folder: RunFolder) -> None:
    process = hold_run(folder)
    with pytest.raises(RunBusy, match=RUN.run_id), folder.claim():
        pass
    kill(process)
    with folder.claim():
        pass


def test_history_reads_whole_lines_only(folder: RunFolder) -> None:
    folder.append_history({"epoch": 1, "loss": 0.5})
    folder.append_history({"epoch": 2, "loss": 0.25})
    with folder.history_file.open("a") as handle:
        handle.write('{"epoch": 3, "lo')  # killed in mid-write
    assert [row["epoch"] for row in folder.history()] == [1, 2]
    folder.write_history(folder.history()[:1])
    assert folder.history() == [{"epoch": 1, "loss": 0.5}]


def test_a_run_without_result_has_none(folder: RunFolder) -> None:
    assert folder.result() is None
    assert folder.history() == []


def test_a_result_holds_finite_numbers(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match=r"metrics\.loss: Input should be a finite number"):
        folder.write_result({**NO_SCORES, "metrics": {"loss": float("nan")}})
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.json"]


def test_creating_a_folder_again_changes_nothing(folder: RunFolder) -> None:
    before = (folder.path / "config.json").stat()
    folder.create(RUN)
    assert (folder.path / "config.json").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("text", ["", "{}", "[]", "\0" * 300])
def test_creating_a_damaged_folder_again_mends_it(folder: RunFolder, text: str) -> None:
    """A power cut can leave such files."""
    (folder.path / "config.json").write_text(text)
    folder.create(RUN)
    assert folder.run() == RUN


def test_a_folder_of_another_schema_is_refused(folder: RunFolder) -> None:
    content = read_json(folder.path / "config.json")
    write_json(folder.path / "config.json", {**content, "schema": 99})
    with pytest.raises(StoreError, match="schema 99"):
        folder.run()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 2', '{"schema": 2, "dataset": {}}'])
def test_a_damaged_folder_is_refused(folder: RunFolder, text: str) -> None:
    (folder.path / "config.json").write_text(text)
    with pytest.raises(StoreError, match="no readable run folder"):
        folder.run()


@pytest.mark.parametrize("text", ["", "null", "[]", '{"state": "asleep"}', '{"state": "running", "x": 1}'])
def test_an_unreadable_state_is_trained_again(folder: RunFolder, text: str) -> None:
    (folder.path / "state.json").write_text(text)
    assert folder.status().state is State.INTERRUPTED


@pytest.mark.parametrize("n_rounds", [8, pytest.param(50, marks=pytest.mark.long)])
def test_eight_workers_on_28_runs_make_28_runs_each_time(tmp_path: Path, n_rounds: int) -> None:
    for round_, run in itertools.product(range(n_rounds), range(N_RUNS)):
        (tmp_path / str(round_) / f"{run:016x}").mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(N_WORKERS)
    workers = [
        context.Process(target=take_part, args=(tmp_path, n, n_rounds, together)) for n in range(N_WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * N_WORKERS
    trained = [path.read_text().splitlines() for path in tmp_path.glob("*/*/trained")]
    assert [len(lines) for lines in trained] == [1] * (n_rounds * N_RUNS)
    assert len({line for lines in trained for line in lines}) > 1, "one worker did everything"


def test_scores_that_are_asked_for_later_stand_beside_those_of_the_training(folder: RunFolder) -> None:
    counts = Items(("x", "y"), {"hit": Ratios(("all",), [[1], [0]], [[1], [1]])}, {}, kind="clip")
    folder.add_scores({"psds1": 0.25}, None)
    folder.add_scores({"psds2": None}, counts)
    folder.add_scores({"psds1": 0.5}, None)
    assert folder.rescored() == {"psds1": 0.5, "psds2": None}
    items = folder.items()
    assert items is not None
    assert items.score("hit/all") == 0.5
    own = Items(("x", "y"), {"miss": Ratios(("all",), [[0], [1]], [[1], [1]])}, {}, kind="clip")
    (folder.path / "items.npz").write_bytes(own.to_bytes())
    both = folder.items()
    assert both is not None
    assert (both.score("hit/all"), both.score("miss/all")) == (0.5, 0.5)
    folder.begin()  # it is trained again, so that they are of another network
    assert folder.rescored() == {}
    left = folder.items()
    assert left is not None
    assert list(left.ratios) == ["miss"]


def test_damaged_scores_are_a_sentence_that_says_what_to_do(folder: RunFolder) -> None:
    (folder.path / "rescored.json").write_text('{"metrics": {"psds1": "good"}}')
    with pytest.raises(StoreError, match=r"rescored.json: .*; remove it, and score the run again"):
        folder.rescored()


def test_the_history_is_on_the_disk_before_the_result_has_its_name(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda n: flushed.append(Path(f"/proc/self/fd/{n}").readlink().name))
    folder.append_history({"epoch": 1, "seconds": 0.1})
    folder.write_result(NO_SCORES)
    history, names, result, names_again = flushed
    assert history == "history.jsonl"
    assert names == names_again == folder.run_id
    assert result.startswith(".result.json.")
