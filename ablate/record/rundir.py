"""The run folder: the durable record that a worker writes, and the only truth about a run.

    <store>/runs/<run id>/
        config.json          what was asked for: configuration, data set, name, schema
        state.json           how far it is
        energy.json          the energy that it has taken so far, where that is measured; gone likewise
        lock, lock.<n>       the lease of the process that trains it (see `leases`)
        history.jsonl        one line an epoch: losses, gradient evidence, seconds
        checkpoint...        where to resume, in the subject's own form; gone once the run has finished
        result.json          scores, matrices, tables, versions, duration
        ...                  files that the training has returned, such as weights.safetensors
        items.npz, ...       more of these, which may be deleted: counts by item (see `subject.items`)
        seal.json            what these held when the run finished, but for those that may be deleted
        rescored.json, .npz  scores that were asked for later, and their counts by item
        log.txt              what the worker said, with the traceback of a failure
        mlflow.json          which MLflow runs show it, and how much of it they show

A run whose state says "running" while nobody holds its lease was killed: it reads as interrupted. One that
finished and is no longer what its seal says reads as damaged, and none of its numbers is used.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ablate.design.runs import SCHEMA, Run, SubjectRef
from ablate.ground.errors import StoreError
from ablate.ground.failures import Failure, failure_told
from ablate.ground.files import (
    UNFINISHED,
    as_text,
    flush_content,
    flush_names,
    last_lines,
    read_json,
    replacing,
    write_json,
)
from ablate.ground.leases import Holder, Lease, holder, lease
from ablate.ground.machine import cluster_job
from ablate.ground.records import require
from ablate.record import seals
from ablate.record.formats import Asked, Energy, Epoch, Rescored, Result
from ablate.record.formats import State as StateRecord
from ablate.subject.interface import Dataset
from ablate.subject.items import FILE as ITEMS_FILE
from ablate.subject.items import Items, ItemsError
from ablate.subject.settings import Settings

# A probe of the lease by `ablate status` holds its lock for microseconds; a worker waits this long before it
# believes that another worker has the run.
LEASE_PATIENCE_S = 1.0

# Scores that are asked for when a run has finished, beside what its training returned.
RESCORED = "rescored.json"
RESCORED_ITEMS = "rescored.npz"

ENERGY_FILE = "energy.json"

MOST_EMPTY = 100  # lines at the end of a log among which its last ones are looked for

# What the harness itself keeps in a run's folder; the rest is the subject's.
OWN_FILES = frozenset(
    {
        "config.json",
        "state.json",
        "history.jsonl",
        "result.json",
        "seal.json",
        "rescored.json",
        "rescored.npz",
        "energy.json",
        "log.txt",
        "mlflow.json",
        "lock",
    }
)

DAMAGED = "is damaged; move the run folder away and type the command again that planned the run"


class State(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"  # a search has stopped it as hopeless; who wants it trained to its end resumes it
    DAMAGED = "damaged"  # never written: it is found out


@dataclass(frozen=True)
class Status:
    """How far a run is. Times are seconds since the epoch; ``cause`` says why it failed or stopped.

    ``failure`` is what is known of that beside the words, of a run that has failed.
    """

    state: State
    cause: str | None = None
    attempt: int = 0
    host: str | None = None
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    job: str | None = None  # of a cluster
    failure: Failure | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Status":
        """From what ``dataclasses.asdict`` made of it. Raises TypeError, ValueError or KeyError."""
        failure = content.get("failure")
        return cls(
            **{
                **content,
                "state": State(content["state"]),
                "failure": None if failure is None else Failure.of(failure),
            }
        )

    @property
    def failed_of(self) -> Failure:
        """What a failed run has failed of; where that was not recorded, what its cause says."""
        return self.failure or failure_told(self.cause)


NOT_BEGUN = Status(State.PENDING)  # one for all: a plan holds thousands of these


class OtherSchema(StoreError):
    """The run was written by another version, for which its numbers may mean something else."""


class RunBusy(Exception):
    """Another process is training this run."""


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes one run's folder.

    ``name`` and ``condition`` are what the study that looks at it calls its condition, as studies that share
    a run may differ in that; None stands for what was recorded first. The study knows them, the ``seed`` and
    the ``fold`` also where the folder is gone.
    """

    path: Path
    name: str | None = None
    condition: Mapping[str, Any] | None = field(default=None, compare=False)
    seed: int | None = None
    fold: int | None = None

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def history_file(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def mlflow_file(self) -> Path:
        return self.path / "mlflow.json"

    def mlflow_notes(self) -> dict[str, dict[str, Any]]:
        """What is noted of each study's MLflow run. A projection: what is lost or damaged says nothing."""
        try:
            notes = read_json(self.mlflow_file)
        except (OSError, ValueError):
            return {}
        if not isinstance(notes, dict):
            return {}
        return {study: note for study, note in notes.items() if isinstance(note, dict)}

    def checkpoints(self) -> list[Path]:
        """What is there to resume from: subjects keep that in files and folders named ``checkpoint...``."""
        return sorted(self.path.glob("checkpoint*"))

    def create(self, run: Run) -> None:
        """Record what is asked for. What is there already stays, unless it is damaged beyond reading."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._holds(run):
            dataset = {**asdict(run.dataset), "path": str(run.dataset.path)}
            content = {
                "schema": SCHEMA,
                "run_id": run.run_id,
                "name": run.name,
                "condition": run.condition,
                "subject": asdict(run.subject),
                "scoring": run.scoring,
                "folds": run.folds,
                "config": run.config.flat(),
                "dataset": dataset,
                "lean": run.lean,
                "metered": run.metered,
            }
            write_json(self.path / "config.json", content)

    def _holds(self, run: Run) -> bool:
        """Whether the folder says that it is the run's; one of another schema is not ours to mend."""
        try:
            content = read_json(self.path / "config.json")
            return bool(content["schema"] != SCHEMA or content["run_id"] == run.run_id)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def order(self, run: Run) -> None:
        """Record what is asked for now of a run that has not finished, beside what it is."""
        asked = {"lean": run.lean, "metered": run.metered}
        content = read_json(self.path / "config.json")
        if {name: content.get(name, False) for name in asked} != asked:
            write_json(self.path / "config.json", {**content, **asked})

    def run(self) -> Run:
        """What was asked for. Raises OtherSchema, or StoreError when the folder is damaged."""
        try:
            content = read_json(self.path / "config.json")
            if isinstance(content, dict) and content.get("schema", SCHEMA) != SCHEMA:
                raise OtherSchema(
                    f"{self.path}: written with schema {content['schema']}, this version reads {SCHEMA}; "
                    "use a new --store"
                )
            require(Asked, content)
            dataset = Dataset(**{**content["dataset"], "path": Path(content["dataset"]["path"])})
            name = content["name"] if self.name is None else self.name
            condition = content["condition"] if self.condition is None else self.condition
            subject, scoring = SubjectRef(**content["subject"]), tuple(content["scoring"])
            settings, lean = Settings(content["config"]), content.get("lean", False)
            metered = content.get("metered", False)
            folds = tuple(content["folds"]) if content.get("folds") else None
            run = Run(settings, dataset, name, condition, subject, scoring, lean, folds, metered)
            if run.run_id != self.run_id:
                raise ValueError(f"its config.json is that of run {run.run_id}")
            return run
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.path}: no readable run folder ({error}); move it away, if it is there, and type the "
                "command again that planned the run"
            ) from error

    def look(self, contents: dict[str, bytes] | None = None) -> tuple[Status, dict[str, Any] | None]:
        """The status and, of a finished run, its result; each file is read once.

        What its seal vouches for needs no other check: it was checked before it was written. ``contents``
        gets what had to be read of a finished run, by name.
        """
        contents = {} if contents is None else contents
        status = self.status(contents)
        if status.state is not State.FINISHED:
            return status, None
        try:
            result: dict[str, Any] = json.loads(contents["result.json"])
        except (KeyError, ValueError) as error:
            raise StoreError(f"{self.path / 'result.json'}: {DAMAGED} ({error})") from error
        return status, result

    def status(self, contents: dict[str, bytes] | None = None) -> Status:
        """The run's state, with "running" corrected to "interrupted" when nobody trains it.

        ``contents`` gets what had to be read of a finished run, by name.
        """
        try:
            status = Status.of(require(StateRecord, read_json(self.path / "state.json")))
        except (FileNotFoundError, NotADirectoryError):
            return NOT_BEGUN
        except OSError as error:
            raise StoreError(f"{self.path / 'state.json'}: cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, KeyError):  # a dying machine can leave nonsense; training mends it
            return Status(State.INTERRUPTED, cause="state.json is unreadable")
        if status.state is State.RUNNING and self.holder() is None:
            return replace(status, state=State.INTERRUPTED, cause="its worker died")
        if status.state is State.FINISHED and not (self.path / "result.json").exists():
            return replace(status, state=State.INTERRUPTED, cause="its result is gone")
        if status.state is State.FINISHED and (damage := self.damage(contents=contents)):
            return replace(status, state=State.DAMAGED, cause=damage)
        return status

    def damage(self, *, files: bool = False, contents: dict[str, bytes] | None = None) -> str | None:
        """What of a finished run is not as it was when it finished; None when all is.

        The bytes of its ``files`` are read only when they are asked for. Raises StoreError for what cannot be
        read.
        """
        try:
            return seals.broken(self.path, files=files, contents=contents)
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be read ({error.strerror})") from error

    def begin(self) -> None:
        """Mark the run as running in this process. Scores that were added to a former training go."""
        for name in (RESCORED, RESCORED_ITEMS):
            (self.path / name).unlink(missing_ok=True)
        before = self.status()
        self._write_status(
            Status(
                State.RUNNING,
                attempt=before.attempt + 1,
                host=socket.gethostname(),
                pid=os.getpid(),
                started_at=time.time(),
                job=cluster_job(),
            )
        )

    def end(self, state: State, cause: str | None = None, failure: Failure | None = None) -> None:
        """Mark the run as finished, failed, interrupted or pruned; ``failure`` is that of a failed one."""
        before = Status.of(read_json(self.path / "state.json"))
        status = replace(before, state=state, cause=cause, failure=failure, ended_at=time.time())
        if state is State.FINISHED:  # the seal first: who reads that the run has finished finds it
            seals.seal(self.path, as_text(asdict(status)), (self.result() or {"files": []})["files"])
        self._write_status(status)

    def fail(self, cause: str, failure: Failure | None = None) -> None:
        """Mark the run as failed on behalf of the worker that died with it."""
        now = time.time()
        status = replace(self.status(), state=State.FAILED, cause=cause, failure=failure, ended_at=now)
        self._write_status(status)

    def _write_status(self, status: Status) -> None:
        write_json(self.path / "state.json", asdict(status))

    @contextmanager
    def claim(self) -> Iterator[Lease]:
        """Hold the run for this process. Raises RunBusy when another process, on any host, holds it."""
        with ExitStack() as stack:
            try:
                held = stack.enter_context(lease(self.path / "lock", LEASE_PATIENCE_S))
            except TimeoutError:
                raise RunBusy(f"run {self.run_id} is being trained by another process") from None
            yield held

    def holder(self) -> Holder | None:
        """The process that trains the run now. Raises StoreError when that cannot be found out."""
        try:
            return holder(self.path / "lock")
        except OSError as error:
            raise StoreError(f"{self.path / 'lock'}: {DAMAGED} ({error.strerror})") from error

    def sweep(self) -> None:
        """Remove what a killed owner was writing. Call it only as the owner."""
        for file in self.path.glob(".*"):
            if UNFINISHED.fullmatch(file.name) and not file.name.startswith(f".{self.mlflow_file.name}."):
                file.unlink(missing_ok=True)

    def log_tail(self, n_lines: int) -> list[str]:
        """The last lines of the log that are not empty; none when there is no log."""
        try:
            lines = last_lines(self.log_file, 2 * n_lines + MOST_EMPTY)
        except OSError:
            return []
        return [line for line in lines if line.strip()][-n_lines:]

    def append_history(self, row: dict[str, Any]) -> None:
        with self.history_file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Replace the history, as a resumed run does with the epochs that its checkpoint holds."""
        self.history_file.unlink(missing_ok=True)
        for row in rows:
            self.append_history(row)

    def history(self) -> list[dict[str, Any]]:
        """One row an epoch. A last line that a killed worker left half-written is not a row."""
        try:
            lines = self.history_file.read_text(encoding="utf-8").split("\n")
            return [require(Epoch, json.loads(line)) for line in lines[:-1] if line]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{self.history_file}: {DAMAGED}") from error

    def items(self) -> Items | None:
        """What the run's scores are made of, item by item; None where the run keeps no such counts.

        Raises StoreError for a damaged file.
        """
        kept = [items for items in map(self._items, (ITEMS_FILE, RESCORED_ITEMS)) if items is not None]
        return kept[0].joined(kept[1]) if len(kept) == 2 else next(iter(kept), None)

    def _items(self, name: str) -> Items | None:
        try:
            return Items.from_bytes((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ItemsError) as error:
            raise StoreError(f"{self.path / name}: {DAMAGED} ({error})") from error

    def rescored(self) -> dict[str, float | None]:
        """Scores that were asked for after the run had finished, by name. Raises StoreError for damage."""
        try:
            return dict(require(Rescored, read_json(self.path / RESCORED))["metrics"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.path / RESCORED}: {DAMAGED} ({error}); remove it, and score the run again"
            ) from error

    def add_scores(self, metrics: Mapping[str, float | None], items: Items | None) -> None:
        """Add scores of a finished run to those that were added before; ``items`` are what they are made of.

        Those that the run has returned itself stay what they are.
        """
        before = self._items(RESCORED_ITEMS)
        joined = items if before is None or items is None else before.joined(items)
        if joined is not None:
            with replacing(self.path / RESCORED_ITEMS, durable=True) as temporary:
                temporary.write_bytes(joined.to_bytes())
        content = {"metrics": {**self.rescored(), **metrics}}
        write_json(self.path / RESCORED, require(Rescored, content), durable=True)

    def note_energy(self, kwh: float) -> None:
        """Keep what a run under way has taken, over all attempts."""
        write_json(self.path / ENERGY_FILE, {"kwh": kwh})

    def noted_energy(self) -> float:
        """What former attempts have taken, in kWh, as far as they could say; 0 where nothing is known."""
        try:
            return float(require(Energy, read_json(self.path / ENERGY_FILE))["kwh"])
        except (OSError, ValueError):
            return 0.0

    def forget_energy(self) -> None:
        """Of a run that has a result, which has it."""
        (self.path / ENERGY_FILE).unlink(missing_ok=True)

    def has_outcome(self) -> bool:
        """Whether a result and its files are there, which are written before the seal and the state."""
        try:
            result = self.result()
        except StoreError:
            return False
        return result is not None and all((self.path / name).exists() for name in result["files"])

    def write_result(self, result: dict[str, Any]) -> None:
        """Write what came out. Raises ValueError when that is not of the form of ``result``.

        The history is on the disk before: who finds a result takes the run as trained to its end.
        """
        if self.history_file.exists():
            flush_content(self.history_file)
            flush_names(self.path)
        write_json(self.path / "result.json", require(Result, result), durable=True)

    def result(self) -> dict[str, Any] | None:
        """Scores, matrices, versions and duration of a finished run; None before that.

        Keys: ``metrics`` (name -> number, or None where undefined), ``matrices`` (name -> ``rows`` and
        ``columns``, labels, and ``counts``), ``tables`` (name -> ``columns`` and ``rows``), ``files`` (names
        in the folder), ``kept`` (names of those that may be gone, and that MLflow does not show), ``facts``
        (name -> value), ``unread`` (settings that the training never read), ``duration_s`` (training and
        evaluation, all attempts), ``device``, ``versions``, ``made`` (by what its last attempt was trained:
        digests of the subject's ``code`` and of ablate's, as ``harness``, the ``processor``, ``threads``,
        ``system``; empty where an earlier version of ablate has recorded the run).
        """
        try:
            content: dict[str, Any] = require(Result, read_json(self.path / "result.json"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path / 'result.json'}: {DAMAGED} ({error})") from error
        return content
