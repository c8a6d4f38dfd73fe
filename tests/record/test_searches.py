"""The ledger of a search: whole lines, one a trial, and what a kill or an edit leaves of them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.ground.errors import StoreError
from ablate.record.searches import SearchFolder, Trial, TrialNumbers, origin, write_origin
from ablate.record.store import Store
from tests.schedule.test_search import plan

FIRST = Trial(0, "baseline", {"lr": 0.1}, (), ("a" * 16,))
SECOND = Trial(1, "lr=0.2", {"lr": 0.2}, (0,), ("b" * 16, "c" * 16))
AGAIN = Trial(2, "baseline", {"lr": 0.1}, (1,), ("a" * 16,), same_as=0)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    folder = SearchFolder.of(Store(tmp_path), "s")
    with folder.claim():
        folder.write_plan(plan())
        for trial in (FIRST, SECOND, AGAIN):
            folder.append(trial)
    return folder


def test_what_was_written_is_read(folder: SearchFolder) -> None:
    assert folder.exists()
    assert folder.plan() == plan()
    assert folder.trials() == [FIRST, SECOND, AGAIN]


def test_a_study_without_a_plan_is_no_search(tmp_path: Path) -> None:
    assert not SearchFolder.of(Store(tmp_path), "s").exists()
    assert SearchFolder.of(Store(tmp_path), "s").trials() == []


def test_a_line_that_a_kill_has_torn_is_no_trial(folder: SearchFolder) -> None:
    whole = folder.trials_file.read_bytes()
    folder.trials_file.write_bytes(whole + b'{"number":3,"name":"lr=0')
    assert folder.trials() == [FIRST, SECOND, AGAIN]
    folder.mend()
    assert folder.trials_file.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [
        '{"number":4,"name":"x","draws":{},"after":[]}\n',  # 3 is missing
        '{"number":3,"name":"x","draws":{"lr":[1]},"after":[]}\n',
        '{"number":3,"name":"x","draws":{},"after":[],"extra":1}\n',
        "nonsense\n",
    ],
)
def test_a_damaged_ledger_is_a_sentence(damage: str, folder: SearchFolder) -> None:
    with folder.trials_file.open("a") as file:
        file.write(damage)
    with pytest.raises(StoreError, match=r"trials.jsonl: damaged .* Choose another name"):
        folder.trials()


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 1, "seed": "zero"}', "[]"])
def test_a_damaged_plan_is_a_sentence(content: str, folder: SearchFolder) -> None:
    folder.plan_file.write_text(content)
    with pytest.raises(StoreError, match=r"search.json: .* --study"):
        folder.plan()


def test_another_process_cannot_search_there(folder: SearchFolder) -> None:
    other = SearchFolder(folder.path, "s")
    with (
        folder.claim(),
        pytest.raises(StoreError, match="another process is searching in study 's'"),
        other.claim(),
    ):
        pass


def test_plans_that_differ_say_in_what(folder: SearchFolder) -> None:
    assert folder.plan().differences(plan()) == []
    other = replace(plan(seed=3), objectives={"score": "min"}, base={"lr": 0.2})
    assert folder.plan().differences(other) == [
        "objective score max, now min",
        "search seed 0, now 3",
        "setting lr none, now 0.2",
    ]
    assert folder.plan().differences(plan("random"))[0] == "sampler tpe, now random"


def test_a_run_belongs_to_the_trial_that_asked_for_it_first(folder: SearchFolder) -> None:
    numbers, another = TrialNumbers(folder), TrialNumbers(folder)
    assert another.of("a" * 16) == 0
    assert [numbers.of(letter * 16) for letter in "abcd"] == [0, 1, 1, None]
    folder.append(Trial(3, "lr=0.3 and a longer name", {"lr": 0.3}, (2,), ("d" * 16,)))
    assert numbers.of("d" * 16) == another.of("d" * 16) == 3
    folder.append(Trial(4, "lr=0.4", {"lr": 0.4}, (3,), ("e" * 16,)))
    assert numbers.of("e" * 16) == another.of("e" * 16) == 4


def test_a_study_knows_the_search_whose_best_it_trains(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert origin(store, "s.best") is None
    write_origin(store, "s.best", "s")
    assert origin(store, "s.best") == "s"


def test_what_a_search_writes_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    folder, best = SearchFolder.of(store, "s"), store.study_folder("s.best")
    flushed: list[set[str]] = []  # the files that had their names when a flush began
    flush = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append({file.name for file in tmp_path.rglob("[!.]*.json*")})
        flush(descriptor)

    for path in (folder.path, best):
        path.mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", watched)
    folder.write_plan(plan())
    assert flushed == [set(), {"search.json"}]
    write_origin(store, "s.best", "s")
    assert flushed[2:] == [{"search.json"}, {"search.json", "origin.json"}]
    folder.append(FIRST)
    folder.append(SECOND)
    assert len(flushed) == 4 + 2 + 1  # lines, and once the name of the new ledger
