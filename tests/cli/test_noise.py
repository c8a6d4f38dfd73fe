"""``ablate noise`` from the outside."""

import json
import random
import statistics
from pathlib import Path

import pytest

from ablate.analysis.noise import least_effect
from ablate.ground.errors import ConfigError, StudyError
from ablate.record.store import Store
from tests.analysis.programs import add_condition, losses
from tests.command import ablate_here as ablate

MODULE = """\
import random
import ablate

class Config(ablate.Config):
    a: float = 0.0

def train(config, run):
    return ablate.Scores(score=config.a + random.Random(config.seed).gauss(0, 1))

subject = ablate.Subject("drawn", Config, train)
"""
HERE = ("--launcher", "inline")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (tmp_path / "drawn.py").write_text(MODULE)
    return Store(tmp_path / "store")


def test_the_baseline_alone_is_trained_and_later_plans_know_its_noise(store: Store) -> None:
    shown = ablate("noise", "--subject", "drawn.py", "--seeds", 4, *HERE, store=store)
    assert "Baseline of study noise: 4 seeds, 4 to train" in shown
    assert "Noise of baseline, study noise:" in shown
    assert len(store.finished_runs()) == 4
    more = ablate("noise", "--subject", "drawn.py", "--seeds", 5, *HERE, store=store)
    assert "5 seeds, 1 to train" in more
    plan = ("grid", "--subject", "drawn.py", "--levels", "a=0,1", "--dry-run")
    sd = statistics.stdev(random.Random(seed).gauss(0, 1) for seed in range(5))
    shown = ablate(*plan, store=store)
    assert f"  noise: score SD {sd:.4f} over 5 seeds; 3 seeds tell apart " in shown
    assert f" {least_effect(3) * 2**0.5 * sd:.4f} or less, with a chance of 80 %" in shown
    assert "tell apart" not in ablate(*plan, "--seeds", 1, store=store)


def test_a_study_s_own_differences_say_more(store: Store) -> None:
    ablate("grid", "--subject", "drawn.py", "--levels", "a=0,1", "--seeds", 3, *HERE, store=store)
    (found,) = json.loads(ablate("noise", "drawn", "--format", "json", store=store))["baselines"]["baseline"]
    assert (found["n"], found["is_paired"]) == (3, False)  # a = 1 adds 1 to every seed: no spread
    ablate("noise", "drawn", "--seeds", 4, *HERE, store=store)
    assert [run.seed for run in store.study_runs("drawn") if run.name == "baseline"] == [0, 1, 2, 3]
    assert [run.seed for run in store.study_runs("drawn") if run.name == "a=1"] == [0, 1, 2]


def test_noise_of_a_program_that_is_gone_can_be_read(store: Store) -> None:
    add_condition(store, "baseline", {}, losses(1.0, 1.2, 1.4))
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(0.5, 0.72, 0.94))
    (loss, accuracy) = json.loads(ablate("noise", "s", "--format", "json", store=store))["baselines"][
        "baseline"
    ]
    assert (loss["metric"], loss["n"], loss["is_paired"]) == ("loss", 3, True)
    assert loss["sd"] == pytest.approx(0.2)
    assert loss["sd_of_difference"] == pytest.approx(0.02)  # less by 0.50, 0.48, 0.46
    assert accuracy["metric"] == "accuracy"
    assert "loss" in ablate("noise", "--study", "s", store=store)


def test_wrong_questions_are_sentences(store: Store) -> None:
    add_condition(store, "lr=0.01", {"lr": 0.01}, losses(0.5, 0.72))
    with pytest.raises(StudyError, match="study 's' has no run of a condition 'baseline'"):
        ablate("noise", "s", store=store)
    with pytest.raises(StudyError, match="no study 'nine'"):
        ablate("noise", "nine", store=store)
    with pytest.raises(ConfigError, match="--profile: study 's' has its own"):
        ablate("noise", "s", "--profile", "quick", store=store)
    add_condition(store, "baseline", {}, losses(1.0))
    assert "no metric differs between its seeds" in ablate("noise", "s", store=store)
