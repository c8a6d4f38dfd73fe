import csv
import io
import json
import re
from pathlib import Path

import pytest

from ablate.analysis import tables
from ablate.analysis.compare import Comparison, compare
from ablate.analysis.layout import Column, points, text_table
from ablate.analysis.query import load_runs
from ablate.design.runs import Run
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import CARD, add_runs, fabricate_run, make_run

S1, S2 = {"grl.position": "S1"}, {"grl.position": "S2"}


def scores(scene: float, event: float) -> dict[str, float | None]:
    return {"scene_micro_f": scene, "event_micro_f": event}


def plan(store: Store, runs: list[Run]) -> Comparison:
    add_runs(store, "s", runs)
    return compare(load_runs(store, "s"), "s")


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Three conditions of three seeds; seed 2 of S1 has failed, and seed 1 of S2 was never started."""
    store = Store(tmp_path)
    grid = {"baseline": {}, "grl_pos=S1": S1, "grl_pos=S2": S2}
    runs = {
        (name, seed): make_run(name, seed, how, {"grl_pos": how.get("grl.position", "none")})
        for name, how in grid.items()
        for seed in range(3)
    }
    for seed in range(3):
        fabricate_run(store, runs["baseline", seed], metrics=scores(0.80 + seed / 100, 0.40))
    for seed in range(2):
        fabricate_run(store, runs["grl_pos=S1", seed], metrics=scores(0.70 + seed / 50, 0.30 + seed / 100))
    fabricate_run(store, runs["grl_pos=S1", 2], state=State.FAILED, cause="out of memory")
    for seed in (0, 2):
        fabricate_run(store, runs["grl_pos=S2", seed], metrics=scores(0.30 + seed / 1000, 0.41 + seed / 100))
    return plan(store, list(runs.values()))


def test_the_table_by_eye(comparison: Comparison) -> None:
    lines = tables.terminal(comparison).splitlines()
    assert lines[0] == "study s: scores in %"
    assert lines[2].split() == ["scene", "event"]
    assert lines[3].split() == ["micro", "F", "micro", "F"]
    assert lines[6].split() == ["baseline", "3", "81.00", "±", "1.00", "40.00", "±", "0.00"]
    assert lines[7].split()[:8] == ["grl_pos=S1", "2/3", "71.00", "±", "1.41", "-9.50▼", "[-15.85,", "-3.15]"]
    assert "Missing: seed 2 failed in grl_pos=S1." in lines
    assert "Missing: seed 1 pending in grl_pos=S2." in lines


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200, None])
def test_no_width_cuts_a_number(comparison: Comparison, width: int | None) -> None:
    text = tables.terminal(comparison, width)
    means = re.compile(r"[\d.]+ ± [\d.]+")
    assert sorted(means.findall(text)) == sorted(means.findall(tables.markdown(comparison)))
    assert "…" not in text
    assert width is None or max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("name", tables.FORMATS)
def test_the_same_results_give_the_same_bytes(comparison: Comparison, name: str) -> None:
    assert tables.FORMATS[name](comparison) == tables.FORMATS[name](comparison)


def test_json_holds_everything(comparison: Comparison) -> None:
    content = json.loads(tables.json_text(comparison))
    assert list(content) == ["schema", "study", "baseline", "interval", "metrics", "conditions"]
    assert (content["study"], content["baseline"]) == ("s", "baseline")
    s1 = content["conditions"][1]
    assert (s1["name"], s1["condition"], s1["n"], s1["n_planned"]) == ("grl_pos=S1", {"grl_pos": "S1"}, 2, 3)
    assert s1["seeds"] == [0, 1]
    assert s1["missing"] == [{"seed": 2, "state": "failed"}]
    scene = s1["metrics"]["scene_micro_f"]
    assert set(scene) == {"mean", "sd", "n", "ci_low", "ci_high", "difference"}
    tests = {"p", "p_holm", "p_permutation", "effect", "improvement", "seeds_needed"}
    assert set(scene["difference"]) == {"mean", "sd", "n", "ci_low", "ci_high", *tests}
    assert list(s1["runs"]) == ["0", "1"]
    assert scene["mean"] == pytest.approx(0.71)
    assert scene["difference"]["mean"] == pytest.approx(-0.095)
    assert content["conditions"][0]["metrics"]["scene_micro_f"]["difference"] is None


def test_csv_has_a_line_for_each_condition_and_metric(comparison: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(tables.csv_text(comparison))))
    assert [(line["name"], line["metric"]) for line in lines][:3] == [
        ("baseline", "scene_micro_f"),
        ("baseline", "event_micro_f"),
        ("grl_pos=S1", "scene_micro_f"),
    ]
    assert (lines[2]["n"], lines[2]["n_planned"], lines[2]["missing"]) == ("2", "3", "2:failed")
    assert float(lines[2]["difference_mean"]) == pytest.approx(-0.095)
    assert lines[0]["difference_mean"] == ""


def test_markdown_is_a_table_of_equal_rows(comparison: Comparison) -> None:
    rows = [line for line in tables.markdown(comparison).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert len({row.count("|") for row in rows}) == 1
    assert rows[3].startswith("| grl_pos=S1 | 2/3 | 71.00 ± 1.41 | -9.50▼ [-15.85, -3.15] |")


def test_latex_escapes_names_and_flags_missing_seeds(comparison: Comparison) -> None:
    text = tables.latex(comparison)
    assert r"grl\_pos=S1 & 2/3 & $71.00 \pm 1.41$ & $-9.50^{\downarrow}\;[-15.85, -3.15]$" in text
    assert r"\begin{tabular}{lrrlrl}" in text
    assert "% Missing: seed 2 failed in grl_pos=S1." in text


def test_the_legend_counts_the_tests(comparison: Comparison) -> None:
    assert "for the 4 tests (paired t) of this table" in " ".join(tables.notes(comparison))


def test_a_failed_seed_of_the_baseline_is_flagged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [make_run(seed=0), make_run(seed=1), make_run("grl_pos=S1", 0, S1), make_run("grl_pos=S1", 1, S1)]
    for run in (runs[0], runs[2], runs[3]):
        fabricate_run(store, run, metrics=scores(0.5, 0.5 + run.seed + len(run.name)))
    fabricate_run(store, runs[1], state=State.INTERRUPTED)
    notes = tables.notes(plan(store, runs))
    assert "Missing: seed 1 interrupted in baseline." in notes
    assert "Not in Δ, for want of the same seed in the baseline: seed 1 of grl_pos=S1." in notes


def test_an_ablation_without_any_effect_is_flagged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    runs = [make_run(), make_run("grl_pos=S1", 0, S1)]
    for run in runs:
        fabricate_run(store, run, metrics=scores(0.5, 0.5))
    (note,) = [line for line in tables.notes(plan(store, runs)) if "take effect" in line]
    assert "grl_pos=S1" in note


def test_without_a_baseline_the_table_has_no_differences_and_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = make_run("mtl")
    fabricate_run(store, run, metrics=scores(0.5, 0.4))
    text = tables.terminal(plan(store, [run]))
    assert "Δ" not in text
    assert "--baseline NAME" in text


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("scene_micro_f", "scene micro F"),
        ("event_f/bird_singing", "event F bird singing"),
        ("event_micro_f_without_fan", "event micro F without fan"),
        ("scene_confusion/city_center/home", "scene confusion city center as home"),
        ("scene_confusion/city_center+home", "scene confusion city center with home"),
    ],
)
def test_metrics_read_as_words(metric: str, label: str) -> None:
    assert CARD.metrics.label(metric) == label


def test_a_wide_table_continues_below_with_the_label_repeated() -> None:
    label = Column(("name",), ("a", "b"), text=True)
    groups = [[Column(("x",), ("1", "2"))], [Column(("y",), ("3", "44"))]]
    assert text_table(label, [], groups, width=8) == "\n".join(
        ["name  x", "───────", "a     1", "b     2", "", "name   y", "────────", "a      3", "b     44"]
    )


def test_a_label_wraps_between_words_where_space_is_short() -> None:
    label = Column(("name",), ("shuffle=scene grl_pos=S1",), text=True)
    text = text_table(label, [], [[Column(("x",), ("1",))]], width=18)
    assert text.splitlines()[2:] == ["shuffle=scene    1", "  grl_pos=S1"]


def test_blocks_are_of_about_the_same_width() -> None:
    label = Column(("name",), ("a",), text=True)
    groups = [[Column((name,), ("1234",))] for name in "wxyz"]
    headings = [
        line.split()[1:] for line in text_table(label, [], groups, width=22).splitlines() if "name" in line
    ]
    assert headings == [["w", "x"], ["y", "z"]]  # three would fit


def test_a_difference_has_a_sign_and_nothing_is_plus_zero() -> None:
    assert [points(value) for value in (0.015, -0.1, 0.0, -0.00001)] == ["+1.50", "-10.00", "+0.00", "+0.00"]
