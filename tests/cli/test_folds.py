"""``--folds K`` from the outside: K runs a seed, one row a condition, and n that counts seeds."""

import json
from pathlib import Path

import pytest

import ablate as ablate_library
from ablate.ground.errors import ConfigError, StudyError
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import SMALL
from tests.command import ablate_here as ablate

# Four items in folds of one or two: a model of size ``lr`` gets the items right whose number is below it.
MODULE = """\
import numpy as np
import ablate

class Config(ablate.Config):
    lr: int = 1
    fails: bool = False
    folds: int = ablate.setting(0, ge=0, help="folds")
    fold: int = ablate.setting(0, ge=0, help="which")

def train(config, run):
    if config.fails and (config.fold, run.seed) == (2, 1):
        raise RuntimeError("no luck")
    items = [item for item in range(4) if not config.folds or item % config.folds == config.fold - 1]
    right = np.array([[item < config.lr + run.seed] for item in items], int)
    counts = ablate.Items(
        [f"item {item}" for item in items],
        {"right": ablate.Ratios(["x"], right, np.ones_like(right))},
        {"share": ablate.Overall("right", "micro")},
    )
    return ablate.Scores(share=counts.score("share"), items=counts)

subject = ablate.Subject(
    "mine", Config, train, metrics=[ablate.Metric("share", unit="%")], folds=("folds", "fold")
)
"""
SCRIPT = """\
import sys, json
lr, seed, fold, folds = (float(word) for word in sys.argv[1:])
print(json.dumps({"score": lr + seed + fold / folds if folds else lr}))
"""
HERE = ("--launcher", "inline")
GRID = ("grid", "--subject", "mine.py", "--levels", "lr=1,2")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "train.py").write_text(SCRIPT)
    return Store(tmp_path / "store")


def compared(store: Store, study: str = "mine") -> dict[str, dict[str, object]]:
    found = json.loads(ablate("compare", study, "--format", "json", store=store))
    return {row["name"]: row for row in found["conditions"]}


def test_the_recordings_of_a_corpus_are_scored_once_a_seed(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    store = Store(tmp_path / "store")
    grid = ("grid", "--factors", "shuffle", "--levels", "shuffle=none,scene", "--data", tiny_data, *SMALL)
    shown = ablate(*grid, "--folds", 2, "--seeds", 2, *HERE, store=store)
    assert "2 conditions x 2 seeds x 2 folds = 8 runs" in shown
    assert "Each seed is 2 trainings, each without one of 2 folds of the training data" in shown
    rows = compared(store, "grid")
    assert {name: row["n"] for name, row in rows.items()} == {"baseline": 2, "shuffle=scene": 2}
    folders = [folder for folder in store.study_runs("grid") if (folder.name, folder.seed) == ("baseline", 0)]
    parts = [folder.items() for folder in folders]
    names = [name for items in parts if items is not None for name in items.names]
    lines = (tiny_data / "meta_development.txt").read_text().splitlines()
    recordings = {line.split("\t")[0] for line in lines} - {"path"}
    assert sorted(names) == sorted(recordings)


def test_the_same_again_trains_nothing_and_another_number_of_folds_is_another_study(store: Store) -> None:
    ablate(*GRID, "--folds", 2, "--seeds", 2, *HERE, store=store)
    assert len(store.finished_runs()) == 8
    assert "nothing to train" in ablate(*GRID, "--folds", 2, "--seeds", 2, *HERE, store=store)
    assert "3 seeds x 2 folds = 12 runs" in ablate(*GRID, "--folds", 2, "--dry-run", store=store)
    with pytest.raises(StudyError, match=r"'mine' has 2 folds, and this command asks for 4 folds"):
        ablate(*GRID, "--folds", 4, "--dry-run", store=store)
    with pytest.raises(StudyError, match=r"asks for no folds: .* type --folds 2 to go on"):
        ablate(*GRID, *HERE, store=store)
    ablate(*GRID, "--folds", 4, "--seeds", 2, "--study", "four", *HERE, store=store)
    assert len(store.finished_runs()) == 24


def test_a_seed_is_scored_on_all_items(store: Store) -> None:
    """With lr = 1, seed 0 has one of four items right, and seed 1 two: 1/4 and 2/4, with any folds."""
    ablate(*GRID, "--folds", 3, "--seeds", 2, *HERE, store=store)
    rows = compared(store)
    baseline = rows["baseline"]["metrics"]["share"]  # type: ignore[index]
    assert (baseline["mean"], baseline["n"]) == (pytest.approx((1 / 4 + 2 / 4) / 2), 2)
    difference = rows["lr=2"]["metrics"]["share"]["difference"]  # type: ignore[index]
    assert (difference["mean"], difference["n"]) == (pytest.approx(1 / 4), 2)


def test_without_folds_their_settings_need_not_be_read(store: Store) -> None:
    ablate("grid", "--subject", "mine.py", "--levels", "lr=1,2", "--seeds", 1, *HERE, store=store)
    assert [folder.result()["unread"] for folder in store.study_runs("mine")] == [[], []]  # type: ignore[index]


def test_a_fold_that_fails_makes_its_seed_a_missing_one(store: Store) -> None:
    words = ("grid", "--subject", "mine.py", "--levels", "fails=no,yes", "--folds", 2, "--seeds", 2, *HERE)
    with pytest.raises(AssertionError, match="1 of 8 runs failed"):
        ablate(*words, store=store)
    shown = ablate("compare", "mine", store=store)
    assert "Missing: seed 1 failed in fails=True." in shown
    row = compared(store)["fails=True"]
    assert (row["n"], row["n_planned"], row["missing"]) == (1, 2, [{"seed": 1, "state": "failed"}])
    shown = ablate("status", "mine", store=store)
    assert "1 finished, 1 failed" in shown
    assert "RuntimeError: no luck" in shown
    assert "fails=True seed 1 fold 2" in shown


def test_each_fold_is_a_run_of_its_own(store: Store) -> None:
    ablate(*GRID, "--folds", 2, "--seeds", 1, *HERE, store=store)
    shown = ablate("runs", "mine", "--where", "fold = 2 and lr = 1", store=store)
    assert "1 of 4 runs" in shown
    assert "fold       2 of 2" in ablate("show", "baseline seed=0 fold=2", "mine", store=store)
    with pytest.raises(
        StudyError, match=r"has the folds 1, 2; name one of them, such as 'baseline seed=0 fold=1'"
    ):
        ablate("show", "baseline seed=0", "mine", store=store)
    table = ablate_library.load("mine", store.root)
    assert list(table["fold"]) == [1, 1, 2, 2]
    assert list(table.columns[:4]) == ["run_id", "name", "seed", "fold"]


def test_a_script_is_told_its_fold(store: Store) -> None:
    """Without items, a seed's score is the mean over its folds: 1 + seed + (1/2 + 2/2) / 2."""
    command = "python train.py {lr} {seed} {fold} {folds}"
    words = ("grid", "--script", command, "--levels", "lr=1,2", "--seeds", 2, *HERE)
    ablate(*words, "--folds", 2, store=store)
    row = compared(store, "train")["baseline"]["metrics"]["score"]  # type: ignore[index]
    assert (row["mean"], row["n"]) == (pytest.approx(1 + 0.5 + 0.75), 2)
    assert "A score is the mean over the folds." in ablate("compare", "train", store=store)
    ablate(*words, "--study", "whole", store=store)
    assert compared(store, "whole")["lr=2"]["metrics"]["score"]["mean"] == 2  # type: ignore[index]


def test_noise_decide_and_study_files_have_folds(store: Store, tmp_path: Path) -> None:
    shown = ablate("noise", "--subject", "mine.py", "--seeds", 3, "--folds", 2, *HERE, store=store)
    assert "3 seeds x 2 folds, 6 to train" in shown
    shown = ablate("noise", "noise", "--seeds", 4, *HERE, store=store)
    assert "4 seeds x 2 folds, 2 to train" in shown
    (tmp_path / "s.toml").write_text(
        'name = "s"\nfolds = 2\nseeds = 2\n[subject]\nmodule = "mine.py"\n[conditions]\n'
        'small = {}\nlarge = { lr = 2 }\n[claims.C1]\ntext = "more is more"\nmetric = "share"\n'
        'better = "large"\nworse = "small"\n'
    )
    assert "2 conditions x 2 seeds x 2 folds = 8 runs" in ablate("study", "s.toml", "--dry-run", store=store)
    assert "x 4 folds = 16 runs" in ablate("study", "s.toml", "--folds", 4, "--dry-run", store=store)
    shown = ablate("decide", "s.toml", "--looks", "2,4", *HERE, store=store)
    assert "Look at 2 seeds:" in shown
    assert [row["n"] for row in compared(store, "s").values()] == [4, 4]
    states = [folder.status().state for folder in store.study_runs("s")]
    assert states == [State.FINISHED] * 16


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "1"], r"--folds 1: 2 folds are the fewest"),
        (["--set", "fold=1"], r"'fold' is no setting or factor of a study.*say --folds K"),
        (["--levels", "folds=2,3"], r"'folds' is one number in all of a study"),
        (["--folds", "2", "--levels", "fold=1,2"], r"'fold' is no setting or factor of a study"),
    ],
)
def test_wrong_words_are_sentences(store: Store, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ablate(*GRID, *words, store=store)


def test_who_has_no_folds_says_so(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(MODULE.replace(', folds=("folds", "fold")', ""))
    with pytest.raises(
        ConfigError, match=r"'mine' has no settings that divide its training data; let a module"
    ):
        ablate("grid", "--subject", "other.py", "--levels", "lr=1,2", "--folds", 2, store=store)
    words = ("--levels", "lr=1,2", "--folds", 2)
    with pytest.raises(
        ConfigError, match=r"no {fold} and {folds}; write them .* --fold={fold} --folds={folds}"
    ):
        ablate("grid", "--script", "python train.py {lr} {seed} 0 0", *words, store=store)
    with pytest.raises(ConfigError, match=r"{fold} needs {folds} beside it: which fold, and of how many"):
        ablate("grid", "--script", "python train.py {lr} {seed} {fold} 4", *words, store=store)
    with pytest.raises(ConfigError, match=r"--folds: a search scores its trials on a share"):
        ablate("search", "--factors", "lambda", "--maximize", "event_micro_f", "--folds", 2, store=store)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ('folds="fold"', r"folds='fold': name two settings"),
        ('folds=("folds", "fould")', r"folds: unknown setting 'fould'; did you mean 'fold'"),
        ('folds=("folds", "lr")', r"folds: setting 'lr' should be 0 by default"),
    ],
)
def test_what_a_module_says_of_folds_is_checked(
    store: Store, tmp_path: Path, folds: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(MODULE.replace('folds=("folds", "fold")', folds))
    with pytest.raises(ConfigError, match=message):
        ablate(*GRID, "--folds", 2, store=store)
