"""Stage ``study``: the paper's nine systems at full size, as a user trains them, with as many seeds as fit.

How many runs at once are fastest, and what a training then takes, is measured first, as a worker does it. So
the seeds that are begun can be finished; where not even one seed of each system fits, epochs are left out.
From what the runs took follows what 90 of them would take.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ablate.mtl.config import PROFILES, RunConfig
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.training.capacity import Capacity, measure
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from benchmarks import common
from benchmarks.common import ROOT
from benchmarks.gpu.recording import Clock, Record

SYSTEMS = 9  # of Table 3
SEEDS_OF_THE_PAPER = 10
STARTING_S = 25.0  # the command's imports, its worker's, and the first recordings
SCORING_S = 0.7  # a run, after its training
CLOSING_S = 20.0  # tables, verdicts and the report
STOPPING_S = 10.0  # to save where it is
USABLE = 0.9  # of the time, as other systems than the one measured may be slower
TINY_SETTINGS = {"kernels": "plain", "model.width": 1 / 32, "optim.epochs": 1, "optim.batch_size": 4}
TINY_CLOSING_S = 10.0


class Scope(NamedTuple):
    """How much of the study is trained."""

    seeds: int
    epochs: int
    runs_at_once: int

    @property
    def n_runs(self) -> int:
        return SYSTEMS * self.seeds


def run(
    record: Record, clock: Clock, device: torch.device, *, tiny: bool, data: Path, precision: str
) -> None:
    """Trains, compares and reports. Raises RuntimeError when a command fails, or no run has finished."""
    prepared = open_prepared(data)
    config = RunConfig().override({**PROFILES["paper"], "precision": precision})
    settings: dict[str, Any] = {"precision": precision}
    if tiny:
        scope = Scope(seeds=1, epochs=1, runs_at_once=1)
        settings |= TINY_SETTINGS
    else:
        capacity = measure(config, prepared, device=device)
        torch.cuda.empty_cache()
        record.note(
            runs_in_memory=capacity.fitting,
            steps_per_second={str(n): round(speed, 2) for n, speed in capacity.speeds.items()},
        )
        steps = math.ceil(len(prepared.development) / config.optim.batch_size)
        left = clock.left_s - STARTING_S - CLOSING_S - STOPPING_S
        scope = fitting(capacity, steps, config.optim.epochs, left)
        if scope.epochs != config.optim.epochs:
            settings["optim.epochs"] = scope.epochs
    record.note(
        **scope._asdict(),
        precision=precision,
        clips={"development": len(prepared.development), "evaluation": len(prepared.evaluation)},
    )
    study = Study(record.folder, device, data)
    closing_s = TINY_CLOSING_S if tiny else CLOSING_S
    started = time.monotonic()
    code = study.train(scope, settings, clock.left_s - closing_s)
    wall_s = time.monotonic() - started
    finished = study.finished()
    record.note(exit_code=code, wall_s=round(wall_s, 1), **totals(finished, scope, wall_s))
    for row in finished:
        record.add(row)
    if not finished:
        raise RuntimeError("no run has finished; study.log says why")
    record.note(**study.results())
    if code != 0:
        raise RuntimeError(f"ablate study ended with {code} after {len(finished)} of {scope.n_runs} runs")


def fitting(capacity: Capacity, steps_per_epoch: int, epochs: int, seconds: float) -> Scope:
    """As many seeds as ``seconds`` hold; with fewer epochs where one seed is too many.

    >>> capacity = Capacity(width=8, fitting=20, speeds={1: 10.0, 8: 100.0})
    >>> fitting(capacity, steps_per_epoch=10, epochs=10, seconds=220.0)
    Scope(seeds=12, epochs=10, runs_at_once=8)
    >>> fitting(capacity, steps_per_epoch=10, epochs=100, seconds=52.0)
    Scope(seeds=1, epochs=45, runs_at_once=8)
    """
    runs_at_once = capacity.width
    fastest = capacity.speeds[runs_at_once]
    seconds_a_seed = SYSTEMS * (steps_per_epoch * epochs / fastest + SCORING_S)
    seeds = int(USABLE * seconds / seconds_a_seed)
    if seeds >= 1:
        return Scope(seeds, epochs, runs_at_once)
    training_s = USABLE * seconds - SYSTEMS * SCORING_S
    return Scope(1, max(1, int(training_s * fastest / (SYSTEMS * steps_per_epoch))), runs_at_once)


class Study:
    """The commands that a user would type, one after the other."""

    def __init__(self, folder: Path, device: torch.device, data: Path) -> None:
        self._folder = folder
        self._device = device
        self._data = data
        self._store = folder / "study-store"

    def train(self, scope: Scope, settings: dict[str, Any], seconds: float) -> int:
        """The exit code. What takes longer than ``seconds`` is interrupted as by Ctrl-C."""
        words = [
            "study",
            "paper",
            "--data",
            str(self._data),
            "--profile",
            "paper",
            "--seeds",
            str(scope.seeds),
        ]
        words += ["--device", str(self._device)]
        at_once = "--runs-per-gpu" if self._device.type == "cuda" else "--workers"
        words += [at_once, str(scope.runs_at_once)]
        for name, value in settings.items():
            words += ["--set", f"{name}={value}"]
        process = subprocess.Popen(self._command(words), cwd=ROOT)
        try:
            return process.wait(timeout=max(seconds, 1.0))
        except subprocess.TimeoutExpired:
            print("the time is over; the study saves where it is", flush=True)
            process.send_signal(signal.SIGINT)
            return process.wait()

    def finished(self) -> list[common.Row]:
        """What each finished run took and scored."""
        store = Store(self._store)
        rows = []
        for folder in store.study_runs("paper"):
            status, result = folder.status(), folder.result()
            if status.state is State.FINISHED and result:
                rows.append(_row(folder, result))
        return rows

    def results(self) -> dict[str, Any]:
        """Table 3 and the verdicts, as JSON; the report is a file beside the record."""
        self._call(["report", "paper", "-o", str(self._folder / "report.html")])
        return {
            "table3": self._json(["compare", "paper", "--layout", "table3"]),
            "claims": self._json(["claims", "paper"]),
        }

    def _json(self, words: list[str]) -> Any:
        return json.loads(self._call([*words, "--format", "json"]))

    def _call(self, words: list[str]) -> str:
        done = subprocess.run(
            self._command(words), cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        if done.returncode != 0:
            raise RuntimeError(f"ablate {' '.join(words)} ended with {done.returncode}")
        return done.stdout

    def _command(self, words: list[str]) -> list[str]:
        return [sys.executable, "-m", "ablate.cli.app", *words, "--store", str(self._store)]


def _row(folder: RunFolder, result: dict[str, Any]) -> common.Row:
    planned, status = folder.run(), folder.status()
    history = folder.history()
    return {
        "condition": planned.name,
        "seed": planned.seed,
        "started_at": status.started_at,
        "ended_at": status.ended_at,
        "training_s": round(sum(row["seconds"] for row in history), 2),
        "device": result["device"],
        "metrics": {
            name: result["metrics"].get(name)
            for name in ("scene_micro_f", "scene_macro_f", "event_micro_f", "event_macro_f")
        },
    }


def totals(rows: list[common.Row], scope: Scope, wall_s: float) -> dict[str, Any]:
    """Seconds from the first training's begin to the last one's end, and what 90 runs would take."""
    if not rows:
        return {}
    training_s = max(row["ended_at"] for row in rows) - min(row["started_at"] for row in rows)
    around_s = wall_s - training_s
    paper = SYSTEMS * SEEDS_OF_THE_PAPER
    return {
        "finished": len(rows),
        "gpu_s": round(training_s, 1),
        "forecast": {
            "runs": paper,
            "seconds": round(around_s + training_s / len(rows) * paper * _epochs(scope)),
        },
    }


def _epochs(scope: Scope) -> float:
    """How many times longer the paper's training is than the one that was run."""
    return RunConfig().override(PROFILES["paper"]).optim.epochs / scope.epochs
