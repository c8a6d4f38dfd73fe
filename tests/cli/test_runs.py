import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.errors import AblateError, ConfigError, StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import ablate_here as ablate
from tests.fabricate import add_runs, fabricate_run, fabricate_study, make_run
from tests.terminal import on_screen

S1 = {"grl.position": "S1"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A study of four runs, of which one has failed and one has not begun."""
    store = Store(tmp_path / "store")
    runs = [make_run(name, seed, how, how) for name, how in (("baseline", {}), ("S1", S1)) for seed in (0, 1)]
    fabricate_run(store, runs[0], metrics={"scene_micro_f": 0.8857, "event_f/car": 0.1})
    fabricate_run(store, runs[1], metrics={"scene_micro_f": 0.9, "event_f/car": None})
    fabricate_run(store, runs[2], state=State.FAILED, cause="out of memory")
    add_runs(store, "first", runs)
    return store


def as_json(*arguments: object, store: Store) -> list[dict[str, Any]]:
    content = json.loads(ablate("runs", *arguments, "--format", "json", store=store))
    assert list(content) == ["schema", "study", "runs"]
    return list(content["runs"])


def test_json_holds_each_run(store: Store) -> None:
    first, _, failed, pending = as_json(store=store)
    assert set(first) >= {
        "run_id",
        "name",
        "condition",
        "seed",
        "state",
        "cause",
        "metrics",
        "duration_s",
        "log",
    }
    assert (first["name"], first["seed"], first["state"], first["mlflow_run_id"]) == (
        "baseline",
        0,
        "finished",
        None,
    )
    assert first["metrics"] == {"scene_micro_f": 0.8857, "event_f/car": 0.1}
    assert (failed["state"], failed["cause"], failed["metrics"]) == ("failed", "out of memory", {})
    assert Path(failed["log"]).is_file()
    assert (pending["state"], pending["log"]) == ("pending", None)


def test_the_table_shows_scores_in_percent_and_why_runs_failed(store: Store) -> None:
    output = ablate("runs", store=store)
    assert "study first, 4 runs: 2 finished, 1 failed, 1 pending" in output
    assert "88.57" in output
    assert "S1, seed 0, failed: out of memory (" in output


def test_where_sort_and_columns(store: Store) -> None:
    assert [
        run["seed"] for run in as_json("--where", "state = finished", "--sort", "-scene_micro_f", store=store)
    ] == [1, 0]
    output = ablate("runs", "--where", "seed = 0", "--columns", "name,grl.position,optim.lr", store=store)
    assert [line.split() for line in output.splitlines()[4:6]] == [
        ["baseline", "none", "0.001"],
        ["S1", "S1", "0.001"],
    ]


def test_csv_has_every_value_or_the_columns_asked_for(store: Store) -> None:
    lines = list(csv.DictReader(io.StringIO(ablate("runs", "--format", "csv", store=store))))
    assert len(lines) == 4
    assert (lines[0]["scene_micro_f"], lines[0]["optim.lr"], lines[3]["scene_micro_f"]) == (
        "0.8857",
        "0.001",
        "",
    )
    assert ablate("runs", "--format", "csv", "--columns", "name,seed", store=store).splitlines()[:2] == [
        "name,seed",
        "baseline,0",
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--columns", "optim.lrr"], "unknown column 'optim.lrr'; did you mean 'optim.lr'"),
        (["--sort", "sed"], "did you mean 'seed'"),
        (["--where", "seeed = 1"], "did you mean 'seed'"),
        (["first", "--study", "second"], "'first' and --study 'second'"),
        (["frist"], "did you mean 'first'"),
    ],
)
def test_mistakes_say_what_was_meant(store: Store, arguments: list[str], complaint: str) -> None:
    with pytest.raises(AblateError, match=complaint):
        ablate("runs", *arguments, store=store)


def test_no_match_is_an_answer(store: Store) -> None:
    assert ablate("runs", "--where", "seed = 9", store=store) == "study first: no run matches --where\n"
    assert as_json("--where", "seed = 9", store=store) == []


def test_an_empty_study_is_an_answer(store: Store) -> None:
    add_runs(store, "empty", [])
    assert "no runs yet" in ablate(
        "runs", "empty", "--where", "x = 1", "--sort", "y", "--columns", "z", store=store
    )
    assert as_json("empty", store=store) == []


def test_the_study_last_planned_is_shown(store: Store) -> None:
    fabricate_study(store, "second", [make_run("late")])
    assert "study second" in ablate("runs", store=store)
    assert "study first" in ablate("runs", "first", store=store)
    assert "study first" in ablate("runs", "--study", "first", store=store)


def test_an_empty_store_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="start with `ablate grid`"):
        ablate("runs", store=Store(tmp_path))


def test_a_narrow_terminal_says_what_it_leaves_out(store: Store) -> None:
    fabricate_study(store, "wide", [make_run("shuffle=scene grl_pos=S1", seed) for seed in range(2)])
    lines = on_screen("runs", "--store", store.root, columns=70)
    assert max(map(len, lines)) <= 70
    assert "Left out for lack of width: scene_macro_f, event_macro_f" in "\n".join(lines)


def test_a_filter_error_points_at_its_place(store: Store) -> None:
    with pytest.raises(ConfigError) as caught:
        ablate("runs", "--where", "seed = ", store=store)
    assert str(caught.value).splitlines()[1:] == ["  seed = ", "        ^"]
