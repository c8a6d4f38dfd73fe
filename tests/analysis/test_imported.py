"""Tables of runs from elsewhere: read as they are, with every bad cell named by its row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ablate.analysis.imported import Roles, Rows, choose_roles, example_command, look_at, read_rows
from ablate.analysis.sheets import read_sheet
from ablate.ground.errors import ConfigError, DataError
from ablate.subject.sheet import Sheet

GOOD = """lr,dropout,seed,accuracy,loss
0.1,0,0,0.81,1.2
0.1,0,1,0.83,1.1
0.01,0,0,0.71,1.5
0.01,0,1,0.74,1.4
"""


def sheet_of(folder: Path, text: str | bytes, name: str = "results.csv", decimal: str = ".") -> Sheet:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_sheet(str(file), decimal)


def rows_of(
    folder: Path,
    text: str | bytes,
    factors: str = "lr,dropout",
    metrics: Sequence[str] = ("accuracy",),
    **told: Any,
) -> Rows:
    sheet = sheet_of(folder, text)
    return read_rows(sheet, choose_roles(sheet, [factors], metrics, **told))


def problems(folder: Path, text: str, **told: Any) -> list[str]:
    with pytest.raises((DataError, ConfigError)) as caught:
        rows_of(folder, text, **told)
    return caught.value.problems


# ------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        '"' + GOOD.replace(",", '","').replace("\n", '"\n"').removesuffix('"'),
        GOOD.replace(",", " , "),
        GOOD.removesuffix("\n") + "\n\n\n",
    ],
    ids=["comma", "semicolon", "tab", "bom", "windows", "quoted", "blanks", "blank rows"],
)
def test_a_csv_file_of_any_dialect_has_the_same_rows(tmp_path: Path, text: str) -> None:
    found = rows_of(tmp_path, text).rows
    assert [(row.place, dict(row.levels), row.seed, row.metrics["accuracy"]) for row in found] == [
        ("row 2", {"lr": 0.1, "dropout": 0}, 0, 0.81),
        ("row 3", {"lr": 0.1, "dropout": 0}, 1, 0.83),
        ("row 4", {"lr": 0.01, "dropout": 0}, 0, 0.71),
        ("row 5", {"lr": 0.01, "dropout": 0}, 1, 0.74),
    ]
    assert found[0].name == "lr=0.1 dropout=0"


def test_a_file_that_excel_saved_as_unicode_text_is_read(tmp_path: Path) -> None:
    content = GOOD.replace(",", "\t").encode("utf-16")
    assert len(rows_of(tmp_path, content).rows) == 4


def test_decimal_commas_are_read_when_told(tmp_path: Path) -> None:
    text = GOOD.replace(",", ";").replace(".", ",")
    sheet = sheet_of(tmp_path, text, decimal=",")
    rows = read_rows(sheet, choose_roles(sheet, ["lr,dropout"], ["accuracy"])).rows
    assert [row.metrics["accuracy"] for row in rows] == [0.81, 0.83, 0.71, 0.74]


def test_a_quoted_cell_with_line_breaks_is_one_row(tmp_path: Path) -> None:
    text = 'lr,dropout,seed,accuracy,note\n0.1,0,0,0.8,"a\nb"\n0.1,0,1,oops,\n'
    assert problems(tmp_path, text)[0].startswith("results.csv, row 3: metric column 'accuracy' has 'oops'")


def test_blank_rows_count_as_a_spreadsheet_counts_them(tmp_path: Path) -> None:
    text = "lr,dropout,seed,accuracy\n0.1,0,0,0.8\n\n0.1,0,1,oops\n"
    assert problems(tmp_path, text)[0].startswith("results.csv, row 4:")


def test_the_index_column_that_pandas_writes_has_a_name(tmp_path: Path) -> None:
    assert sheet_of(tmp_path, ",lr\n0,0.1\n").columns == ("column 1", "lr")


def test_a_parquet_file_has_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pandas as pd

    file = tmp_path / "r.parquet"
    frame = pd.DataFrame(
        {
            "lr": [0.1, 0.1, 1.0],
            "opt": ["adam", "sgd", "sgd"],
            "seed": [0, 0, 1],
            "accuracy": [0.5, float("nan"), 0.7],
        }
    )
    frame.to_parquet(file)
    sheet = read_sheet(str(file))
    found = read_rows(sheet, choose_roles(sheet, ["lr,opt"], ["accuracy"]))
    assert [(dict(row.levels), row.seed, row.metrics["accuracy"]) for row in found.rows] == [
        ({"lr": 0.1, "opt": "adam"}, 0, 0.5),
        ({"lr": 0.1, "opt": "sgd"}, 0, None),
        ({"lr": 1, "opt": "sgd"}, 1, 0.7),
    ]
    assert "row 3: metric 'accuracy' has no value and counts as undefined" in found.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first row must name the columns; it is empty"),
        (b"lr,seed\n", "no row of results below the names"),
        (b"0.1,0,0.8\n0.1,1,0.9\n", "the first row must name the columns; it has only numbers"),
        (b"lr,seed,lr\n1,2,3\n", "row 1: 2 columns are called 'lr'"),
        (b"lr,seed\n0.1\n", "row 2: 1 cells below 2 column names"),
        (b"lr,seed\n0.1,0,7\n", "row 2: 3 cells below 2 column names"),
        (b'lr,seed\n"0.1,0\n', "not a row of a CSV file"),
        (b"lr,seed\n\xe9,0\n", "row 2: not UTF-8 text; save it as CSV UTF-8"),
        (b"lr,seed\n\0,0\n", "not a table of text"),
        (b"PK\x03\x04....", "is a spreadsheet; save it as CSV UTF-8"),
        (b"PAR1....", "not a readable Parquet file"),
    ],
)
def test_what_is_no_table_is_refused_with_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=r"results\.csv") as caught:
        sheet_of(tmp_path, content)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; name a CSV or Parquet file, or mlflow:EXPERIMENT"):
        read_sheet(str(tmp_path / "absent.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        read_sheet(str(tmp_path))


# --------------------------------------------------------------------------------------------- W&B's exports


def test_unfinished_runs_of_a_wandb_export_are_left_out_and_named(tmp_path: Path) -> None:
    text = (
        '"Name","State","Runtime","lr","seed","accuracy"\n'
        '"calm-owl-1","finished","12","0.1","0","0.8"\n'
        '"wild-fox-2","crashed","3","0.1","1",""\n'
        '"warm-bee-3","running","9","0.1","2","0.4"\n'
    )
    found = rows_of(tmp_path, text, factors="lr")
    assert [(row.place, row.seconds) for row in found.rows] == [("row 2", 12.0)]
    assert (
        "rows 3 and 4 left out: their runs have not finished (column 'State': crashed, running)"
        in found.notes
    )


def test_a_column_called_state_of_other_words_leaves_nothing_out(tmp_path: Path) -> None:
    text = "State,seed,accuracy\nOhio,0,0.8\nUtah,0,0.7\n"
    assert len(rows_of(tmp_path, text, factors="place=State").rows) == 2


def test_dictionaries_in_the_cells_of_a_wandb_export_become_columns(tmp_path: Path) -> None:
    text = (
        ",summary,config,name\n"
        "0,\"{'accuracy': 0.8, 'loss': nan, '_runtime': 7.5}\",\"{'lr': 0.1, 'seed': 0}\",calm-owl-1\n"
        "1,\"{'accuracy': 0.9, 'loss': 0.2}\",\"{'lr': 0.01, 'seed': 0}\",wild-fox-2\n"
    )
    found = rows_of(
        tmp_path,
        text,
        factors="lr=config.lr",
        metrics=["accuracy:max=summary.accuracy", "loss:min=summary.loss"],
        seed="config.seed",
    )
    assert [(row.name, dict(row.metrics), row.seconds) for row in found.rows] == [
        ("lr=0.1", {"accuracy": 0.8, "loss": None}, 7.5),
        ("lr=0.01", {"accuracy": 0.9, "loss": 0.2}, None),
    ]


# -------------------------------------------------------------------------------------------- what is told


def roles(folder: Path, factors: Sequence[str], metrics: Sequence[str], **told: Any) -> Roles:
    return choose_roles(sheet_of(folder, GOOD), factors, metrics, **told)


def test_columns_can_get_other_names(tmp_path: Path) -> None:
    chosen = roles(tmp_path, ["rate=lr", "dropout"], ["error:min=loss", "accuracy"])
    assert chosen.factors == {"rate": "lr", "dropout": "dropout"}
    assert chosen.metrics == {"error": "loss", "accuracy": "accuracy"}
    assert [(metric.name, metric.best) for metric in chosen.declared] == [
        ("error", "min"),
        ("accuracy", "max"),
    ]
    assert chosen.seed == "seed"


def test_a_column_with_a_comma_in_its_name_is_one_factor(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, '"lr, peak",seed,acc\n1,0,2\n')
    assert choose_roles(sheet, ["lr, peak"], ["acc"]).factors == {"lr, peak": "lr, peak"}


def test_a_family_takes_all_its_columns(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, "lr,seed,f/cat,f/dog\n1,0,2,3\n")
    chosen = choose_roles(sheet, ["lr"], ["f/*:max"], units=["f/*=points"])
    assert chosen.metrics == {"f/cat": "f/cat", "f/dog": "f/dog"}
    assert [(metric.name, metric.unit) for metric in chosen.declared] == [("f/*", "points")]


def test_all_that_is_wrong_with_what_was_told_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        roles(
            tmp_path,
            ["dropuot,seed,state=lr,loss"],
            ["acuracy:max", "accuracy:most", "loss:min"],
            units=["accuracy", "lss=bits"],
        )
    assert caught.value.problems == [
        "results.csv: no column 'dropuot'; did you mean 'dropout'?",
        "results.csv: no column 'acuracy'; did you mean 'accuracy'?",
        "results.csv: --metric 'accuracy:most': write COLUMN:max or COLUMN:min, or NAME:max=COLUMN for a "
        "column of another name",
        "results.csv: --unit 'accuracy': write METRIC=UNIT such as accuracy=%",
        "results.csv: --unit 'lss=bits': no metric is called 'lss'; did you mean 'loss'?",
        "results.csv: column 'seed' is the seed; leave it out of --factors",
        "results.csv: a factor cannot be called 'state', which means something else; rename it: "
        "--factors my_state=lr",
        "results.csv: column 'loss' is named as a factor and as a metric; it can be one of them",
    ]


def test_a_column_that_ends_in_the_word_is_meant(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, "config.lr,seed,acc\n1,0,2\n")
    with pytest.raises(ConfigError, match=r"did you mean 'config.lr'[?] Write lr=config.lr to keep the name"):
        choose_roles(sheet, ["lr"], ["acc"])


def test_without_a_seed_column_somebody_must_decide(tmp_path: Path) -> None:
    text = "lr,trial,acc\n1,0,2\n"
    sheet = sheet_of(tmp_path, text)
    with pytest.raises(ConfigError, match=r"no column is called 'seed'; .*--seed trial, or say --no-seed"):
        choose_roles(sheet, ["lr"], ["acc"])
    with pytest.raises(ConfigError, match="--seed trial and --no-seed contradict"):
        choose_roles(sheet, ["lr"], ["acc"], seed="trial", no_seed=True)
    assert choose_roles(sheet, ["lr"], ["acc"], seed="trial").seed == "trial"


def test_without_seeds_the_rows_of_a_condition_are_numbered_and_a_note_says_so(tmp_path: Path) -> None:
    text = "lr,acc\n1,0.1\n2,0.2\n1.0,0.3\n"
    found = rows_of(tmp_path, text, factors="lr", metrics=["acc"], no_seed=True)
    assert [(row.levels["lr"], row.seed) for row in found.rows] == [(1, 0), (2, 0), (1, 1)]
    assert any("numbered in their order" in note for note in found.notes)


# --------------------------------------------------------------------------------------------- what is wrong


def test_every_bad_cell_is_named_by_its_row_at_once(tmp_path: Path) -> None:
    text = """lr,dropout,seed,accuracy
0.1,0,0,n/a
0.1,0,1,"0,81"
,0,0,0.7
0.01,0,,0.7
0.01,0,-1,0.7
0.01,0,1.5,0.7
0.01,0,x,0.7
0.01,0,2,inf
0.01,0,3,81.2 %
"0,01",0,4,0.7
0.01,n/a,5,0.7
"""
    assert problems(tmp_path, text) == [
        "results.csv, row 2: metric column 'accuracy' has 'n/a', no number; leave the cell empty where the "
        "metric is undefined",
        "results.csv, row 3: metric column 'accuracy' has '0,81', no number; write 0.81, or say --decimal , "
        "if the whole table has decimal commas",
        "results.csv, row 4: factor column 'lr' is empty; every run needs a level of every factor",
        "results.csv, row 5: seed column 'seed' is empty; number the repetitions 0, 1, 2, ...",
        "results.csv, row 6: seed column 'seed' has '-1'; a seed is between 0 and 1e+15",
        "results.csv, row 7: seed column 'seed' has '1.5'; a seed is a whole number",
        "results.csv, row 8: seed column 'seed' has 'x', which is no number",
        "results.csv, row 9: metric column 'accuracy' has 'inf', which nothing can be compared with; leave "
        "the cell empty if the run diverged",
        "results.csv, row 10: metric column 'accuracy' has '81.2 %', no number; write 81.2 and leave the "
        "percent sign out, or 0.812 and --unit NAME=% for fractions that are shown times 100",
        "results.csv, row 11: factor column 'lr' has '0,01', where other rows have numbers; write 0.01",
        "results.csv, row 12: factor column 'dropout' has 'n/a', where other rows have numbers",
    ]


def test_more_problems_than_can_be_read_are_counted(tmp_path: Path) -> None:
    text = "lr,seed,accuracy\n" + "".join(f"1,{n},x\n" for n in range(50))
    found = problems(tmp_path, text, factors="lr")
    assert len(found) == 21
    assert found[-1] == "and 30 more of the kind"


def test_duplicates_are_named_by_their_rows(tmp_path: Path) -> None:
    text = GOOD + "1e-1,0.0,1.0,0.9,1\n"
    assert problems(tmp_path, text) == [
        "results.csv, rows 3 and 6: both are lr=0.1 dropout=0 seed=1; keep one, or name the factor that "
        "tells them apart"
    ]


def test_spellings_that_are_one_number_are_noted(tmp_path: Path) -> None:
    text = "version,seed,accuracy\n1.1,0,0.5\n1.10,1,0.6\n"
    assert (
        "column 'version': 1.1 and 1.10 are taken as 1.1" in rows_of(tmp_path, text, factors="version").notes
    )


def test_words_among_numbers_are_levels(tmp_path: Path) -> None:
    text = "lambda,seed,accuracy\nnone,0,0.5\n0.1,0,0.6\n"
    assert [row.levels["lambda"] for row in rows_of(tmp_path, text, factors="lambda").rows] == ["none", 0.1]


def test_percentages_are_no_fractions(tmp_path: Path) -> None:
    text = "lr,seed,accuracy\n1,0,81.2\n1,1,0.8\n"
    found = problems(tmp_path, text, factors="lr", units=["accuracy=%"])
    assert found[0].startswith("results.csv, row 2: metric column 'accuracy' is more than 1")


def test_missing_metrics_are_undefined_and_noted_and_a_metric_without_any_is_refused(tmp_path: Path) -> None:
    text = "lr,seed,accuracy,loss\n1,0,,\n1,1,NaN,\n1,2,0.8,\n"
    found = rows_of(tmp_path, text, factors="lr")
    assert [row.metrics["accuracy"] for row in found.rows] == [None, None, 0.8]
    assert "rows 2 and 3: metric 'accuracy' has no value and counts as undefined" in found.notes
    with pytest.raises(DataError, match="metric column 'loss' has no value in any row"):
        rows_of(tmp_path, text, factors="lr", metrics=["loss"])


def test_seeds_that_other_conditions_have_are_noted(tmp_path: Path) -> None:
    text = GOOD + "0.1,0,2,0.9,1\n0.1,0,3,0.9,1\n"
    assert (
        "lr=0.01 dropout=0: seeds 2, 3 missing, which other conditions have" in rows_of(tmp_path, text).notes
    )


def test_rows_that_say_nothing_are_left_out_and_noted(tmp_path: Path) -> None:
    text = GOOD.replace("loss\n", "loss,note\n").replace("1.2\n", "1.2,\n").replace("1.1\n", "1.1,\n")
    text = text.replace("1.5\n", "1.5,\n").replace("1.4\n", "1.4,\n") + ",,,,,the end\n"
    found = rows_of(tmp_path, text)
    assert len(found.rows) == 4
    assert "row 6 left out: no factor and no metric has a value there" in found.notes


# -------------------------------------------------------------------------------- a table that is not told of


def test_a_table_is_described_and_the_command_to_type_is_shown(tmp_path: Path) -> None:
    text = "name,opt,lr,random.seed,acc\n" + "".join(
        f"r{n},{'adam' if n % 2 else 'sgd'},{[0.1, 0.01][n // 2 % 2]},{n // 4},{0.5 + n / 100}\n"
        for n in range(8)
    )
    sheet = sheet_of(tmp_path, text)
    looks = look_at(sheet)
    assert [(look.name, look.distinct, look.kind) for look in looks] == [
        ("name", 8, "text"),
        ("opt", 2, "text"),
        ("lr", 2, "numbers"),
        ("random.seed", 2, "whole numbers"),
        ("acc", 8, "numbers"),
    ]
    assert looks[1].examples == ("sgd", "adam")
    command = example_command(sheet, looks)
    assert command.endswith("--factors opt,lr --metric acc:max --seed random.seed")
