import json
from pathlib import Path

import pytest

from ablate.analysis import verdicts
from ablate.analysis.claims import judge
from ablate.analysis.query import load_runs
from ablate.ground.errors import ConfigError, StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import DETAILS, paper_study
from tests.command import ablate_here as ablate
from tests.fabricate import add_runs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Scene scores differ by far; event scores of C1 by less than their spread. One seed has failed."""
    store = Store(tmp_path_factory.mktemp("store"))
    paper_study(store, 5, unfinished={("grl_s1", 3): State.FAILED})
    return store


def test_each_claim_has_its_verdict_and_evidence(store: Store) -> None:
    lines = ablate("claims", "paper", store=store).splitlines()
    assert lines[0] == "study paper: 3 claims: 2 supported, 1 inconclusive"
    assert lines[2].split()[:2] == ["C1", "inconclusive"]
    assert lines[3].strip().startswith("Event micro F of mtl minus that of grl_s1 +")
    assert lines[3].endswith("would support it.")
    assert lines[5].split()[:2] == ["C2", "supported"]
    assert lines[6].endswith("all 3 95 % CIs lie above 0.")
    assert "Missing: seed 3 failed in grl_s1." in lines


def test_json_holds_everything(store: Store) -> None:
    content = json.loads(ablate("claims", "paper", "--format", "json", store=store))
    c1, c2, _ = content["claims"]
    assert (c1["id"], c1["metric"], c1["better"], c1["margin"]) == ("C1", "event_micro_f", ["mtl"], 0.0)
    assert (c1["verdict"], c1["missing"]) == ("inconclusive", {"grl_s1": [{"seed": 3, "state": "failed"}]})
    assert c1["seeds_needed"] > 5
    grl_s1 = c1["comparisons"][0]
    assert (grl_s1["seeds"], grl_s1["missing"]) == ([0, 1, 2, 4], [3])
    assert len(grl_s1["better_runs"]) == len(grl_s1["worse_runs"]) == grl_s1["difference"]["n"] == 4
    assert [comparison["outcome"] for comparison in c2["comparisons"]] == ["for"] * 3


def test_markdown_is_a_table_of_equal_rows(store: Store) -> None:
    rows = [
        line
        for line in ablate("claims", "paper", "--format", "markdown", store=store).splitlines()
        if line[0:1] == "|"
    ]
    assert len(rows) == 2 + 3
    assert {row.count("|") for row in rows} == {5}
    assert "| **supported** |" in rows[3]


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_a_file_holds_what_would_be_printed(store: Store, tmp_path: Path, form: str) -> None:
    file = tmp_path / "claims"
    assert ablate("claims", "--format", form, "--output", file, store=store) == ""
    assert file.read_text(encoding="utf-8") == ablate("claims", "--format", form, store=store)


@pytest.mark.parametrize("width", [60, 100])
def test_a_narrow_terminal_breaks_no_interval(store: Store, width: int) -> None:
    text = verdicts.terminal("paper", judge(load_runs(store, "paper"), DETAILS), width)
    assert max(map(len, text.splitlines())) <= width
    assert not [line for line in text.splitlines() if line.count("[") != line.count("]")]


def test_some_runs_can_be_judged_alone(store: Store) -> None:
    content = json.loads(ablate("claims", "--where", "seed < 2", "--format", "json", store=store))
    assert content["claims"][0]["comparisons"][0]["seeds"] == [0, 1]


def test_a_study_without_claims_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_runs(store, "none", [])
    assert ablate("claims", "none", store=store) == f"study none: {verdicts.NO_CLAIMS}\n"
    assert json.loads(ablate("claims", "none", "--format", "json", store=store))["claims"] == []
    with pytest.raises(StudyError, match="no study 'nine' in"):
        ablate("claims", "nine", store=store)


def test_the_study_says_what_is_the_baseline(store: Store) -> None:
    content = json.loads(ablate("compare", "paper", "--format", "json", store=store))
    assert (content["baseline"], content["conditions"][0]["name"]) == ("mtl", "mtl")
    content = json.loads(ablate("compare", "paper", "--baseline", "grl_s1", "--format", "json", store=store))
    assert content["baseline"] == "grl_s1"


def test_a_layout_shows_published_beside_reproduced(store: Store) -> None:
    lines = ablate("compare", "paper", "--layout", "table3", store=store).splitlines()
    assert lines[4].split() == ["condition", "n", *["paper", "ours", "Δ"] * 4]
    assert lines[6].split()[:3] == ["single_asc", "5", "85.00"]
    content = json.loads(ablate("compare", "paper", "--layout", "table4", "--format", "json", store=store))
    assert content["metrics"][0] == "event_f/bird_singing"
    assert content["left_out"] == ["single_asc"]
    with pytest.raises(ConfigError, match="leave out --baseline"):
        ablate("compare", "paper", "--layout", "table3", "--baseline", "mtl", store=store)


def test_bootstrap_intervals_on_request_repeat_for_a_seed(store: Store) -> None:
    asked = ("compare", "paper", "--ci", "percentile", "--format", "json", "--metrics", "event_micro_f")
    first = ablate(*asked, "--ci-seed", 1, store=store)
    assert json.loads(first)["interval"] == "percentile"
    assert first == ablate(*asked, "--ci-seed", 1, store=store) != ablate(*asked, store=store)
