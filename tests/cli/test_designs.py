"""The designs of ``ablate grid`` from the outside: what a plan says before anything is trained."""

import json
from pathlib import Path

import pytest

from ablate.cli.app import main
from ablate.record.store import Store
from tests.command import ablate_here as ablate

PROGRAM = "import sys\nprint('{\"score\": 1}')\n"
GRID = ("grid", "--script", "train.py", "--metric", "score", "--dry-run", "--seeds", 2)
LEVELS = ("--levels", "a=0,1", "--levels", "b=0,1", "--levels", "c=0,1,2")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(PROGRAM)
    return Store(tmp_path / "store")


def test_the_plan_names_the_design_and_its_full_system(store: Store) -> None:
    lines = ablate(*GRID, *LEVELS, "--design", "both", "--full", "c=2", store=store).splitlines()
    assert lines[:2] == [
        "Study train: 9 conditions x 2 seeds = 18 runs, design both",
        "  the full system has a=1 b=1 c=2",
    ]
    assert not store.root.exists()


def test_a_ladder_says_that_its_order_matters(store: Store) -> None:
    lines = ablate(*GRID, "--levels", "b=0,1", "--levels", "a=0,1", "--design", "ladder", store=store)
    assert "the ladder adds b=1, then a=1; what a step shows depends on this order" in lines


def test_zipped_excluded_and_further_cells_are_counted(store: Store) -> None:
    more = ("--zip", "a,b", "--exclude", "a = 1 and c = 2", "--also", "b=0,1 design=ofat")
    text = ablate(*GRID, *LEVELS, *more, store=store)
    assert "Study train: 6 conditions x 2 seeds = 12 runs, design full and 1 more grid (ofat)" in text
    assert "1 combination excluded: a = 1 and c = 2\n    a=1 b=1 c=2\n" in text
    content = json.loads(ablate(*GRID, *LEVELS, *more, "--format", "json", store=store))
    assert content["designs"] == ["full", "ofat"]
    assert [cell["name"] for cell in content["excluded"]] == ["a=1 b=1 c=2"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ("--design", "ladder"),
            "ablate: --design ladder: factor 'c' has several levels beside the baseline's",
        ),
        (("--zip", "a,c"), "ablate: --zip a,c: they need equally many levels, and a has 2, c has 3"),
        (("--exclude", "a = 3"), "ablate: --exclude 'a = 3': excludes no combination"),
        (("--exclude", "a ="), "ablate: --exclude: expected a value after '='"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    sentence: str,
) -> None:
    words = ["ablate", *map(str, GRID), *LEVELS, *more, "--store", str(store.root)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    assert errors.startswith(sentence)
