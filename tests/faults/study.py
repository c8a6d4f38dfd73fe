"""A small study as a user runs it: a real ``ablate grid`` with real workers, on a store of its own."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from tests.command import SMALL
from tests.faults.light import WEIGHTS

if TYPE_CHECKING:
    from tests.faults.forked import Fork

WORKER = "ablate.worker"  # in the command line of a worker process
POLL_S = 0.02
STRAGGLERS_PATIENCE_S = 120.0  # a worker without a controller ends its import or its step, saves and leaves


@dataclass(frozen=True)
class Attempt:
    """One time that the command was typed, and the file with what it said."""

    process: "subprocess.Popen[bytes] | Fork"
    output: Path

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def code(self, patience_s: float) -> int | None:
        """The exit code, negative for a signal; None when the command does not end in time."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


@dataclass
class Study:
    """``folder`` holds the store and what the commands said; ``environment`` is the commands' own."""

    folder: Path
    data: Path
    positions: str = "none,S1"  # of the gradient reversal: one condition each
    seeds: int = 2
    epochs: int = 30
    workers: int = 2
    environment: dict[str, str] = field(default_factory=dict)
    name: str = field(default="grid", init=False)
    database: Path = field(init=False)  # MLflow's
    _attempts: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store_path.mkdir(parents=True)
        self.database = self.store.database

    @property
    def store_path(self) -> Path:
        return self.folder / "store"

    @property
    def store(self) -> Store:
        return Store(self.store_path)

    @property
    def n_runs(self) -> int:
        return self.seeds * len(self.positions.split(","))

    @property
    def command(self) -> list[str]:
        words = ["grid", "--levels", f"grl_pos={self.positions}", "--seeds", str(self.seeds), *SMALL]
        words += ["--set", f"optim.epochs={self.epochs}", "--data", str(self.data)]
        return [*words, "--workers", str(self.workers), "--device", "cpu"]

    def start(self) -> Attempt:
        """Type the command."""
        return self.type(*self.command)

    def ask(self, *words: str) -> tuple[int | None, str]:
        """Exit code and output of another command on the same store."""
        attempt = self.type(*words)
        return attempt.code(120), attempt.said()

    def type(self, *words: str, program: str = "ablate.cli.app") -> Attempt:
        with self._output().open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", program, *words],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=self._variables(),
            )
        return self._typed(process)

    def _output(self) -> Path:
        return self.folder / f"said-{len(self._attempts)}.txt"

    def _variables(self) -> dict[str, str]:
        """The environment of the next command."""
        mine = {"MLFLOW_TRACKING_URI": "", **self.environment, "ABLATE_STORE": str(self.store_path)}
        return {**os.environ, **mine}

    def _typed(self, process: "subprocess.Popen[bytes] | Fork") -> Attempt:
        self._attempts.append(Attempt(process, self._output()))
        return self._attempts[-1]

    def processes(self) -> dict[int, str]:
        """Process id -> command line of every process that has this store in its environment."""
        mark = f"ABLATE_STORE={self.store_path}\0".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
                if mark in (path / "environ").read_bytes():
                    command = (path / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(path.name)] = command.decode(errors="replace")
        return found

    def worker_ids(self) -> list[int]:
        return sorted(pid for pid, command in self.processes().items() if WORKER in command)

    def stragglers(self) -> dict[int, str]:
        """The processes that are still there after a worker's time to save and leave."""
        deadline = time.monotonic() + STRAGGLERS_PATIENCE_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return left

    def end(self) -> None:
        """Kill whatever is left, so that nothing of this study outlives its test."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for attempt in self._attempts:
            attempt.process.wait()

    def folders(self) -> list[RunFolder]:
        return self.store.study_runs(self.name)

    def finished(self) -> dict[str, tuple[int, int]]:
        """Run id -> which file the result of a finished run is; it changes when the run is trained again."""
        files = {path.parent.name: path.stat() for path in self.store_path.glob("runs/*/result.json")}
        return {run_id: (stat.st_ino, stat.st_mtime_ns) for run_id, stat in files.items()}


@dataclass(frozen=True)
class Outcome:
    """What a finished run holds, without what a clock measured."""

    result: dict[str, Any]
    history: list[dict[str, Any]]
    weights: str  # SHA-256 of the file


def outcome(folder: RunFolder, weights: str = WEIGHTS) -> Outcome:
    """Raises OSError or AblateError when the run has not finished, or its record is damaged."""
    result = json.loads((folder.path / "result.json").read_text())
    for how in ("duration_s", "made"):  # by which process, which says nothing of the numbers
        result.pop(how)
    history = [{name: row[name] for name in row if name != "seconds"} for row in folder.history()]
    return Outcome(result, history, hashlib.sha256((folder.path / weights).read_bytes()).hexdigest())


def outcomes(study: Study) -> dict[str, Outcome]:
    """Of every run, by run id."""
    return {folder.run_id: outcome(folder) for folder in study.folders()}


@dataclass(frozen=True)
class Undisturbed:
    """How the study goes when nothing happens to it. Times are seconds since the command was typed."""

    seconds: float
    workers_from: float
    workers_until: float
    used_kib: int  # of the store, at the end
    outcomes: dict[str, Outcome]


def run_undisturbed(study: Study) -> Undisturbed:
    started = time.monotonic()
    attempt = study.start()
    seen: list[float] = []
    while attempt.is_running:
        if study.worker_ids():
            seen.append(time.monotonic() - started)
        time.sleep(POLL_S)
    seconds = time.monotonic() - started
    assert attempt.process.returncode == 0, attempt.said()
    used = sum(path.stat().st_blocks for path in study.store_path.rglob("*")) // 2
    return Undisturbed(seconds, seen[0], seen[-1], used, outcomes(study))
