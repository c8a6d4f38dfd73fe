import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis import published
from ablate.analysis.published import PublishedTable, published_table
from ablate.analysis.query import load_runs
from ablate.design.claims import StudyDetails
from ablate.ground.errors import ConfigError, StudyError
from ablate.mtl.definition import TABLE3, TABLE4
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import add_runs, fabricate_run, make_run

DETAILS = StudyDetails(
    published={
        "asc": {"scene_micro_f": 0.85},
        "mtl & co": {"scene_micro_f": 0.8857, "event_micro_f": 0.4463},
        "grl_s1": {"scene_micro_f": 0.7789, "event_micro_f": 0.4008},
    },
    source="Paper & Co. 2022, Table 3",
)
METRICS = ("scene_micro_f", "event_micro_f")


def make_store(root: Path) -> Store:
    """Scene-only "asc", then "mtl & co" with two seeds, then "grl_s1", whose seed 1 has failed."""
    store = Store(root)
    grid = {
        "asc": ({"tasks": "scene"}, {"scene_micro_f": 0.80}),
        "mtl & co": ({}, {"scene_micro_f": 0.90, "event_micro_f": 0.40}),
        "grl_s1": ({"grl.position": "S1"}, {"scene_micro_f": 0.70, "event_micro_f": None}),
    }
    for name, (settings, scores) in grid.items():
        for seed in range(2):
            run = make_run(name, seed, settings)
            higher = {metric: value and value + 0.02 * seed for metric, value in scores.items()}
            state = State.FAILED if (name, seed) == ("grl_s1", 1) else State.FINISHED
            fabricate_run(store, run, state=state, metrics=higher)
            add_runs(store, "s", [run])
    return store


@pytest.fixture
def table(tmp_path: Path) -> PublishedTable:
    return published_table(load_runs(make_store(tmp_path), "s"), "s", DETAILS, metrics=METRICS)


def test_rows_stand_in_the_order_of_the_study(table: PublishedTable) -> None:
    assert [row.name for row in table.rows] == ["asc", "mtl & co", "grl_s1"]


def test_the_difference_is_ours_minus_the_papers(table: PublishedTable) -> None:
    cell = table.rows[1].cells["scene_micro_f"]
    assert cell.summary is not None
    assert (cell.published, cell.summary.mean, cell.summary.n) == (0.8857, pytest.approx(0.91), 2)
    assert cell.difference == pytest.approx(0.0243)
    assert table.rows[0].cells["event_micro_f"].difference is None


def test_the_table_by_eye(table: PublishedTable) -> None:
    lines = published.terminal(table).splitlines()
    assert lines[0] == "study s: scores in %"
    assert lines[2].split() == ["scene", "event"]
    assert lines[4].split() == ["condition", "n", *["paper", "ours", "Δ"] * 2]
    assert lines[6].split() == ["asc", "2", "85.00", "81.00", "±", "1.41", "-4.00", "-", "-"]
    assert lines[8].split() == ["grl_s1", "1/2", "77.89", "70.00", "-7.89", "40.08", "-"]
    assert "Missing: seed 1 failed in grl_s1." in lines
    assert "published, Paper & Co. 2022, Table 3" in lines[10]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_it_fits_the_terminal_in_blocks(table: PublishedTable, width: int) -> None:
    text = published.terminal(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("92.00") + text.count("91.00 ± 1.41") == 1


@pytest.mark.parametrize("name", published.FORMATS)
def test_the_same_results_give_the_same_bytes(table: PublishedTable, name: str, tmp_path: Path) -> None:
    again = published_table(load_runs(make_store(tmp_path / "again"), "s"), "s", DETAILS, metrics=METRICS)
    assert published.FORMATS[name](table) == published.FORMATS[name](again)


def test_markdown_is_a_table_of_equal_rows(table: PublishedTable) -> None:
    rows = [line for line in published.markdown(table).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert {row.count("|") for row in rows} == {2 + 1 + 6}


def latex_problems(text: str) -> list[str]:
    """What LaTeX would complain of in a tabular: the checks a compiler makes first."""
    code = [line for line in text.splitlines() if not line.startswith("%")]
    body = "\n".join(code)
    problems = []
    unescaped = re.sub(r"\\[&%$#_{}]", "", body)
    if unescaped.count("{") != unescaped.count("}"):
        problems.append("unbalanced braces")
    if unescaped.count("$") % 2:
        problems.append("unbalanced $")
    if re.findall(r"\\begin{(\w+)}", body) != re.findall(r"\\end{(\w+)}", body):
        problems.append("unbalanced environments")
    if re.search(r"[#%_^~]", re.sub(r"\$[^$]*\$", "", unescaped)):
        problems.append("unescaped special")
    if not unescaped.isascii():
        problems.append("a character that is not ASCII")
    n_columns = len(re.findall(r"\\begin{tabular}{([lrc]+)}", body)[0])
    for line in code:
        if line.endswith(r"\\"):
            spans = [int(n) for n in re.findall(r"\\multicolumn{(\d+)}", line)]
            cells = len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans) - len(spans)
            if cells != n_columns:
                problems.append(f"{cells} cells for {n_columns} columns: {line}")
    return problems


def test_latex_compiles_by_the_look_of_it(table: PublishedTable) -> None:
    text = published.latex(table)
    assert latex_problems(text) == []
    assert r"\begin{tabular}{lrrrrrrr}" in text
    assert r"mtl \& co & 2 & $88.57$ & $91.00 \pm 1.41$ & $+2.43$ & $44.63$" in text
    assert r"\cmidrule(lr){3-5}\cmidrule(lr){6-8}" in text
    assert latex_problems(text.replace(r"\&", "&")) != []
    assert latex_problems(text.replace("$91.00", "91.00")) != []


def test_latex_of_the_comparison_compiles_by_the_look_of_it(tmp_path: Path) -> None:
    from ablate.analysis import tables
    from ablate.analysis.compare import compare

    records = load_runs(make_store(tmp_path), "s")
    for baseline in (None, "mtl & co"):
        assert latex_problems(tables.latex(compare(records, "s", baseline))) == []


def test_latex_without_published_scores_has_a_column_a_metric(tmp_path: Path) -> None:
    table = published_table(load_runs(make_store(tmp_path), "s"), "s", StudyDetails(), metrics=METRICS)
    text = published.latex(table)
    assert r"\begin{tabular}{lrrr}" in text
    assert latex_problems(text) == []
    assert "states no published scores" in text


def test_csv_and_json_name_the_runs_and_keep_fractions(table: PublishedTable) -> None:
    lines = list(csv.DictReader(io.StringIO(published.csv_text(table))))
    assert len(lines) == 3 * 2
    assert float(lines[2]["difference"]) == pytest.approx(0.0243)
    assert (lines[4]["n"], lines[4]["missing"], lines[5]["mean"]) == ("1", "1:failed", "")
    content = json.loads(published.json_text(table))
    mtl = content["conditions"][1]
    assert list(mtl["runs"]) == ["0", "1"]
    assert mtl["runs"]["0"] in lines[2]["runs"]
    assert mtl["metrics"]["scene_micro_f"]["published"] == 0.8857


def test_what_has_none_of_the_metrics_is_left_out_and_named(tmp_path: Path) -> None:
    records = load_runs(make_store(tmp_path), "s")
    table = published_table(records, "s", DETAILS, metrics=["event_micro_f"])
    assert [row.name for row in table.rows] == ["mtl & co", "grl_s1"]
    assert "Without any of these metrics, and left out: asc." in published.notes(table)


def test_the_layout_of_a_table_shows_what_the_data_have(tmp_path: Path) -> None:
    records = load_runs(make_store(tmp_path), "s")
    assert published_table(records, "s", DETAILS, TABLE3).metrics == METRICS
    details = replace(DETAILS, published={"grl_s1": {"event_f/car": 0.4346}})
    assert published_table(records, "s", details, TABLE4).metrics == ("event_f/car",)
    with pytest.raises(StudyError, match=r"no value of event_f/bird_singing.*choose others with --metrics"):
        published_table(records, "s", DETAILS, TABLE4)
    with pytest.raises(ConfigError, match="unknown metric 'event_f/cra'"):
        published_table(records, "s", details, metrics=["event_f/cra"])
    with pytest.raises(StudyError, match="has no runs"):
        published_table([], "s", DETAILS)
