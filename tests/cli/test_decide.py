"""``ablate decide`` from the outside: a module whose score is drawn from its seed, and a real kill."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli.app import app
from ablate.ground.errors import AblateError, ConfigError, StudyError
from ablate.record.decision import decision_file, read_decision
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import ablate, ablate_here, start
from tests.terminal import on_screen

MODULE = """\
import os, random, time
import ablate

class Config(ablate.Config):
    a: float = 0.0
    pause: float = 0.0
    breaks: bool = False

def train(config, run):
    time.sleep(config.pause)
    if config.breaks and config.seed == 1 and os.path.exists("broken"):
        raise RuntimeError("no luck")
    shared = random.Random(config.seed).gauss(0, 1)
    own = random.Random(f"{config.seed} {config.a}").gauss(0, 0.01)
    return ablate.Scores(score=config.a + shared + own)

subject = ablate.Subject("drawn", Config, train)
"""
STUDY = """\
name = "mine"
baseline = "idle"
[subject]
module = "drawn.py"
[conditions]
zero = {}
one = { a = 1.0 }
tiny = { a = 0.001 }
idle = { a = 7.0 }
[claims.C1]
text = "one is more"
metric = "score"
better = "one"
worse = "zero"
[claims.C2]
text = "a tiny bit is more"
metric = "score"
better = "tiny"
worse = "zero"
"""
HERE = ("--launcher", "inline")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study, in the current folder. There is no MLflow, which would take longer than all of this."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (tmp_path / "drawn.py").write_text(MODULE)
    (tmp_path / "mine.toml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder / "store")


def decided(text: str) -> dict[str, tuple[str, str]]:
    """Of the last table: claim -> verdict and seeds."""
    table = text.split("Verdicts on study")[-1]
    rows = re.findall(r"^(C\d) +(\w[\w ]+\w) +(\d+)  ", table, re.MULTILINE)
    return {name: (verdict, n) for name, verdict, n in rows}


def ended_with(code: int, *arguments: object, store: Store) -> str:
    """Standard output of a command that runs in this process and must end with that exit code."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--store", str(store.root)])
    assert result.exit_code == code, result.output
    return result.stdout


def n_finished(store: Store) -> int:
    return len(store.finished_runs())


def test_a_clear_claim_stops_early_and_the_other_goes_on_alone(store: Store) -> None:
    asked = ("decide", "mine.toml", "--looks", "3,5,6", *HERE)
    first = ablate_here(*asked, store=store)
    assert decided(first) == {"C1": ("supported", "3"), "C2": ("undecided", "6")}
    assert "1 condition of the study not trained, since no claim names them" in first
    # Three seeds of the three conditions that claims name, then three more of two of them.
    assert "15 of 18 runs were needed" in first
    assert n_finished(store) == 15

    again = ablate_here(*asked, store=store)
    assert again == re.sub(r"^(\[|warning).*\n", "", first, flags=re.MULTILINE)
    assert n_finished(store) == 15

    content = json.loads(ablate_here(*asked, "--format", "json", store=store))
    assert content["verdicts"] == {"C1": "supported", "C2": "undecided"}
    assert [(look["n"], list(look["claims"])) for look in content["looks"]] == [
        (3, ["C1", "C2"]),
        (5, ["C2"]),
        (6, ["C2"]),
    ]
    assert content["runs"] == {"needed": 15, "most": 18}

    claims = ablate_here("claims", "mine", store=store)
    assert "C1 supported; C2 undecided (`ablate decide`)" in claims
    assert "C1 supported" in ablate_here("compare", "mine", "--baseline", "zero", store=store)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--max-seeds", "9"), "at most 9 seeds instead of 3"),
        (("--looks", "2,3", "--error", "0.1"), "an error of 0.1 instead of 0.05"),
        (("--looks", "2,3", "--interest", "0.5"), "claim C1 has interest 0.5 instead of none"),
        (("--looks", "2,3", "--set", "pause=0.001"), "other settings or code of zero, one, tiny"),
    ],
)
def test_another_plan_is_refused(store: Store, options: tuple[str, ...], sentence: str) -> None:
    ablate_here("decide", "mine.toml", "--looks", "2,3", "--budget", "0.001s", *HERE, store=store)
    with pytest.raises(StudyError) as caught:
        ablate_here("decide", "mine.toml", *options, *HERE, store=store)
    assert sentence in str(caught.value)
    assert "With --max-seeds 3 --looks 2,3 --error 0.05" in str(caught.value)
    assert n_finished(store) == 0


def test_a_damaged_plan_is_a_sentence(store: Store) -> None:
    asked = ("decide", "mine.toml", "--looks", "2,3", "--budget", "0.001s", *HERE)
    ablate_here(*asked, store=store)
    decision_file(store, "mine").write_text("{}")
    with pytest.raises(AblateError, match=r"decision\.json: is damaged"):
        ablate_here(*asked, store=store)


def test_a_dry_run_writes_nothing_and_tells_the_plan(store: Store) -> None:
    shown = ablate_here("decide", "mine.toml", "--max-seeds", "12", "--dry-run", store=store)
    assert "at most 12 seeds of 3 conditions: 36 runs" in shown
    assert "looks at 5, 10 and 12 seeds (group sequential t tests)" in shown
    assert "36 runs to train at most, 15 of them before the first look" in shown
    assert "to be frozen" in shown
    assert not store.root.exists()
    plan = json.loads(
        ablate_here("decide", "mine.toml", "--anytime", "--dry-run", "--format", "json", store=store)
    )
    assert (plan["is_frozen"], plan["most_to_train"]) == (False, 60)
    plan = plan["plan"]
    assert (plan["looks"][0], plan["looks"][-1], plan["levels"]["2"]) == (3, 20, 0.025)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--looks", "5,5"), "--looks 5,5: each look should be at more seeds than the one before"),
        (("--looks", "5,x"), "--looks 5,x: write numbers of seeds from 2 to 1000"),
        (("--looks", "1,5"), "--looks 1,5: write numbers of seeds from 2 to 1000"),
        (("--looks", "5,30", "--max-seeds", "20"), "--looks 5,30 ends beyond --max-seeds 20"),
        (("--looks", "5,10", "--max-seeds", "20"), "--looks 5,10 ends below --max-seeds 20"),
        (("--error", "0"), "--error 0: should be above 0 and below 0.5"),
        (("--anytime", "--looks", "3,4"), "--anytime looks whenever seeds are there; leave out --looks 3,4"),
        (("--anytime", "--max-seeds", "2"), "--anytime looks from 3 seeds on; allow more"),
        (("--budget", "4"), "--budget '4': write a time above 0 with its unit"),
        (("--budget", "0h"), "--budget '0h': write a time"),
        (("--interest", "-1"), "--interest -1, claim C1: should be a number above 0"),
    ],
)
def test_wrong_options_are_sentences(store: Store, options: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ablate_here("decide", "mine.toml", *options, store=store)
    assert sentence in str(caught.value)


def test_a_study_without_claims_has_nothing_to_decide(folder: Path, store: Store) -> None:
    (folder / "mine.toml").write_text(STUDY.partition("[claims")[0])
    with pytest.raises(StudyError, match="makes no claims, so there is nothing to decide"):
        ablate_here("decide", "mine.toml", store=store)


def test_seeds_that_were_trained_and_looked_at_before_are_used_and_told(store: Store) -> None:
    ablate_here("study", "mine.toml", "--seeds", "2", *HERE, store=store)
    assert n_finished(store) == 8
    shown = ablate_here("decide", "mine.toml", "--looks", "2,3", *HERE, store=store)
    assert "up to 2 seeds of its conditions had been trained, and looked at with 2." in shown
    assert n_finished(store) == 8 + 2  # C1 is decided
    decision_file(store, "mine").unlink()
    with pytest.raises(StudyError, match=r"--max-seeds 2 is less than what is trained already: zero has 3"):
        ablate_here("decide", "mine.toml", "--looks", "2", *HERE, store=store)


def test_a_claim_that_lacks_a_failed_seed_waits_and_costs_nothing_more(folder: Path, store: Store) -> None:
    (folder / "mine.toml").write_text(STUDY.replace("a = 0.001", "a = 0.001, breaks = true"))
    (folder / "broken").touch()
    output = ended_with(1, "decide", "mine.toml", "--looks", "3,5", *HERE, store=store)
    assert decided(output) == {"C1": ("supported", "3"), "C2": ("waits", "3")}
    assert "it waits for a score of seed 1 of tiny" in output
    assert "RuntimeError: no luck" in output
    assert n_finished(store) == 8
    waiting = read_decision(store, "mine")
    assert ended_with(1, "decide", "mine.toml", "--looks", "3,5", *HERE, store=store) != ""
    assert read_decision(store, "mine") == waiting

    (folder / "broken").unlink()
    output = ended_with(0, "decide", "mine.toml", "--looks", "3,5", "--retry", *HERE, store=store)
    assert decided(output) == {"C1": ("supported", "3"), "C2": ("undecided", "5")}
    assert n_finished(store) == 9 + 4
    retaken = read_decision(store, "mine")
    assert retaken is not None
    assert [list(look.claims) for look in retaken.looks] == [["C1", "C2"], ["C2"]]
    assert not retaken.looks[0].claims["C2"].waits_for


def test_what_matters_less_than_the_interest_is_stopped(store: Store) -> None:
    shown = ablate_here("decide", "mine.toml", "--looks", "4,9", "--interest", "0.5", *HERE, store=store)
    assert decided(shown) == {"C1": ("supported", "4"), "C2": ("too small to matter", "4")}


def test_a_terminal_of_80_columns_shows_every_number(folder: Path, store: Store) -> None:
    asked = ("decide", "mine.toml", "--looks", "3,4", *HERE)
    whole = ablate_here(*asked, store=store)
    lines = on_screen(*asked, "--store", store.root, columns=80)
    assert max(map(len, lines)) <= 80
    assert set(re.findall(r"[-+]\d\.\d+", whole)) == set(re.findall(r"[-+]\d\.\d+", "\n".join(lines)))
    assert folder.exists()


def test_anytime_looks_whenever_the_workers_would_idle(store: Store) -> None:
    asked = ("decide", "mine.toml", "--anytime", "--max-seeds", "8", "--workers", "4", *HERE)
    shown = ablate_here(*asked, store=store)
    # A seed of three conditions keeps four workers busy; once C1 is decided, it takes two seeds of two.
    assert re.findall(r"Look at (\d+) seeds", shown) == ["3", "4", "5", "6", "8"]
    assert decided(shown) == {"C1": ("supported", "6"), "C2": ("undecided", "8")}
    fewer = ablate_here(*asked[:-4], *HERE, store=store)  # with another number of workers
    assert re.findall(r"Look at (\d+) seeds", fewer) == re.findall(r"Look at (\d+) seeds", shown)


def test_time_that_is_up_begins_no_run_and_is_no_failure(store: Store) -> None:
    asked = ("decide", "mine.toml", "--looks", "2,3", *HERE)
    output = ended_with(0, *asked, "--budget", "0.001s", store=store)
    assert "Time is up (--budget): the look at 2 seeds lacks 6 runs of 6. The same command goes on." in output
    assert n_finished(store) == 0
    assert decided(ended_with(0, *asked, "--budget", "4h", store=store))["C1"][0] == "supported"


def test_a_killed_decision_goes_on_and_looks_at_the_same_numbers(folder: Path, store: Store) -> None:
    asked = ("decide", "mine.toml", "--looks", "2,4,6", "--set", "pause=0.1")
    whole = Store(folder / "whole")
    ablate_here(*asked, *HERE, store=whole)
    process = start(*asked, store=store.root)
    deadline = time.monotonic() + 60
    while n_finished(store) < 8 and time.monotonic() < deadline:  # past the first look
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert 8 <= n_finished(store) < 14
    killed = read_decision(store, "mine")
    assert killed is not None
    assert [look.n for look in killed.looks] == [2]

    ablate(*asked, store=store.root)
    found, expected = read_decision(store, "mine"), read_decision(whole, "mine")
    assert found is not None
    assert expected is not None
    assert found.looks[0] == killed.looks[0]
    assert [(look.n, look.claims) for look in found.looks] == [
        (look.n, look.claims) for look in expected.looks
    ]
    attempts = [folder.status().attempt for folder in store.study_runs("mine")]
    assert n_finished(store) == n_finished(whole) == len(attempts) == 14
    assert attempts.count(1) >= 12  # only what was being trained was begun twice
    assert all(run.status().state is State.FINISHED for run in store.study_runs("mine"))


def test_growing_seeds_are_looked_at_more_than_once(store: Store) -> None:
    ablate_here("study", "mine.toml", "--seeds", "3", *HERE, store=store)
    once = ablate_here("claims", "mine", store=store)
    assert once == ablate_here("claims", "mine", store=store)
    assert "Looked at" not in once
    compared = ablate_here("compare", "mine", store=store)
    assert "Looked at" not in compared
    ablate_here("study", "mine.toml", "--seeds", "6", *HERE, store=store)
    note = "Looked at with 3, then 6 seeds: a difference without any effect has had p < 0.05 at one of these"
    for command in (("claims", "mine"), ("compare", "mine"), ("compare", "mine", "--format", "markdown")):
        shown = ablate_here(*command, store=store)
        assert note in shown
        assert "C1 supported; C2 undecided" in shown
    content = json.loads(ablate_here("compare", "mine", "--format", "json", store=store))["looked"]
    assert content["seeds"] == [3, 6]
    assert content["error"] == pytest.approx(0.087, abs=0.004)
    assert content["rulings"] == {"C1": "supported", "C2": "undecided"}
    part = ablate_here("claims", "mine", "--where", "seed < 4", store=store)
    assert "Looked at" not in part
