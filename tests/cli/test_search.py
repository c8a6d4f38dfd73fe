"""``ablate search`` as a user types it: what is found, what it is worth, and what is refused."""

import json
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.ground.errors import AblateError
from ablate.record.rundir import State
from ablate.record.store import Store

# The score on held-out data and the one that counts; each run is a little luckier or less so.
MODULE = """
import math, time
import ablate

class Config(ablate.Config):
    kind: str = ablate.setting("plain", help="what it is like")
    lr: float = ablate.setting(0.1, gt=0, help="learning rate")
    pause: float = 0.0
    epochs: int = 4

def train(config, run):
    best = 0.8 - 0.1 * (math.log10(config.lr) + 2) ** 2 + 0.05 * (config.kind == "fancy")
    luck = 0.05 * run.generator("luck", config.kind, config.lr).standard_normal()
    for epoch in run.epochs(config.epochs):
        time.sleep(config.pause)
        run.report(held_out=best - 0.1 / epoch)
    return ablate.Scores(held_out=best + luck, score=best - 0.1, size=config.lr)

subject = ablate.Subject("mine", Config, train, metrics=[
    ablate.Metric("held_out", unit="%", select=True), ablate.Metric("score", unit="%"),
    ablate.Metric("size", "min", select=True),
])
"""
SEARCH = ("--factors", "kind", "--levels", "kind=plain,fancy", "--range", "lr=0.001:1:log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module, and a store with one search of it."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "mine.py").write_text(MODULE)
    run(folder, *SEARCH, "--maximize", "held_out", "--trials", "14", "--confirm", "2", "--confirm-seeds", "3")
    return folder


def run(folder: Path, *words: str, command: str = "search", code: int = 0) -> str:
    """What a command prints, in this process."""
    own = ("--subject", str(folder / "mine.py"), "--workers", "2") if command in ("search", "grid") else ()
    result = CliRunner().invoke(
        app, [command, *words, *own, "--store", str(folder / "store")], catch_exceptions=False
    )
    assert result.exit_code == code, result.output
    return result.stdout


def refusal(folder: Path, *words: str) -> str:
    with pytest.raises(AblateError) as caught:
        run(folder, *words)
    assert caught.value.exit_code == 2
    return str(caught.value)


def again(folder: Path, *words: str) -> str:
    """The same search with other words."""
    return run(folder, *SEARCH, "--maximize", "held_out", "--confirm", "2", "--confirm-seeds", "3", *words)


def test_a_search_ends_with_the_best_trained_anew_and_how_much_was_luck(folder: Path) -> None:
    text = again(folder, "--trials", "14")
    assert "search mine-search: 14 trials: 14 scored" in text
    assert "The best 2 and the baseline anew, with seeds 1 to 3, as study mine-search.best:" in text
    assert "seed=" not in text, "it was all trained before"
    table = text.split("which was luck:")[1]
    rows = re.findall(r"^(\S.*?)\s+([+-]\S+)\s+([+-]\S+)\s+\[(\S+), (\S+)\]\s+([+-]\S+)$", table, re.M)
    assert len(rows) == 2
    for _, in_search, anew, low, high, luck in rows:
        assert float(low) < float(anew) < float(high)
        assert float(in_search) - float(anew) == pytest.approx(float(luck), abs=0.011)


def test_all_of_it_is_there_as_json(folder: Path) -> None:
    content = json.loads(again(folder, "--trials", "14", "--format", "json"))
    assert [trial["number"] for trial in content["trials"]] == list(range(14))
    assert {trial["state"] for trial in content["trials"]} == {"scored"}
    first, second = content["best"][:2]
    assert content["trials"][first]["values"] >= content["trials"][second]["values"]
    assert content["plan"]["sampler_options"]["multivariate"] is True
    assert content["anew"]["seeds"] == [1, 2, 3]
    assert [gain["name"] for gain in content["anew"]["gains"]] == [
        content["trials"][number]["name"] for number in (first, second)
    ]


def test_a_dry_run_says_what_would_be_searched_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    text = run(tmp_path, *SEARCH, "--maximize", "held_out", "--dry-run", "--prune", "median")
    assert text.splitlines()[0] == (
        "Search mine-search: 50 trials to maximize held_out, sampler tpe, pruned by median"
    )
    assert "  lr: 0.001:1:log" in text
    assert not (tmp_path / "store").exists()


def tags_in_mlflow(folder: Path, experiment: str) -> list[dict[str, str]]:
    client = MlflowClient(f"sqlite:///{folder / 'store' / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return [run.data.tags for run in client.search_runs([found.experiment_id])]


def test_mlflow_knows_the_trial_and_the_sampler_of_each_run(folder: Path) -> None:
    tags = [each for each in tags_in_mlflow(folder, "mine-search") if "ablate.trial" in each]
    assert sorted(int(each["ablate.trial"]) for each in tags) == list(range(14))
    assert {each["ablate.sampler"] for each in tags} == {"tpe"}
    assert all("multivariate=True" in each["ablate.sampler_options"] for each in tags)
    assert {each["ablate.search"] for each in tags_in_mlflow(folder, "mine-search.best")} == {"mine-search"}


def test_optuna_can_open_the_copy_which_can_be_made_again(folder: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file = folder / "store" / "studies" / "mine-search" / "optuna.log"

    def values() -> list[tuple[int, float | None]]:
        study = optuna.load_study(
            study_name="mine-search", storage=JournalStorage(JournalFileBackend(str(file)))
        )
        return sorted((trial.user_attrs["trial"], trial.value) for trial in study.trials)

    before = values()
    assert [number for number, _ in before] == list(range(14))
    file.unlink()
    again(folder, "--trials", "14")
    assert values() == before
    file.write_text("of another version\n")
    again(folder, "--trials", "14")
    assert file.read_text() == "of another version\n"


def test_tables_of_trials_warn_of_their_choice(folder: Path) -> None:
    for command in ("compare", "runs"):
        assert "the best were chosen for their scores" in " ".join(
            run(folder, "mine-search", command=command).split()
        )
    assert "chosen for" not in run(folder, "mine-search.best", command="compare")


def test_the_report_has_a_part_on_the_search(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    run(folder, "mine-search", "-o", str(file), "--no-mlflow", command="report")
    page = file.read_text()
    for part in ("<h2>Search</h2>", "How much of it was luck", 'id="search"', "Scores by trial"):
        assert part in page


def test_a_search_on_the_evaluation_data_is_marked_in_every_table(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    words = (*SEARCH, "--maximize", "score", "--on-evaluation", "--trials", "3")
    text = run(tmp_path, *words, "--confirm", "1", "--confirm-seeds", "2")
    assert "Found by the search mine-search ON THE EVALUATION DATA" in text
    for command, study in (
        ("compare", "mine-search"),
        ("compare", "mine-search.best"),
        ("runs", "mine-search"),
        ("runs", "mine-search.best"),
    ):
        assert "ON THE EVALUATION DATA" in run(tmp_path, study, command=command)


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    text = run(
        tmp_path, *SEARCH, "--maximize", "held_out", "--and", "size", "--trials", "12", "--confirm", "0"
    )
    assert "12 trials to maximize held_out and minimize size" in text
    assert "Pareto front:" in text
    assert "size" in text.split("Pareto front:")[1]


def test_trials_are_given_up_while_they_train(tmp_path: Path) -> None:
    """The state is one of its own: no failure, no score, and a grid that wants the run trains it on."""
    (tmp_path / "mine.py").write_text(MODULE)
    words = ("--range", "lr=0.001:1:log", "--set", "pause=0.2", "--maximize", "held_out")
    text = run(tmp_path, *words, "--trials", "12", "--prune", "median", "--confirm", "0")
    pruned = re.findall(r"(lr=\S+) seed=0 pruned in epoch \d at held out \d\d\.\d % \(median\)", text)
    assert pruned
    assert f"{12 - len(pruned)} scored, {len(pruned)} pruned" in text
    store = Store(tmp_path / "store")
    folders = [each for each in store.study_runs("mine-search") if each.name == pruned[0]]
    assert [folder.status().state for folder in folders] == [State.PRUNED]
    assert folders[0].result() is None
    epochs = len(folders[0].history())
    assert 0 < epochs < 4
    run(tmp_path, "wanted", "--levels", pruned[0], "--set", "pause=0.2", "--seeds", "1", command="grid")
    assert folders[0].status().state is State.FINISHED
    assert folders[0].status().attempt == 2
    assert len(folders[0].history()) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--range", "kind=0:1", "--maximize", "held_out"), "a range is for numbers"),
        (("--range", "lr=0:10:log", "--maximize", "held_out"), "on a log scale there is no 0"),
        ((*SEARCH, "--maximize", "helt_out"), "unknown metric 'helt_out'; did you mean 'held_out'"),
        ((*SEARCH, "--minimize", "held_out"), "of 'held_out' more is better: say --maximize"),
        (SEARCH, "say what the search is for: --maximize METRIC, or --minimize METRIC"),
        ((*SEARCH, "--maximize", "held_out", "--and", "held_out"), "that is the first objective already"),
        ((*SEARCH, "--maximize", "score"), "'score': not declared fit for a search"),
        ((*SEARCH, "--maximize", "held_out", "--validation", "0.2"), "has no setting that holds data out"),
        (("--maximize", "held_out"), "name what to search over"),
        (
            (*SEARCH, "--maximize", "held_out", "--runs-per-gpu", "2"),
            "--runs-per-gpu 2: runs train on the CPU",
        ),
        ((*SEARCH, "--maximize", "held_out", "--budget", "soon"), "--budget 'soon': write a time above 0"),
        ((*SEARCH, "--maximize", "held_out", "--seeds", "2"), "was begun otherwise: seeds a trial 1, now 2"),
        (
            (*SEARCH, "--maximize", "held_out", "--study", "mine-search.best"),
            "study 'mine-search.best' is there already and is no search",
        ),
    ],
)
def test_bad_input_is_a_sentence(words: tuple[str, ...], sentence: str, folder: Path) -> None:
    assert sentence in refusal(folder, *words)


def test_a_grid_does_not_mix_with_a_search(folder: Path) -> None:
    with pytest.raises(AblateError, match="study 'mine-search' is a search; choose another name"):
        run(folder, "mine-search", "--levels", "lr=0.1,0.2", command="grid")


def test_a_script_is_searched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a range the middle is the baseline; the metric is declared fit where it is named."""
    (tmp_path / "train.sh").write_text('echo "score: $(echo "$1" | tr -dc 0-9.)"\n')
    monkeypatch.chdir(tmp_path)
    words = ["search", "--script", "sh train.sh {x}", "--range", "x=0:1", "--trials", "4", "--workers", "1"]
    words += ["--metric", "score:max:select=score: ([0-9.]+)", "--maximize", "score", "--confirm", "0"]
    result = CliRunner().invoke(app, [*words, "--store", "store"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "search train-search: 4 trials: 4 scored" in result.stdout
    assert re.search(r"^baseline +0 +0\.5000", result.stdout, re.M)
