import json
import shutil
import time
from pathlib import Path

import pytest

from ablate.analysis.query import damages, frame, load_runs, sort_runs
from ablate.ground.errors import ConfigError, StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import DATASET, add_runs, fabricate_run, fabricate_study, make_run
from tests.no_scores import NO_SCORES

S1 = {"grl.position": "S1"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_record_says_what_was_asked_for_and_what_came_out(store: Store) -> None:
    run = make_run("grl_pos=S1", 3, S1, {"grl_pos": "S1"})
    fabricate_study(store, "s", [run], metrics={"scene_micro_f": 0.5})
    (record,) = load_runs(store, "s")
    assert record.run_id == run.run_id
    assert (record.name, record.condition, record.seed) == ("grl_pos=S1", {"grl_pos": "S1"}, 3)
    assert (record.state, record.cause) == (State.FINISHED, None)
    assert (record.dataset_name, record.dataset_digest) == (DATASET.name, DATASET.digest)
    assert record.config["grl.position"] == "S1"
    assert record.metrics == {"scene_micro_f": 0.5}
    assert record.duration_s is not None
    assert record.log == store.folder(run.run_id).log_file


def test_runs_come_in_the_order_of_planning(store: Store) -> None:
    seeds = [4, 0, 2]
    fabricate_study(store, "s", [make_run(seed=seed) for seed in seeds])
    assert [record.seed for record in load_runs(store, "s")] == seeds


def test_a_run_that_has_not_finished_has_no_scores(store: Store) -> None:
    failed, pending = make_run(seed=0), make_run(seed=1)
    fabricate_run(store, failed, state=State.FAILED, cause="out of memory")
    store.folder(failed.run_id).write_result({**NO_SCORES, "metrics": {"scene_micro_f": 0.9}})
    add_runs(store, "s", [failed, pending])
    first, second = load_runs(store, "s")
    assert (first.state, first.cause, first.metrics, first.duration_s) == (
        "failed",
        "out of memory",
        {},
        None,
    )
    assert (second.state, second.metrics, second.log) == ("pending", {}, None)


def test_the_mlflow_run_of_this_study_is_read_from_the_run_folder(store: Store) -> None:
    run = make_run()
    for study in ("a", "b", "c"):
        fabricate_study(store, study, [run])
    shown = {"a": {"mlflow_run_id": "aaa"}, "b": {"mlflow_run_id": "bbb"}}
    store.folder(run.run_id).mlflow_file.write_text(json.dumps(shown))
    assert [load_runs(store, study)[0].mlflow_run_id for study in ("a", "b", "c")] == ["aaa", "bbb", None]


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"s": 1}'])
def test_a_damaged_mlflow_file_is_no_mlflow_run(store: Store, damage: str) -> None:
    run = make_run()
    fabricate_study(store, "s", [run])
    store.folder(run.run_id).mlflow_file.write_text(damage)
    assert load_runs(store, "s")[0].mlflow_run_id is None


def test_every_damaged_run_is_named_and_none_of_its_numbers_used(store: Store) -> None:
    runs = [make_run(seed=seed) for seed in range(4)]
    fabricate_study(store, "s", runs)
    folders = [store.folder(run.run_id).path for run in runs]
    (folders[0] / "config.json").write_text("{")
    (folders[1] / "result.json").write_text('{"metrics"')
    shutil.rmtree(folders[2])
    records = load_runs(store, "s")
    assert [(record.seed, record.config["seed"]) for record in records] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [bool(record.metrics) for record in records] == [False, False, False, True]
    assert len({record.condition_id for record in records}) == 1
    assert [(damage.title, damage.path) for damage in damages(store, "s", records)] == [
        (f"baseline, seed {seed}", folder) for seed, folder in enumerate(folders[:3])
    ]
    whys = [damage.why for damage in damages(store, "s", records)]
    assert whys[0].startswith("config.json: Expecting property name")
    assert whys[1:] == ["result.json was changed after the run had finished", "its folder is gone"]


def test_a_condition_without_a_readable_run_is_named_all_the_same(store: Store) -> None:
    lost, whole = make_run("lost", settings={"grl.position": "S1"}), make_run()
    fabricate_study(store, "s", [lost, whole])
    shutil.rmtree(store.folder(lost.run_id).path)
    records = load_runs(store, "s")
    assert [record.name for record in records] == ["baseline"]
    assert [damage.title for damage in damages(store, "s", records)] == ["lost, seed 0"]


def test_an_unknown_study_is_an_error(store: Store) -> None:
    fabricate_study(store, "mutual", [make_run()])
    with pytest.raises(StudyError, match="did you mean 'mutual'"):
        load_runs(store, "mutal")


def test_many_runs_load_in_a_moment(store: Store) -> None:
    """2,000 runs take 0.35 s on two idle cores. The limit here is generous, for machines that are busy."""
    fabricate_study(store, "s", [make_run(seed=seed) for seed in range(500)])
    began = time.perf_counter()
    assert len(load_runs(store, "s")) == 500
    assert time.perf_counter() - began < 1.5


def test_the_frame_has_one_tidy_row_a_run(store: Store) -> None:
    fabricate_study(store, "s", [make_run("a", 0, S1, {"grl_pos": "S1"}), make_run("b", 1)])
    table = frame(load_runs(store, "s"))
    assert list(table["name"]) == ["a", "b"]
    assert list(table["grl.position"]) == ["S1", "none"]
    assert table["event_micro_f"].between(0, 1).all()
    assert list(table["grl_pos"].isna()) == [False, True]
    assert list(frame([]).columns)[:4] == ["run_id", "name", "seed", "state"]


def test_sorting_puts_runs_without_a_value_last_either_way(store: Store) -> None:
    for seed, score in enumerate([0.5, None, 0.9]):
        fabricate_study(store, "s", [make_run(seed=seed)], metrics={"event_micro_f": score})
    records = load_runs(store, "s")
    assert [record.seed for record in sort_runs(records, "event_micro_f")] == [0, 2, 1]
    assert [record.seed for record in sort_runs(records, "-event_micro_f")] == [2, 0, 1]
    with pytest.raises(ConfigError, match="did you mean 'event_micro_f'"):
        sort_runs(records, "event_mikro_f")
