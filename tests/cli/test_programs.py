"""Every command that reads, on a study of a program whose file is gone: its records say all that is shown."""

import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.design.claims import Claim, StudyDetails
from ablate.ground.errors import ConfigError
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.metrics import Metric
from ablate.subject.registry import open_if_there
from ablate.subject.scores import Matrix, Table
from tests.analysis.programs import PROGRAM, add_condition, losses
from tests.analysis.studies import paper_study
from tests.analysis.test_report import Page
from tests.command import ablate_here as ablate
from tests.terminal import Screen

CLAIMS = StudyDetails(
    question="Does the step matter?",
    claims=(Claim("C1", "a smaller step is better", "loss", ("lr=0.01",), ("baseline",), margin=0.1),),
)
CONFUSION = Matrix(["cat", "dog"], [[8, 2], [1, 9]])
SORTED = Matrix(["cat", "dog"], [[7, 2, 1], [0, 10, 0]], ["left", "right", "floor"])
EPOCHS = Table(["when", "ratio"], [["first", 61.0], ["last", 0.25], ["never", None]])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two conditions of three seeds, of which one has failed, with matrices and a table of their own."""
    store = Store(tmp_path_factory.mktemp("programs") / "store")
    add_condition(
        store,
        "baseline",
        {},
        losses(1.0, 1.2, 1.4),
        matrices={"confusion": CONFUSION, "sorted": SORTED},
        tables={"ratios": EPOCHS},
        details=CLAIMS,
    )
    scores: list[Mapping[str, float | None] | State] = [*losses(0.5, 0.72), State.FAILED]
    add_condition(
        store,
        "lr=0.01",
        {"lr": 0.01},
        scores,
        unread=["lr"],
        matrices={"confusion": CONFUSION, "sorted": SORTED},
        details=CLAIMS,
    )
    return store


def test_the_program_is_not_there(store: Store) -> None:
    assert store.study_card("s") == PROGRAM
    assert open_if_there(PROGRAM.spec) is None


def test_a_run_has_a_page(store: Store) -> None:
    lines = ablate("show", "baseline seed=1", store=store).splitlines()
    page = "\n".join(lines)
    assert "scores\n  loss      1.200\n  accuracy  0.8800\n" in page
    assert "ratios\n  when   ratio\n  ────────────\n  first  61.00\n  last    0.25\n  never      -\n" in page
    assert "confusion\n  true \\ predicted  cat  dog\n" in page
    assert [line.split() for line in lines if line.startswith("  cat")] == [
        ["cat", "8", "2"],
        ["cat", "7", "2", "1"],
    ]
    assert "the last 3 of 3 epochs" in page
    assert "configuration\n  lr       0.1\n  dropout  0\n  seed     1\n" in page
    assert "data set" not in page
    assert "never read" not in page


def test_a_setting_that_was_not_read_is_on_the_page(store: Store) -> None:
    assert "never read by the training\n  lr\n" in ablate("show", "lr=0.01 seed=0", store=store)
    content = json.loads(ablate("show", "lr=0.01 seed=0", "--format", "json", store=store))
    assert (content["unread"], content["remarks"]) == (["lr"], {})
    assert content["matrices"]["sorted"]["columns"] == ["", "left", "right", "floor"]


def test_pictures_are_of_what_there_is(store: Store, tmp_path: Path) -> None:
    ablate("show", "baseline seed=0", "--pictures", tmp_path, store=store)
    names = {file.name.partition("-")[2] for file in tmp_path.iterdir()}
    assert names == {f"{name}{suffix}" for name in ("confusion", "curves") for suffix in (".svg", ".png")}


def test_the_report_has_every_chapter(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    ablate("report", "s", "--no-mlflow", "-o", file, store=store)
    parsed = Page(file.read_text(encoding="utf-8"))
    assert "2 conditions, 3 seeds, 6 runs (5 finished, 1 failed)." in parsed.text
    compared = next(row for row in parsed.rows_of("lr=0.01") if "0.610 ± 0.156" in row[2])
    assert [cell.replace("−", "-") for cell in compared[:3]] == ["lr=0.01", "2/3", "0.610 ± 0.156"]
    assert {"differences", "confusion", "confusion_differences", "learning"} <= set(parsed.ids)
    assert "The training never read lr in lr=0.01" in parsed.text
    assert "Loss of lr=0.01 minus that of baseline" in parsed.text
    assert "the difference paired by seed is better by more than its margin" in parsed.text
    assert "percentage points" not in parsed.text.split("Confusion, difference")[0]
    assert "data set" not in parsed.text


def test_a_report_of_a_single_finished_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add_condition(store, "lr=1", {"lr": 1.0}, [{"loss": None, "accuracy": 0.5}])
    ablate("report", "s", "--no-mlflow", "-o", tmp_path / "page.html", store=store)
    assert "1 condition, 1 seed, 1 run (1 finished)." in Page((tmp_path / "page.html").read_text()).text


def test_curves_over_a_factor_name_their_unit_and_cut_nothing_off(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    card = replace(PROGRAM, declared=(Metric("loss", "min", "nats"),))
    for place, lr in enumerate((0.001, 0.01, 0.1, 1.0)):
        add_condition(store, f"lr={lr}", {"lr": lr}, losses(300.0 + place, 310.0 + place), card=card)
    ablate("report", "s", "--no-mlflow", "-o", tmp_path / "page.html", store=store)
    parsed = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "over_lr" in parsed.ids
    assert "loss (nats)" in parsed.text
    assert "Mean over seeds and 95 % CI (t) of each condition along lr." in parsed.text


def test_runs_status_and_claims(store: Store) -> None:
    lines = ablate("runs", "s", store=store).splitlines()
    assert ["baseline", "0", "finished", "1.000", "0.9000"] in [line.split()[:5] for line in lines]
    asked = ("--columns", "name,confusion/cat+dog", "--where", "loss < 0.7")
    assert "15.00" in ablate("runs", "s", *asked, store=store)
    assert "The training never read lr in lr=0.01" in " ".join(ablate("status", "s", store=store).split())
    claims = ablate("claims", "s", store=store)
    assert "C1" in claims
    assert "Loss of lr=0.01 minus that of baseline -0.4900 [" in " ".join(claims.split())


def test_a_layout_needs_the_subject(store: Store) -> None:
    with pytest.raises(ConfigError):
        ablate("compare", "s", "--layout", "table3", store=store)


def test_runs_of_two_subjects_differ_in_every_setting(store: Store) -> None:
    other = Store(store.root)
    paper_study(other, 1, systems=("mtl",))
    content = json.loads(
        ablate("diff", other.study_runs("s")[0].run_id, other.study_runs("paper")[0].run_id,
               "--format", "json", store=other)
    )  # fmt: skip
    assert content["settings"]["lr"] == [0.1, None]
    assert content["settings"]["optim.lr"] == [None, 0.001]
    assert "seed" not in content["settings"]


def coloured(store: Store) -> str:
    with redirect_stdout(Screen()) as screen, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "120")
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        from ablate.cli.app import app

        app(["compare", "s", "--store", str(store.root)], standalone_mode=False)
    return screen.getvalue()


GREEN, RED, END = "\x1b[32m", "\x1b[31m", "\x1b[0m"


@pytest.mark.parametrize(("best", "colour"), [("max", RED), ("min", GREEN)])
def test_what_is_better_is_green_whichever_way_the_arrow_points(
    tmp_path: Path, best: str, colour: str
) -> None:
    store = Store(tmp_path / "store")
    card = replace(PROGRAM, declared=(Metric("loss", "min" if best == "min" else "max"),))
    add_condition(store, "baseline", {}, losses(1.0, 1.2, 1.4), card=card)
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(0.5, 0.72, 0.94), card=card)
    assert f"{colour}-0.480▼*{END}" in coloured(store)


def test_where_up_is_good_in_one_column_and_bad_in_another_nothing_is_coloured(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add_condition(store, "baseline", {}, losses(1.0, 1.2, 1.4))
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(0.5, 0.72, 0.94))
    text = coloured(store)
    assert "-0.480▼*" in text
    assert GREEN not in text
    assert RED not in text
