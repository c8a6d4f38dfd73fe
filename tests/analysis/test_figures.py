"""The pictures: what is drawn for which numbers, and that it can be drawn for odd ones."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ablate.analysis import evidence, figures
from ablate.analysis.compare import group_runs
from ablate.analysis.intervals import Difference, Summary
from ablate.analysis.query import load_runs
from ablate.mtl.data.vocabulary import SCENES
from ablate.record.store import Store
from tests.analysis.studies import lambda_study, paper_study
from tests.fabricate import fabricate_study, make_run

LABELS = ("home", "office")
MTL = np.array([[0.9, 0.1], [0.2, 0.8]])
GRL = np.array([[0.6, 0.4], [0.2, 0.8]])


def summary(mean: float, margin: float | None = 0.01) -> Summary:
    if margin is None:
        return Summary(mean, None, 1, None, None)
    return Summary(mean, margin, 3, mean - margin, mean + margin)


def texts(figure: Figure) -> list[str]:
    """All words and numbers in the picture."""
    svg = figures.inline_svg(figure)
    return [
        element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")
    ]


def test_a_confusion_matrix_shows_recall_in_percent() -> None:
    words = texts(figures.confusion_matrices({"mtl": MTL}, LABELS))
    assert {"mtl", "90.0", "10.0", "20.0", "80.0", "home", "office", "recall in %"} <= set(words)


def test_a_scene_that_never_occurs_has_a_dash() -> None:
    matrix = np.array([[1.0, 0.0], [np.nan, np.nan]])
    assert texts(figures.confusion_matrices({"mtl": matrix}, LABELS)).count("-") == 2


def test_differences_are_centred_on_zero_and_leave_the_baseline_out() -> None:
    figure = figures.confusion_differences({"mtl": MTL, "grl": GRL}, LABELS, "mtl")
    words = texts(figure)
    assert {"−30.0", "+30.0", "grl"} <= set(words)
    assert "mtl" not in words
    low, high = figure.axes[0].collections[0].get_clim()
    assert low == -high


def test_a_dollar_in_a_name_is_no_formula() -> None:
    assert "a$b_{c$" in texts(figures.confusion_matrices({"a$b_{c$": MTL}, LABELS))


def test_equal_matrices_differ_by_nothing() -> None:
    assert texts(figures.confusion_differences({"mtl": MTL, "same": MTL}, LABELS, "mtl")).count("0") >= 4


def test_the_forest_fills_the_marks_whose_interval_excludes_zero() -> None:
    sure = Difference(-0.1, 0.01, 5, -0.12, -0.08, 0.001)
    unsure = Difference(0.01, 0.05, 5, -0.05, 0.07, 0.6)
    single = Difference(0.02, None, 1, None, None, None)
    effects = {name: {"m": value} for name, value in {"a": sure, "b": unsure, "c": single, "d": None}.items()}
    figure = figures.forest(effects, ["m"])
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [mark.get_markerfacecolor() for mark in marks] == [figures.BLUE, figures.PAPER, figures.PAPER]
    assert [mark.get_xdata()[0] for mark in marks] == pytest.approx([-10, 1, 2])
    assert "no value" in texts(figure)


def test_zero_stands_left_of_a_break_in_a_logarithmic_axis() -> None:
    curve = figures.Curve("S1", (0.0, 0.1, 1.0, 10.0), tuple(map(summary, (0.9, 0.8, 0.6, 0.4))))
    figure = figures.factor_curves({"scene micro F": [curve]}, "lambda", {})
    ticks = figure.axes[0].get_xticks()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert dict(zip(labels, ticks, strict=True))["10"] == 1
    assert dict(zip(labels, ticks, strict=True))["0"] < -1
    assert texts(figure).count("/") == 2


def test_a_factor_within_a_decade_has_a_plain_axis_and_single_seeds_have_no_band() -> None:
    curve = figures.Curve("all", (10.0, 20.0, 30.0), (summary(0.1, None), summary(0.2, None), summary(0.3)))
    figure = figures.factor_curves({"m": [curve]}, "optim.epochs", {"m": ("baseline", summary(0.5))})
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["10", "20", "30"]
    assert "baseline" in texts(figure)


def test_classes_without_a_score_are_left_out_of_the_changes() -> None:
    figure = figures.class_changes({"mtl": [0.5, None, 0.2], "grl": [0.4, 0.3, 0.6]}, ("a", "b", "c"), "mtl")
    ends = [line for line in figure.axes[0].lines if line.get_marker() in "os"]
    assert [(line.get_marker(), round(line.get_xdata()[0])) for line in ends] == [("s", 40), ("o", 60)]


def test_learning_curves_take_seeds_of_different_length() -> None:
    losses = np.array([[1.0, 0.5, 0.25], [2.0, 1.0, np.nan]])
    figure = figures.learning_curves({"mtl": figures.Learning({"scene loss": losses})}, "mtl")
    means = figure.axes[0].lines[0].get_ydata()
    assert means == pytest.approx([1.5, 0.75, 0.25])


@pytest.mark.parametrize(("panels", "columns"), [(0, 1), (1, 1), (4, 4), (5, 3), (7, 4), (8, 4), (9, 3)])
def test_panels_fill_their_rows(panels: int, columns: int) -> None:
    assert figures._columns(panels) == columns


def test_an_inline_picture_follows_the_page_and_is_the_same_each_time() -> None:
    effects = {"a": {"m": Difference(-0.1, 0.01, 5, -0.12, -0.08, 0.001)}}
    first, again = (figures.inline_svg(figures.forest(effects, ["m"])) for _ in range(2))
    assert first == again
    assert first.startswith("<svg")
    assert "var(--ink" in first
    assert "var(--blue" in first
    assert "<metadata" not in first
    assert not re.search(r'(href|src)="(?!#)', first)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_a_picture_can_be_saved(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"picture{suffix}"
    figures.save(figures.confusion_matrices({"mtl": MTL}, LABELS), file)
    assert file.stat().st_size > 1000


# What the pictures show of a study.


def test_confusions_are_averaged_over_the_finished_seeds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paper_study(store, seeds=2, systems=("single_sed", "mtl"))
    runs = load_runs(store, "paper")
    (found,) = evidence.mean_confusions(group_runs(runs))
    assert (found.name, found.labels) == ("scene_confusion", tuple(SCENES))
    assert list(found.matrices) == ["mtl"]  # the other classifies no scenes
    recalls = [run.metrics["scene_recall/office"] for run in runs if run.name == "mtl"]
    assert found.matrices["mtl"][2, 2] == pytest.approx(np.mean(recalls))


def test_a_line_goes_along_one_factor_and_the_baseline_is_on_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lambda_study(store, seeds=2)
    (found,) = evidence.factor_curves(group_runs(load_runs(store, "lambda")), ["scene_micro_f"])
    assert found.factor == "lambda"
    lines = found.metrics["scene_micro_f"]
    assert [(line.label, line.levels) for line in lines] == [
        ("grl_pos=S1", (0.0, 0.01, 0.1, 1.0, 10.0)),
        ("grl_pos=E1", (0.0, 0.01, 0.1, 1.0, 10.0)),
    ]


def test_a_setting_swept_by_its_dotted_name_is_a_factor_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    levels = (1e-4, 1e-3, 1e-2)
    runs = [make_run(f"optim.lr={lr}", 0, {"optim.lr": lr}, {"optim.lr": lr}) for lr in levels]
    fabricate_study(store, "s", runs)
    (found,) = evidence.factor_curves(group_runs(load_runs(store, "s")), ["event_micro_f"])
    assert [(line.label, line.levels) for line in found.metrics["event_micro_f"]] == [
        ("over optim.lr", levels)
    ]


def test_the_nine_systems_have_no_curve_over_a_factor(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paper_study(store, seeds=1)
    assert evidence.factor_curves(group_runs(load_runs(store, "paper")), ["scene_micro_f"]) == []
