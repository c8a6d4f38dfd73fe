"""The same command is typed after a crash, on what the disk then holds, and everything is looked at."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ablate.ground import leases
from ablate.ground.errors import AblateError
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from tests.faults.crash.disk import Disk, Operation, Say
from tests.faults.crash.states import Crash, Model, disk_of
from tests.faults.crash.steps import TRAINED
from tests.faults.study import Outcome, outcome
from tests.faults.verdict import Kind, Problem, litter, shown

PATIENCE_S = 120
REBOOT_S = 3600.0  # how long ago the machine went down
TRACEBACK = "Traceback (most recent call last)"
STUDY = "steps"
SUBJECT = Path(__file__).with_name("steps.py")


@dataclass(frozen=True)
class Told:
    """What a command had said of its runs when the machine went down."""

    finished: frozenset[str] = frozenset()
    epochs: Mapping[str, int] = field(default_factory=dict)  # run id -> the last one that was reported

    @classmethod
    def by(cls, operations: Sequence[Operation]) -> "Told":
        events = [json.loads(said.line) for said in operations if isinstance(said, Say)]
        return cls(
            frozenset(event["run_id"] for event in events if event["kind"] == "finished"),
            {event["run_id"]: event["epoch"] for event in events if event["kind"] == "epoch"},
        )


@dataclass(frozen=True)
class Recovered:
    """What the command said, what of all was wrong, and what it took in seconds of CPU."""

    said: str
    problems: list[Problem]
    cpu_s: float


@dataclass(frozen=True)
class Laboratory:
    """Where crashes are recovered from: in the folder in which the study was recorded, one after the other."""

    root: Path
    words: Sequence[str]  # of the command
    expected: Mapping[str, Outcome]  # of the study that was recorded

    @property
    def store(self) -> Store:
        return Store(self.root / "store")

    def recover(self, operations: Sequence[Operation], crash: Crash, *, own_process: bool) -> Recovered:
        """Type the command again: by a fork of this process, or by a real one with workers of its own."""
        self._set_up(disk_of(operations, crash), 0.0 if crash.model is Model.KILLED else REBOOT_S)
        problems = list(self._half_taken())
        began = _children_cpu_s()
        if own_process:
            code, said = self._type([sys.executable, "-m", "ablate.cli.app", *self.words, "--workers", "2"])
        else:
            code, said = self._fork(is_other_boot=crash.model is not Model.KILLED)
        cpu_s = _children_cpu_s() - began
        problems += self._judge(code, said, Told.by(operations[: crash.after]))
        return Recovered(said, problems, cpu_s)

    def _set_up(self, disk: Disk, age_s: float) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        disk.write_to(self.store.root, "store", age_s)
        (self.root / "tmp").mkdir()

    def _half_taken(self) -> Iterator[Problem]:
        """Before the command: a run that reads as finished is whole, and nothing is said in a traceback."""
        for run_id, expected in self.expected.items():
            folder = self.store.folder(run_id)
            try:
                if folder.look()[0].state is State.FINISHED and outcome(folder, WEIGHTS) != expected:
                    yield Problem(Kind.DIFFERS, f"run {run_id} reads as finished before the command")
            except AblateError:
                continue
            except Exception as error:
                yield Problem(Kind.COMMAND, f"reading run {run_id} raises {error!r}")

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "ABLATE_STORE": str(self.store.root),
            "ABLATE_CHECKPOINT_EVERY_S": "0",
            "MLFLOW_TRACKING_URI": "",
            "TMPDIR": str(self.root / "tmp"),
            TRAINED: str(self.root / "trained.txt"),
        }

    def _fork(self, *, is_other_boot: bool) -> tuple[int, str]:
        child = os.fork()
        if child == 0:
            self._be_the_command(is_other_boot)
        return self._end_of(child)

    def _be_the_command(self, is_other_boot: bool) -> None:
        """Never returns."""
        try:
            self._redirect()
            os.environ.update(self._environment)
            if is_other_boot:
                leases.kernel = lambda: "another boot"
            sys.argv = ["ablate", *self.words, "--launcher", "inline"]
            from ablate.cli.app import main

            main()
        except SystemExit as ended:
            _leave(ended.code if isinstance(ended.code, int) else int(bool(ended.code)))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        _leave(70)

    def _redirect(self) -> None:
        output = os.open(self.root / "said.txt", os.O_WRONLY | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for stream, file in enumerate((nothing, output, output)):
            os.dup2(file, stream)

    def _type(self, words: Sequence[str]) -> tuple[int, str]:
        child = os.fork()
        if child == 0:
            try:
                self._redirect()
                os.setpgid(0, 0)
                os.execve(words[0], words, {**os.environ, **self._environment})
            finally:
                os._exit(71)
        return self._end_of(child)

    def _end_of(self, child: int) -> tuple[int, str]:
        deadline = time.monotonic() + PATIENCE_S
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(ended[1]), (self.root / "said.txt").read_text(errors="replace")

    def _judge(self, code: int, said: str, told: Told) -> Iterator[Problem]:
        if code != 0 or TRACEBACK in said:
            yield Problem(Kind.COMMAND, f"exit code {code}: {said[-1500:]}")
            return
        for run_id, expected in self.expected.items():
            yield from self._run(self.store.folder(run_id), expected)
        yield from litter(self.store.root)
        yield from shown(self.store.database, self.expected)
        yield from self._database()
        yield from self._trained_again(told)

    def _run(self, folder: RunFolder, expected: Outcome) -> Iterator[Problem]:
        state = folder.status().state
        if state is not State.FINISHED or folder.damage(files=True):
            yield Problem(Kind.LOST, f"run {folder.run_id} is {state}")
        elif outcome(folder, WEIGHTS) != expected:
            yield Problem(Kind.DIFFERS, f"run {folder.run_id}")

    def _database(self) -> Iterator[Problem]:
        """MLflow's database is whole, and so are the files that it shows."""
        with closing(sqlite3.connect(self.store.database)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check").fetchone()
            if said != "ok":
                yield Problem(Kind.LOST, f"MLflow's database: {said}")
            found = connection.execute(
                "SELECT tags.value, run_uuid FROM tags JOIN runs USING (run_uuid) "
                "WHERE tags.key = 'ablate.run_id' AND runs.lifecycle_stage = 'active'"
            ).fetchall()
        for run_id, identifier in found:
            for name in ("config.json", WEIGHTS):
                file = self.store.artifacts / STUDY / identifier / "artifacts" / name
                if not file.exists() or file.read_bytes() != (self.store.folder(run_id).path / name).read_bytes():
                    yield Problem(Kind.LOST, f"MLflow does not show {name} of run {run_id} as it is")

    def _trained_again(self, told: Told) -> Iterator[Problem]:
        """No run that was told to have finished, and no epoch of others but the last."""
        file = self.root / "trained.txt"
        for line in file.read_text().splitlines() if file.exists() else ():
            run_id, first = self._trained(line)
            if run_id in told.finished:
                yield Problem(Kind.DOUBLED, f"run {run_id} had finished and was trained again")
            elif first < told.epochs.get(run_id, 0):
                yield Problem(Kind.LOST, f"run {run_id} went back to epoch {first}")

    def _trained(self, line: str) -> tuple[str, int]:
        step, seed, first = line.split()
        for run_id in self.expected:
            settings = self.store.folder(run_id).run().config
            if (float(settings.values["step"]), settings.seed) == (float(step), int(seed)):
                return run_id, int(first)
        raise AssertionError(line)


WEIGHTS = "weights.txt"


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
