"""``ablate search`` as it is typed, and Optuna's own loop, on trainings that only take their time."""

import json
import sys
import tempfile
from pathlib import Path

from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ablate.record.store import Store
from benchmarks.common import Row, time_command

WORKERS = 2
NAME = "timed"

MODULE = """
import time

import ablate


class Config(ablate.Config):
    x: float = 1.0
    y: float = 0.5
    seconds: float = 0.5


def train(config, run):
    time.sleep(config.seconds)
    return ablate.Scores(score=-((config.x - 0.3) ** 2) - (config.y - 0.7) ** 2)


subject = ablate.Subject("timed", Config, train, metrics=[ablate.Metric("score", select=True)])
"""


def ablate_search(sampler: str, trials: int, seconds: float) -> Row:
    words = ["search", NAME, "--subject", "timed.py", "--range", "x=0.01:10:log", "--range", "y=0:1"]
    words += ["--maximize", "score", "--trials", str(trials), "--sampler", sampler, "--confirm", "0"]
    return _timed("ablate search", sampler, words, seconds)


def ablate_grid(trials: int, seconds: float) -> Row:
    """As many trainings as a grid: what of a search's cost is not the asking."""
    levels = ",".join(f"{place / trials:.6f}" for place in range(trials))
    words = ["grid", NAME, "--subject", "timed.py", "--levels", f"y={levels}", "--seeds", "1"]
    return _timed("ablate grid", "-", words, seconds)


def _timed(what: str, sampler: str, words: list[str], seconds: float) -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "timed.py").write_text(MODULE)
        command = [sys.executable, "-m", "ablate.cli.app", *words, "--set", f"seconds={seconds}"]
        command += ["--workers", str(WORKERS), "--store", "store"]
        wall_s, cpu_s = time_command(command, folder, MLFLOW_TRACKING_URI="")
        states = [run.status() for run in Store(folder / "store").finished_runs()]
    spans = [(state.started_at or 0.0, state.ended_at or 0.0) for state in states]
    return _row(what, sampler, seconds, spans, wall_s, cpu_s)


def optuna_loop(sampler: str, trials: int, seconds: float) -> Row:
    """As many processes as there are workers, each with ``study.optimize``, on one journal file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = {"sampler": sampler, "trials": trials, "seconds": seconds, "workers": WORKERS}
        command = [sys.executable, "-m", "benchmarks.search.optuna_loop", json.dumps(given)]
        wall_s, cpu_s = time_command(command, folder)
        storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
        found = load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False)
    spans = [
        (trial.datetime_start.timestamp(), trial.datetime_complete.timestamp())
        for trial in found
        if trial.datetime_start is not None and trial.datetime_complete is not None
    ]
    return _row("Optuna's own loop", sampler, seconds, spans, wall_s, cpu_s)


def _row(
    what: str, sampler: str, seconds: float, spans: list[tuple[float, float]], wall_s: float, cpu_s: float
) -> Row:
    """``overhead_s`` is a trial's share of the time from the first trial to the last, less the training's."""
    n = len(spans)
    first_to_last_s = max(end for _, end in spans) - min(start for start, _ in spans)
    ideal_s = seconds / WORKERS
    return {
        "what": what,
        "sampler": sampler,
        "training_s": seconds,
        "trials": n,
        "trials_per_hour": round(3600 * n / first_to_last_s),
        "idle": round(1 - n * ideal_s / first_to_last_s, 3),
        "overhead_s": round(first_to_last_s / n - ideal_s, 4),
        "overhead_of_command_s": round(wall_s / n - ideal_s, 4),
        "cpu_s_per_trial": round(cpu_s / n, 4),
        "wall_s": round(wall_s, 1),
    }
