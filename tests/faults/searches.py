"""Searches that are killed with all their processes, and what must hold once they are complete."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import load_study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ablate.record.searches import SearchFolder, Trial
from ablate.record.store import Store
from tests.faults.verdict import Kind, Problem

if TYPE_CHECKING:
    from tests.faults.forked import Fork

NAME = "search"
EPOCHS = 4
PATIENCE_S = 300.0
POLL_S = 0.01

# The file of finished trainings is written before the harness knows that a training has finished.
MODULE = f"""
import os
import time

import ablate


class Config(ablate.Config):
    kind: str = "plain"
    strength: float = ablate.setting(1.0, gt=0)
    y: float = 0.5


def strength_is_inert(config):
    if config.kind == "plain" and config.strength != 1.0:
        return ablate.Inert(1.0, "nothing is strengthened")


def train(config, run):
    bonus = 0.3 * (config.strength > 1) if config.kind == "sharp" else 0.0
    for epoch in run.epochs({EPOCHS}):
        score = bonus - (config.y - 0.7) ** 2 - 0.5 / (epoch + 1)
        time.sleep(float(os.environ["EPOCH_S"]))
        run.report(score=score)
    with open(os.environ["FINISHED"], "a") as file:
        file.write(f"{{run.seed}} {{config}}\\n")
    return ablate.Scores(score=score + 0.001 * run.seed)


subject = ablate.Subject(
    "mine",
    Config,
    train,
    metrics=[ablate.Metric("score", select=True)],
    factors=[
        ablate.Factor("kind", "kind", ("plain", "sharp")),
        ablate.Factor("strength", "strength", (), "", strength_is_inert, "kind = plain"),
    ],
)
"""


@dataclass
class Search:
    """A search in a folder of its own, by one worker, so that what is drawn depends on no race."""

    folder: Path
    trials: int = 10
    pruner: str = "none"
    epoch_s: float = 0.02
    forks: bool = False  # of this process its commands are, which share its imports
    kills: list[str] = field(default_factory=list)
    _processes: "list[subprocess.Popen[bytes] | Fork]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.root.mkdir(parents=True)
        (self.folder / "mine.py").write_text(MODULE)

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def record(self) -> SearchFolder:
        return SearchFolder.of(self.store, NAME)

    @property
    def command(self) -> list[str]:
        words = ["search", NAME, "--subject", str(self.folder / "mine.py"), "--maximize", "score"]
        words += ["--factors", "kind", "--range", "strength=0.1:10:log", "--range", "y=0:1"]
        words += ["--trials", str(self.trials), "--prune", self.pruner, "--workers", "1"]
        return [*words, "--confirm", "1", "--confirm-seeds", "2"]

    def start(self) -> "subprocess.Popen[bytes] | Fork":
        self._processes.append(self._forked() if self.forks else self._started())
        return self._processes[-1]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": "",
            "ABLATE_STORE": str(self.store.root),
            "FINISHED": str(self.folder / "finished.txt"),
            "EPOCH_S": str(self.epoch_s),
        }

    def _forked(self) -> "Fork":
        from tests.faults.forked import Fork

        return Fork(self.command, self._environment(), self.folder / "said.txt")

    def _started(self) -> subprocess.Popen[bytes]:
        with (self.folder / "said.txt").open("ab") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "ablate.cli.app", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=self._environment(),
            )

    def complete(self) -> None:
        """Type the command, and wait until it is done."""
        code = self.start().wait(PATIENCE_S)
        assert code == 0, f"exit code {code}: {(self.folder / 'said.txt').read_text()[-3000:]}"

    def kill_at(self, n_asked: int, pause_s: float) -> bool:
        """Type the command, and kill everything ``pause_s`` after so many trials were asked, or at its end.

        False when the command was faster.
        """
        process = self.start()
        while process.poll() is None and self._n_asked() < n_asked:
            time.sleep(POLL_S)
        time.sleep(pause_s)
        is_met = process.poll() is None
        self.end()
        if is_met:
            self.kills.append(f"SIGKILL to all, {self._n_asked()} asked, {len(self.results())} finished")
        return is_met

    def tear(self) -> None:
        """What is left of a trial whose line was cut off while it was written."""
        with self.record.trials_file.open("a") as file:
            file.write('{"number":99,"na')

    def end(self) -> None:
        """Kill whatever is left of this search."""
        for process in self._processes:  # a fork has another environment than its own
            process.send_signal(signal.SIGKILL)
        mark = f"ABLATE_STORE={self.store.root}\0".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
                if mark in (path / "environ").read_bytes():
                    os.kill(int(path.name), signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def results(self) -> dict[str, tuple[int, int]]:
        """Run id -> which file its result is; it changes when the run is trained again."""
        files = {path.parent.name: path.stat() for path in self.store.runs.glob("*/result.json")}
        return {run_id: (stat.st_ino, stat.st_mtime_ns) for run_id, stat in files.items()}

    def ends(self) -> dict[str, tuple[str, int]]:
        """How each run of a trial has ended, and after how many epochs."""
        folders = {run: self.store.folder(run) for trial in self.record.trials() for run in trial.runs}
        return {run: (each.status().state.value, len(each.history())) for run, each in folders.items()}

    def _n_asked(self) -> int:
        try:
            return self.record.trials_file.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0


@dataclass(frozen=True)
class Undisturbed:
    """What a search comes to when nothing happens to it."""

    trials: list[Trial]
    ends: dict[str, tuple[str, int]]
    runs: frozenset[str]  # those that train the best anew among them


def undisturbed(search: Search) -> Undisturbed:
    search.complete()
    return Undisturbed(search.record.trials(), search.ends(), frozenset(search.results()))


def killed_again_and_again(
    search: Search, draw: random.Random, kills: int, expected: Undisturbed
) -> list[Problem]:
    """Kill the search at moments that ``draw`` chooses, type its command until it is done, and look."""
    problems: list[Problem] = []
    for _ in range(kills):
        before = search.results()
        search.kill_at(
            draw.randint(0, search.trials), draw.choice([0.0, draw.uniform(0, 0.1), draw.uniform(0, 2)])
        )
        if draw.random() < 0.5 and search.record.trials_file.exists():
            search.tear()
        problems += _doubled(before, search.results())
    before = search.results()
    search.complete()
    return [*problems, *_doubled(before, search.results()), *examine(search, expected)]


def _doubled(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> Iterator[Problem]:
    for run_id, file in before.items():
        if after.get(run_id) != file:
            yield Problem(Kind.DOUBLED, f"run {run_id} had finished and was trained again")


def examine(search: Search, expected: Undisturbed) -> Iterator[Problem]:
    """All that is wrong with a search that was killed and is complete."""
    yield from _trials(search, expected)
    yield from _trainings(search)
    yield from _shown(search)
    yield from _copied(search)


def _trials(search: Search, expected: Undisturbed) -> Iterator[Problem]:
    """The same trials as undisturbed, up to one that the pruner has met at another epoch.

    How far a worker is when it is told to give a run up is a matter of milliseconds.
    """
    ends, found = search.ends(), search.record.trials()
    for mine, other in zip(found, expected.trials, strict=False):
        if mine != other:
            yield Problem(Kind.DIFFERS, f"asked for {mine}, not {other}")
            return
        if any(ends[run] != expected.ends[run] for run in mine.runs):
            if search.pruner == "none":
                yield Problem(Kind.DIFFERS, f"{mine.name} ended otherwise: {ends[mine.runs[0]]}")
            return
    if len(found) != len(expected.trials):
        yield Problem(Kind.DIFFERS, f"{len(found)} trials, not {len(expected.trials)}")
    if search.results().keys() != expected.runs:
        yield Problem(Kind.DIFFERS, "not the same runs have finished")


def _trainings(search: Search) -> Iterator[Problem]:
    lines = Counter((search.folder / "finished.txt").read_text().splitlines())
    results = search.results()
    if len(lines) < len(results):
        yield Problem(Kind.LOST, f"{len(lines)} trainings have finished, and {len(results)} runs")
    if lines.total() > len(lines) + len(search.kills):
        yield Problem(Kind.DOUBLED, f"more trainings than runs and kills: {lines}")
    for run_id, (state, _) in search.ends().items():
        if state not in ("finished", "pruned"):
            yield Problem(Kind.LOST, f"run {run_id} is {state}")


def _shown(search: Search) -> Iterator[Problem]:
    """What MLflow shows, read from its database."""
    with closing(sqlite3.connect(f"file:{search.store.database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT value, run_uuid FROM tags WHERE key = 'ablate.run_id'").fetchall()
    shown = Counter(run_id for run_id, _ in rows)
    for run_id in {*search.results(), *search.ends()}:
        if shown[run_id] != 1:
            yield Problem(
                Kind.LOST if not shown[run_id] else Kind.DOUBLED, f"MLflow: {run_id} {shown[run_id]} x"
            )
    for run_id in shown.keys() - {path.name for path in search.store.runs.iterdir()}:
        yield Problem(Kind.DOUBLED, f"MLflow shows run {run_id}, which was never asked for")


def _copied(search: Search) -> Iterator[Problem]:
    """What Optuna's dashboard is told: each trial once, with what it has scored."""
    storage = JournalStorage(JournalFileBackend(str(search.record.optuna_file)))
    copies = load_study(study_name=NAME, storage=storage).trials
    told: dict[int, list[Any]] = {trial.number: [] for trial in search.record.trials()}
    for copy in copies:
        told[copy.user_attrs["trial"]].append(copy)
    for number, found in told.items():
        if len(found) != 1:
            yield Problem(
                Kind.DOUBLED if found else Kind.LOST, f"Optuna was told {len(found)} x of trial {number}"
            )
    for trial in search.record.trials():
        for copy in told[trial.number][:1]:
            score = _score(search, trial)
            if copy.params != trial.draws or copy.value != score:
                yield Problem(Kind.DIFFERS, f"Optuna was told {copy.params} {copy.value} of {trial}, {score}")


def _score(search: Search, trial: Trial) -> float | None:
    result = search.store.runs / trial.runs[0] / "result.json"
    return json.loads(result.read_text())["metrics"]["score"] if result.exists() else None
