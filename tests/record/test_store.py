"""The store: which runs belong to which study."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.ground.errors import StoreError, StudyError
from ablate.mtl.config import RunConfig
from ablate.record.store import Store, default_root
from ablate.subject.interface import Dataset
from tests.fabricate import BASE, CARD, run_of

DATA = Dataset("tiny", "d" * 64, Path("data"))
RUNS = [run_of(RunConfig(seed=seed), DATA) for seed in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "mlruns")


def ids(store: Store, study: str) -> list[str]:
    return [folder.run_id for folder in store.study_runs(study)]


def test_a_study_grows_and_holds_each_run_once(store: Store) -> None:
    store.add_to_study("first", RUNS[:2], "ablate grid ...", card=CARD, base=BASE)
    store.add_to_study("first", RUNS, "ablate grid ...", card=CARD, base=BASE)
    assert ids(store, "first") == [run.run_id for run in RUNS]


def test_studies_share_runs(store: Store) -> None:
    store.add_to_study("first", RUNS[:2], "a", card=CARD, base=BASE)
    store.add_to_study("second", RUNS[1:], "b", card=CARD, base=BASE)
    assert ids(store, "first")[1] == ids(store, "second")[0]
    assert len(list(store.runs.iterdir())) == 3


def test_studies_that_share_a_run_may_call_its_condition_differently(store: Store) -> None:
    store.add_to_study("first", RUNS[:1], "a", card=CARD, base=BASE)
    store.add_to_study(
        "second", [replace(RUNS[0], name="mtl", condition={"grl_pos": "none"})], "b", card=CARD, base=BASE
    )
    (first,), (second,) = store.study_runs("first"), store.study_runs("second")
    assert first.path == second.path
    assert (first.run().name, first.run().condition) == ("baseline", {})
    assert (second.run().name, second.run().condition) == ("mtl", {"grl_pos": "none"})


def test_what_is_unknown_of_a_run_in_a_study_is_left_alone(store: Store) -> None:
    store.add_to_study("first", RUNS[:1], "a", card=CARD, base=BASE)
    file = store.root / "studies" / "first.json"
    record = json.loads(file.read_text())
    for called in record["runs"].values():
        called["more"] = "as a later version may write"
    file.write_text(json.dumps(record))
    assert [folder.name for folder in store.study_runs("first")] == ["baseline"]


def test_the_study_last_planned_is_the_default(store: Store) -> None:
    store.add_to_study("first", RUNS, "a", card=CARD, base=BASE)
    store.add_to_study("second", RUNS, "b", card=CARD, base=BASE)
    os.utime(store.root / "studies" / "first.json", (1, 1))
    assert store.choose_study(None) == "second"
    assert store.choose_study("first") == "first"


def test_an_unknown_study_is_refused_with_the_nearest_name(store: Store) -> None:
    store.add_to_study("first", RUNS, "a", card=CARD, base=BASE)
    with pytest.raises(StudyError, match=r"no study 'frist'.*did you mean 'first'"):
        store.choose_study("frist")


def test_an_empty_store_says_how_to_begin(store: Store) -> None:
    with pytest.raises(StudyError, match="start with `ablate grid`"):
        store.choose_study(None)
    with pytest.raises(StudyError, match="start with `ablate grid`"):
        store.study_runs("any")


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a b", "x" * 101])
def test_a_study_name_that_is_no_file_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(StudyError, match="use letters"):
        store.add_to_study(name, RUNS, "a", card=CARD, base=BASE)


def test_reading_creates_nothing(store: Store) -> None:
    assert store.study_names() == []
    assert store.finished_runs() == []
    assert not store.root.exists()


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be written.*--store"):
        Store(tmp_path / "file").require_writable()
    with pytest.raises(StoreError, match="cannot be written"):
        Store(Path("/proc/mlruns")).require_writable()


def test_the_environment_names_the_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_STORE", "elsewhere")
    assert default_root() == Path("elsewhere")
    monkeypatch.delenv("ABLATE_STORE")
    assert default_root() == Path("mlruns")
