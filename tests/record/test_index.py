"""The index: whatever happens to run folders or to the index, a command says what it says without one."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.analysis.query import RunRecord, load_runs
from ablate.record import index
from ablate.record.index import Index
from ablate.record.reading import read
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from tests.fabricate import add_runs, fabricate_run, make_run

STUDY = "s"
RUNS = [make_run("baseline", seed) for seed in range(3)]
# The kernel's clock for files goes on every 10 ms at least: two changes later than that differ in time.
CLOCK_S = 0.011


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of few runs, and of runs that have just changed."""
    monkeypatch.setattr(index, "WORTH", 1)
    monkeypatch.setattr(index, "TICK_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A finished run, one that failed, and one that has not begun."""
    store = Store(tmp_path / "store")
    store.require_writable()
    for run, state in zip(RUNS, (State.FINISHED, State.FAILED, State.PENDING), strict=True):
        fabricate_run(store, run, state=state, cause="no memory" if state is State.FAILED else None)
    add_runs(store, STUDY, RUNS)
    time.sleep(CLOCK_S)
    return store


def index_file(store: Store) -> Path:
    return store.study_folder(STUDY) / "index"


def without_index(store: Store) -> list[RunRecord]:
    """What the same store says where there is no index, nor can be one."""
    kept = store.study_folder(STUDY)
    aside = kept.with_name("aside")
    if kept.exists():
        kept.rename(aside)
    kept.write_text("no folder")
    try:
        return load_runs(store, STUDY)
    finally:
        kept.unlink()
        if aside.exists():
            aside.rename(kept)


def told(records: list[RunRecord]) -> list[dict[str, Any]]:
    """All that is known of runs, what is read late with it."""
    return [
        {
            **dict(record.values),
            "matrices": dict(record.matrices),
            "tables": dict(record.tables),
            "facts": record.facts,
            "unread": record.unread,
            "added": record.added,
            "condition": (record.name, record.condition, record.condition_id, record.seed, record.fold),
        }
        for record in records
    ]


def n_read(store: Store) -> int:
    """How many runs the index does not know."""
    found = Index.of(store, STUDY)
    for folder in store.study_runs(STUDY):
        found.read(folder)
    return found.n_read


def test_runs_are_read_once(store: Store) -> None:
    assert n_read(store) == 3
    first = told(load_runs(store, STUDY))
    assert n_read(store) == 0
    assert told(load_runs(store, STUDY)) == first == told(without_index(store))


def test_an_index_of_few_runs_is_not_worth_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTH", 4)
    load_runs(store, STUDY)
    assert not index_file(store).exists()


def test_a_run_that_changed_a_moment_ago_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another change within the same tick of the file system's clock would not show."""
    monkeypatch.setattr(index, "TICK_S", 2.0)
    load_runs(store, STUDY)
    assert n_read(store) == 3


def add_a_digit(file: Path) -> None:
    text = file.read_text()
    place = next(place for place, letter in enumerate(text) if letter.isdigit() and place > len(text) // 2)
    file.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])


@pytest.mark.parametrize(
    "name", ["config.json", "state.json", "history.jsonl", "result.json", "seal.json", "weights.safetensors"]
)
@pytest.mark.parametrize("change", [add_a_digit, Path.unlink, lambda file: file.write_text("{")])
def test_a_change_of_any_file_is_noticed(name: str, change: Callable[[Path], None], store: Store) -> None:
    """One digit of the same length too, and where the file's times are set back."""
    before = told(load_runs(store, STUDY))
    file = store.folder(RUNS[0].run_id).path / name
    if name == "weights.safetensors" and change is add_a_digit:
        file.write_bytes(b"weight")
    else:
        times = file.stat()
        change(file)
        if file.exists():
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    found = told(load_runs(store, STUDY))
    assert found == told(without_index(store))
    assert found != before


def test_a_run_under_way_is_looked_at_each_time(store: Store) -> None:
    folder = store.folder(RUNS[2].run_id)
    load_runs(store, STUDY)
    with folder.claim():
        folder.begin()
        time.sleep(CLOCK_S)
        assert load_runs(store, STUDY)[2].state is State.RUNNING
        assert load_runs(store, STUDY)[2].state is State.RUNNING
    assert load_runs(store, STUDY)[2].state is State.INTERRUPTED  # nothing was written: its lock is free


# What may happen to a run's folder, each as a function of its name.


def _trained_again(folder: RunFolder) -> None:
    run = next(run for run in RUNS if run.run_id == folder.run_id)
    fabricate_run(Store(folder.path.parent.parent), run, scene_skill=0.5)


def _begun(folder: RunFolder) -> None:
    folder.create(next(run for run in RUNS if run.run_id == folder.run_id))
    folder.begin()


def _shown(folder: RunFolder) -> None:
    folder.path.mkdir(exist_ok=True)
    folder.mlflow_file.write_text(json.dumps({STUDY: {"mlflow_run_id": time.monotonic_ns()}}))


def _scored_later(folder: RunFolder) -> None:
    folder.path.mkdir(exist_ok=True)
    (folder.path / "rescored.json").write_text(json.dumps({"metrics": {"later": 1, "nothing": None}}))


def _altered(name: str) -> Callable[[RunFolder], None]:
    def alter(folder: RunFolder) -> None:
        file = folder.path / name
        if file.exists():
            file.write_bytes(file.read_bytes()[::-1])

    return alter


def _removed(name: str) -> Callable[[RunFolder], None]:
    return lambda folder: (folder.path / name).unlink(missing_ok=True)


def _gone(folder: RunFolder) -> None:
    shutil.rmtree(folder.path, ignore_errors=True)


def _copied(folder: RunFolder) -> None:
    if folder.path.exists():
        shutil.copytree(folder.path, folder.path.with_name("copy"))
        shutil.rmtree(folder.path)
        folder.path.with_name("copy").rename(folder.path)


FILES = ("config.json", "state.json", "history.jsonl", "result.json", "seal.json", "mlflow.json", "log.txt")
CHANGES: list[Callable[[RunFolder], None]] = [
    _trained_again,
    _begun,
    _shown,
    _scored_later,
    _gone,
    _copied,
    *map(_altered, FILES),
    *map(_removed, (*FILES, "rescored.json", "weights.safetensors")),
]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(range(len(CHANGES)))), min_size=1, max_size=5))
def test_whatever_is_changed_the_index_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    for run in RUNS:
        fabricate_run(store, run, epochs=1)
    add_runs(store, STUDY, RUNS)
    time.sleep(CLOCK_S)
    load_runs(store, STUDY)
    for place, change in changes:
        CHANGES[change](store.folder(RUNS[place].run_id))
        time.sleep(CLOCK_S)
        assert told(load_runs(store, STUDY)) == told(without_index(store))


# What may happen to the index.


def test_an_index_of_any_other_bytes_is_as_good_as_none(store: Store) -> None:
    expected = told(load_runs(store, STUDY))
    whole = index_file(store).read_bytes()
    cut = [whole[:n] for n in (0, 1, 20, 60, 90, len(whole) // 2, len(whole) - 1)]
    flipped = [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(0, len(whole), 97)]
    other = [
        whole.replace(b"index 3", b"index 2", 1),
        whole.replace(b"little", b"big   ", 1),
        b"{}",
        b"\0" * 99,
    ]
    for content in [*cut, *flipped, *other]:
        index_file(store).write_bytes(content)
        assert n_read(store) == 3, content[:99]
        assert told(load_runs(store, STUDY)) == expected
        assert index_file(store).read_bytes()[:15] == b"ablate index 3,"  # written anew
        assert n_read(store) == 0


def test_a_folder_in_its_place_is_left_alone(store: Store) -> None:
    index_file(store).mkdir(parents=True)
    assert told(load_runs(store, STUDY)) == told(without_index(store))
    assert index_file(store).is_dir()
    assert list(index_file(store).parent.iterdir()) == [index_file(store)]


def test_where_nothing_can_be_written_nothing_is(store: Store) -> None:
    assert [record.state for record in without_index(store)] == ["finished", "failed", "pending"]
    assert not index_file(store).exists()


def test_a_moved_store_keeps_its_index_and_a_copy_gets_its_own(store: Store, tmp_path: Path) -> None:
    load_runs(store, STUDY)
    moved = Store(store.root.rename(tmp_path / "moved"))
    assert n_read(moved) == 0
    assert load_runs(moved, STUDY)[0].log == moved.folder(RUNS[0].run_id).log_file
    copy = Store(Path(shutil.copytree(moved.root, tmp_path / "copy")))
    assert n_read(copy) == 3
    time.sleep(CLOCK_S)
    assert told(load_runs(copy, STUDY)) == told(without_index(copy))
    assert n_read(copy) == 0


def test_of_two_that_write_one_wins_and_both_are_right(store: Store) -> None:
    both = [Index.of(store, STUDY), Index.of(store, STUDY)]
    folders = store.study_runs(STUDY)
    first = [both[0].read(folder) for folder in folders]
    second = [both[1].read(folder) for folder in folders]
    for each in both:
        each.write()
    assert first == second
    assert n_read(store) == 0


def test_numbers_stay_what_they_are(tmp_path: Path) -> None:
    """A whole number is printed as one, an undefined score is none, and a small difference is not lost."""
    store = Store(tmp_path)
    scores = {"whole": 3, "none": None, "small": 0.1 + 2**-55, "zero": -0.0, "large": 1e30}
    fabricate_run(store, RUNS[0], metrics=scores)
    fabricate_run(store, RUNS[1], metrics={name: each for name, each in scores.items() if name != "whole"})
    add_runs(store, STUDY, RUNS[:2])
    time.sleep(CLOCK_S)
    load_runs(store, STUDY)
    assert n_read(store) == 0
    first, second = load_runs(store, STUDY)
    assert json.dumps(dict(first.metrics)) == json.dumps(scores)
    assert list(second.metrics.items()) == [item for item in scores.items() if item[0] != "whole"]
    assert second.metrics == read(store.study_runs(STUDY)[1]).metrics
    assert second.metrics != first.metrics


def test_what_is_read_late_is_of_the_same_result(store: Store) -> None:
    record = load_runs(store, STUDY)[0]
    file = store.folder(RUNS[0].run_id).path / "result.json"
    result = json.loads(file.read_text())
    assert record.tables == result["tables"]
    later = load_runs(store, STUDY)[0]
    assert list(later.matrices) == list(result["matrices"])
    file.write_text(json.dumps({**result, "tables": {}}))
    with pytest.raises(Exception, match="was changed while it was read; type the command again"):
        dict(later.tables)


def test_states_are_known_for_a_plan(store: Store) -> None:
    load_runs(store, STUDY)
    known = Index.of(store, STUDY)
    for run in RUNS:
        folder = store.folder(run.run_id)
        assert known.status(folder) == folder.status()
    fabricate_run(store, RUNS[2])
    assert known.status(store.folder(RUNS[2].run_id)).state is State.FINISHED
