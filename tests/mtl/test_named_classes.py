"""The classes that a study names: which they are, and what is said of those that the data do not have."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ablate.design.study import plan_study
from ablate.design.studyfile import read_study_file
from ablate.ground.errors import ConfigError
from ablate.mtl.config import RunConfig
from ablate.mtl.definition import subject
from ablate.mtl.named_classes import Task, check_classes, classes_of, left_out, unknown_metric

KNOWN: Mapping[Task, Sequence[str]] = {"scene": ["home", "office"], "event": ["car", "fan", "people_talking"]}
EVENTS = "the event classes of the data are car, fan, people_talking; name these, or take other data"
SCENES = "the scene classes of the data are home, office; name these, or take other data"

STUDY = """\
name = "mine"
[set]
without = "fna"
[conditions]
mtl = {}
no_car = { labels.without = "cars+office" }
nothing = { tasks = "scene", without = "car, fan, people talking" }
[claims.C1]
text = "t"
metric = "event_f/people_talkin"
better = "mtl"
worse = "no_car"
[claims.C2]
text = "t"
metric = "scene_confusion/home+ofice"
better = "mtl"
than = ["scene_confusion/ofice/home", "scene_recall/fan", "scene_micro_f"]
[published.table]
metrics = ["event_f/zebra", "event_micro_f_without_fan"]
mtl = [1, 2]
"""


def problems(named: object, known: Mapping[Task, Sequence[str]] = KNOWN) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_classes(named, known)  # type: ignore[arg-type]
    return caught.value.problems


@pytest.mark.parametrize(
    ("metric", "task", "names"),
    [
        ("event_f/car", "event", ("car",)),
        ("scene_recall/office", "scene", ("office",)),
        ("scene_confusion/home+office", "scene", ("home", "office")),
        ("scene_confusion/home/office", "scene", ("home", "office")),
        ("event_micro_f", "event", ()),
        ("event_macro_f_without_fan", "event", ("fan",)),
    ],
)
def test_a_metric_names_classes(metric: str, task: str, names: tuple[str, ...]) -> None:
    named = classes_of("here", metric)
    assert (named.task, named.names) == (task, names)
    assert unknown_metric(metric) is None


@pytest.mark.parametrize("of", ["home", "home/home", "home+", "a/b/c", "/"])
def test_a_confusion_is_of_two_scenes(of: str) -> None:
    assert "name two scenes" in (unknown_metric(f"scene_confusion/{of}") or "")


def test_every_place_of_a_study_file_is_checked_and_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(STUDY)
    study = read_study_file(file).plan()
    assert [problem.removeprefix(f"{file}:") for problem in problems(study.expected)] == [
        "3: set.without: the data have no event class 'fna'; did you mean 'fan'?",
        "6: conditions.no_car.labels.without: the data have no event class 'cars'; did you mean 'car'?",
        "6: conditions.no_car.labels.without: the data have no event class 'office'; 'office' is of their "
        "scene classes",
        "7: conditions.nothing.without: all 3 event classes are left out; keep at least one",
        "10: claims.C1.metric: the data have no event class 'people_talkin'; did you mean 'people_talking'?",
        "15: claims.C2.metric: the data have no scene class 'ofice'; did you mean 'office'?",
        "17: claims.C2.than: the data have no scene class 'ofice'; did you mean 'office'?",
        "17: claims.C2.than: the data have no scene class 'fan'; 'fan' is of their event classes",
        "19: published.table.metrics: the data have no event class 'zebra'",
        EVENTS,
        SCENES,
    ]


def test_what_is_typed_is_checked(tmp_path: Path) -> None:
    base = RunConfig().override({"labels.without": "fna"})
    grid = plan_study("grid", subject, base, [], {"without": ["none", "cra", "fan+car"]})
    assert problems(grid.expected) == [
        "setting 'labels.without': the data have no event class 'fna'; did you mean 'fan'?",
        "factor 'without': the data have no event class 'cra'; did you mean 'car'?",
        EVENTS,
    ]
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[conditions]\nmtl = {}\n')
    study = read_study_file(file).plan(settings={"labels.without": "cra"})
    assert problems(study.expected)[0].startswith(
        "setting 'labels.without': the data have no event class 'cra'"
    )


def test_a_metric_without_fan_is_of_data_with_fan() -> None:
    named = [classes_of("here", "event_micro_f_without_fan")]
    check_classes(named, KNOWN)
    assert (
        problems(named, {"scene": ["home"], "event": ["car"]})[0]
        == "here: the data have no event class 'fan'"
    )


def test_data_without_events_do_for_who_names_none() -> None:
    check_classes(
        [left_out("here", "none"), classes_of("here", "scene_f/home")], {"scene": ["home"], "event": []}
    )
