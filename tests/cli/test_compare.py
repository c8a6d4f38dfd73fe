import csv
import io
import json
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError, StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import ablate_here as ablate
from tests.fabricate import add_runs, fabricate_study, make_run

S1 = {"grl.position": "S1"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    fabricate_study(store, "s", [make_run("baseline", seed) for seed in range(3)], scene_skill=0.9)
    fabricate_study(store, "s", [make_run("grl_pos=S1", seed, S1, S1) for seed in range(2)], scene_skill=0.5)
    failed = make_run("grl_pos=S1", 2, S1, S1)
    fabricate_study(store, "s", [failed], state=State.FAILED, cause="out of memory")
    return store


def test_the_table_has_the_four_headline_metrics_side_by_side(store: Store) -> None:
    lines = ablate("compare", store=store).splitlines()
    assert lines[2].split() == ["scene", "scene", "event", "event"]
    assert lines[3].split() == ["micro", "F", "macro", "F"] * 2
    assert lines[7].split()[:2] == ["grl_pos=S1", "2/3"]
    assert "Missing: seed 2 failed in grl_pos=S1." in lines


def test_json_is_one_document_and_nothing_else(store: Store) -> None:
    content = json.loads(ablate("compare", "--format", "json", store=store))
    assert [row["name"] for row in content["conditions"]] == ["baseline", "grl_pos=S1"]
    assert content["conditions"][1]["missing"] == [{"seed": 2, "state": "failed"}]


def test_metrics_and_baseline_can_be_chosen(store: Store) -> None:
    output = ablate(
        "compare",
        "s",
        "--metrics",
        "event_f/car, scene_micro_f",
        "--baseline",
        "grl_pos=S1",
        "--format",
        "csv",
        store=store,
    )
    lines = list(csv.DictReader(io.StringIO(output)))
    assert [(line["name"], line["metric"]) for line in lines] == [
        ("grl_pos=S1", "event_f/car"),
        ("grl_pos=S1", "scene_micro_f"),
        ("baseline", "event_f/car"),
        ("baseline", "scene_micro_f"),
    ]
    assert float(lines[3]["difference_mean"]) > 0


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv", "json"])
def test_a_file_holds_what_would_be_printed(store: Store, tmp_path: Path, form: str) -> None:
    file = tmp_path / "table"
    assert ablate("compare", "--format", form, "--output", file, store=store) == ""
    printed = ablate("compare", "--format", form, store=store)
    assert file.read_text(encoding="utf-8") == printed
    assert printed.endswith("\n")


def test_a_file_that_cannot_be_written_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.table: cannot be written \(No such file"):
        ablate("compare", "--output", tmp_path / "nowhere" / "table", store=store)


def test_a_study_without_results_is_an_error(store: Store) -> None:
    add_runs(store, "new", [make_run("grl_pos=S2", 7)])
    with pytest.raises(StudyError, match=r"no run has finished yet \(1 pending\)"):
        ablate("compare", "new", store=store)
