"""The subject of imported runs: described by its record alone, and never trained."""

import json
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.subject.levels import level_of, number_of, trouble_with
from ablate.subject.metrics import Metric
from ablate.subject.registry import open_subject
from ablate.subject.results import ResultsSubject
from ablate.subject.settings import Settings
from ablate.subject.sheet import places


def subject() -> ResultsSubject:
    metrics = [Metric("loss", "min"), Metric("accuracy", unit="%")]
    return ResultsSubject.of("digits", "r.csv", {"lr": "config.lr", "drop out": "do"}, metrics, "seed")


def test_is_opened_from_its_record_in_another_process() -> None:
    spec = json.loads(json.dumps(subject().card.to_json()["spec"]))
    opened = open_subject(spec)
    assert isinstance(opened, ResultsSubject)
    assert opened.name == "digits"
    assert [(m.name, m.best, m.unit) for m in opened.metrics] == [
        ("loss", "min", ""),
        ("accuracy", "max", "%"),
    ]
    assert opened.card == subject().card


def test_a_record_of_another_form_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigError, match="imported runs is not of this version"):
        ResultsSubject.from_spec({"kind": "results"})


def test_nothing_can_be_trained() -> None:
    with pytest.raises(ConfigError, match="'digits': its runs were imported; nothing can be trained"):
        subject().trainer("cpu")


def test_a_run_whose_import_was_cut_off_waits_for_no_data() -> None:
    assert subject().data.digest(Path("results.csv")) is None
    with pytest.raises(ConfigError, match="nothing can be trained"):
        subject().data.provide(None, Path("data"), print, ())


def test_each_factor_is_a_setting_whatever_its_name() -> None:
    config = subject().configure(Settings({"lr": 0.1, "drop out": "none", "seed": 3}))
    assert config.flat() == {"lr": 0.1, "drop out": "none", "seed": 3}
    assert config.override({"drop out": "0.5"}).get("drop out") == 0.5
    with pytest.raises(ConfigError, match="unknown setting 'lrr'; did you mean 'lr'"):
        config.override({"lrr": 1})


def test_the_card_says_where_each_factor_was() -> None:
    card = subject().card
    assert card.fields == {"lr": "lr", "drop out": "drop out", "seed": "seed"}
    assert subject().known_factors["lr"].help == "column 'config.lr' of r.csv"


@pytest.mark.parametrize(
    ("cell", "level"),
    [
        ("1", 1),
        ("1.0", 1),
        (1.0, 1),
        ("1e-3", 0.001),
        (".50", 0.5),
        ("-2", -2),
        ("TRUE", True),
        (False, False),
        ("adam", "adam"),
        ("007", "007"),
        ("0,1", "0,1"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("9" * 40, "9" * 40),
        (None, None),
    ],
)
def test_a_cell_is_the_same_level_whatever_stands_in_other_rows(cell: object, level: object) -> None:
    found = level_of(cell)
    assert found == level
    assert type(found) is type(level)


def test_a_number_with_a_comma_or_a_percent_sign_is_none() -> None:
    assert [number_of(text) for text in ("0,81", "81.2 %", "1,234.5", "n/a", "")] == [None] * 5


def test_what_to_do_is_said_for_each_kind_of_text() -> None:
    assert trouble_with("81.2 %").startswith("write 81.2 and leave the percent sign out, or 0.812 and --unit")
    assert trouble_with("81,2%").startswith("write 81.2 ")
    assert trouble_with("0,81").startswith("write 0.81, or say --decimal ,")
    assert trouble_with("n/a") == "leave the cell empty where the metric is undefined"


def test_places_are_said_in_a_few_words() -> None:
    assert places(["row 3"]) == "row 3"
    assert places(["row 3", "row 4"]) == "rows 3 and 4"
    assert places(["run a b (1)", "run c (2)"]) == "runs a b (1) and c (2)"
    assert places([f"row {n}" for n in range(2, 12)]) == "rows 2, 3, 4, 5, 6, 7 and 4 more"
