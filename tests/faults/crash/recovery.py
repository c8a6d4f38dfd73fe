"""The same command is typed after a crash, on what the disk then holds, and everything is looked at."""

import functools
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer.main
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from ablate.campaign import shipping
from ablate.ground import leases
from ablate.ground.errors import AblateError
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store, _read_study
from tests.command import typed_here
from tests.faults.crash.disk import Disk, Operation, Say
from tests.faults.crash.states import Model
from tests.faults.crash.subject.steps import TRAINED
from tests.faults.study import Outcome, outcome
from tests.faults.verdict import Kind, Problem, litter, shown

PATIENCE_S = 600.0  # for MLflow
REBOOT_S = 3600.0  # how long ago the machine went down
INTERRUPTED = 130
SENDS_THE_REST = "`ablate sync` sends the rest"
TRACEBACK = "Traceback (most recent call last)"
STUDY = "steps"
WEIGHTS = "weights.txt"
SUBJECT = Path(__file__).parent / "subject" / "steps.py"


_command = functools.cache(typer.main.get_command)


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
    """Where a study is recorded, and then recovered from one crash after the other."""

    root: Path
    words: Sequence[str]  # of the command, but for how it trains
    expected: Mapping[str, Outcome] = field(default_factory=dict)  # of the study that was recorded

    @property
    def store(self) -> Store:
        return Store(self.root / "store")

    def set_up_new(self, database: Path) -> None:
        """Nothing but an empty ``database`` of MLflow's, which takes seconds to make."""
        self._set_up(Disk(), 0.0)
        self.store.root.mkdir()
        shutil.copy(database, self.store.database)

    def recover(self, disk: Disk, model: Model, told: Told, *, own_process: bool = False) -> Recovered:
        """Type the command again, in this process, or in one of its own that has workers."""
        began = _cpu_s()
        self._set_up(disk, age_s(model))
        problems = list(self._half_taken())
        is_other_boot = model is not Model.KILLED
        code, said = self._typed() if own_process else self._typed_here(is_other_boot=is_other_boot)
        problems += self._judge(code, said, told)
        return Recovered(said, problems, _cpu_s() - began)

    def run_here(self) -> None:
        """Type the command, in this process, where nothing has happened."""
        code, said = self._typed_here(is_other_boot=False)
        assert code == 0, said
        assert "warning" not in said, said

    def _set_up(self, disk: Disk, age_s: float) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "tmp").mkdir(parents=True)
        disk.write_to(self.store.root, "store", age_s)

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
    def environment(self) -> dict[str, str]:
        return {
            "ABLATE_STORE": str(self.store.root),
            "ABLATE_CHECKPOINT_EVERY_S": "0",
            "MLFLOW_TRACKING_URI": "",
            "TMPDIR": str(self.root / "tmp"),
            TRAINED: str(self.root / "trained.txt"),
        }

    def _typed_here(self, *, is_other_boot: bool) -> tuple[int | str, str]:
        """The exit code and what is said."""
        _read_study.cache_clear()  # a file's time and size tell no crash from another
        said = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.setattr(tempfile, "tempdir", None)  # the environment says where
            patch.setattr(typer.main, "get_command", _command)
            for name in ("OPEN_PATIENCE_S", "SHIP_PATIENCE_S"):  # a busy machine is no crash
                patch.setattr(shipping, name, PATIENCE_S)
            if is_other_boot:
                patch.setattr(leases, "kernel", lambda: "another boot")
            try:
                code = typed_here([*self.words, "--launcher", "inline"], said, said)
            except Exception:
                code = 70
                traceback.print_exc(file=said)
        if code == INTERRUPTED:  # somebody has meant us
            raise KeyboardInterrupt
        for engine in SqlAlchemyStore._engine_map.values():
            engine.dispose()  # what is open is of a database that will be gone
        return code, said.getvalue()

    def _typed(self) -> tuple[int, str]:
        """As ``_typed_here``; typed again where the command itself has asked for that, on a busy machine."""
        command = [sys.executable, "-m", "ablate.cli.app", *self.words, "--workers", "2"]
        environment = {**os.environ, **self.environment}
        for _ in range(5):
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if SENDS_THE_REST not in done.stdout + done.stderr:
                break
        return done.returncode, done.stdout + done.stderr

    def _judge(self, code: int | str, said: str, told: Told) -> Iterator[Problem]:
        if code != 0 or TRACEBACK in said:
            yield Problem(Kind.COMMAND, f"exit code {code}: {said[-1500:]}")
            return
        for run_id, expected in self.expected.items():
            yield from self._run(self.store.folder(run_id), expected)
        yield from litter(self.store.root)
        try:
            yield from self._database()
            yield from shown(self.store.database, self.expected)
        except sqlite3.DatabaseError as error:
            yield Problem(Kind.LOST, f"MLflow's database: {error}")
        yield from self._trained_again(told)

    def _run(self, folder: RunFolder, expected: Outcome) -> Iterator[Problem]:
        try:
            state, damage = folder.status().state, folder.damage(files=True)
            if state is not State.FINISHED or damage:
                yield Problem(Kind.LOST, f"run {folder.run_id} is {state} ({damage})")
            elif outcome(folder, WEIGHTS) != expected:
                yield Problem(Kind.DIFFERS, f"run {folder.run_id}")
        except AblateError as error:
            yield Problem(Kind.LOST, str(error))

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
                if (
                    not file.exists()
                    or file.read_bytes() != (self.store.folder(run_id).path / name).read_bytes()
                ):
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


def age_s(model: Model) -> float:
    """How old the files are that a command finds: a machine takes a while to be up again."""
    return 0.0 if model is Model.KILLED else REBOOT_S


def _cpu_s() -> float:
    """Of this process and those that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
