"""What lies in a store that no study needs, and its removal.

Everything is decided twice: once to be shown, and again under the lease of the studies' records, when it is
removed. Only what both agree on goes. A folder is first renamed into ``.gc-<hex>/`` beside it, then deleted,
so that a command that is killed leaves no half-deleted folder, but a remnant that the next one removes. Links
are neither followed nor removed.
"""

import contextlib
import fcntl
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from ablate.ground.errors import AblateError, StoreError, StudyError
from ablate.ground.files import read_json
from ablate.record.rundir import RunBusy, RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.tracking.address import OWN
from ablate.upkeep import datasets
from ablate.upkeep.storage import PROBE, size

# A command that is planning has made folders that no study's record names yet.
GRACE_S = 3600.0

TRASH = ".gc-"
RUN_ID = re.compile(r"[0-9a-f]{16}")
MLFLOW_RUN_ID = re.compile(r"[0-9a-f]{32}")
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")  # as `files.replacing` and `leases` name them


class Kind(StrEnum):
    RUN = "run folders of no study"
    CHECKPOINT = "checkpoints of finished runs"
    DATA = "data sets of no run"
    HALF_MADE = "data sets left half-made"
    ARTIFACTS = "files of MLflow runs that are gone"
    TEMPORARY = "temporary files of killed commands"
    TRASH = "remains of a killed gc"


@dataclass(frozen=True)
class Item:
    """One thing to remove."""

    kind: Kind
    path: Path

    @cached_property
    def n_bytes(self) -> int:
        return size(self.path)


@dataclass
class Garbage:
    """What can be removed, and what is left alone for which reason."""

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Item]:
        return [item for item in self.items if item.kind is kind]

    def add(self, kind: Kind, path: Path) -> None:
        self.items.append(Item(kind, path))


# ----------------------------------------------------------------------------------------------- deciding


def find_garbage(store: Store, forget: str | None = None) -> Garbage:
    """What no study needs; with ``forget``, as if there were no study of that name."""
    garbage = Garbage()
    wanted = _wanted_runs(store, forget, garbage)
    if wanted is not None:
        forgotten: frozenset[str] = frozenset()
        if forget is not None:
            with contextlib.suppress(StoreError):  # an unreadable record does not tell what was in it
                forgotten = _runs_of(store, forget)
        _find_runs(store, wanted, forgotten, garbage)
        _find_data(store, garbage)
    _find_checkpoints(store, garbage)
    _find_half_made(store, garbage)
    _find_artifacts(store, garbage)
    _find_temporary(store, garbage)
    for folder in (store.runs, store.data, store.artifacts):
        if folder.is_symlink():
            garbage.notes.append(f"{folder} is a link; what it leads to is left alone")
    return garbage


def _wanted_runs(store: Store, forget: str | None, garbage: Garbage) -> frozenset[str] | None:
    """The runs that studies refer to; None when a record cannot be read, so that this is not known."""
    wanted: set[str] = set()
    for name in store.study_names():
        if name == forget:
            continue
        try:
            wanted |= _runs_of(store, name)
        except AblateError as error:
            garbage.notes.append(f"run folders and data are left alone, as a study cannot be read: {error}")
            return None
    return frozenset(wanted)


def _runs_of(store: Store, study: str) -> frozenset[str]:
    """The runs that a study refers to. Raises StoreError when its record is damaged."""
    try:
        return frozenset(folder.run_id for folder in store.study_runs(study))
    except (AttributeError, TypeError) as error:  # valid JSON of another form
        raise StoreError(f"study {study}: not a study's record ({error})") from error


def _find_runs(store: Store, wanted: frozenset[str], forgotten: frozenset[str], garbage: Garbage) -> None:
    for path in _folders(store.runs):
        if path.name in wanted or not RUN_ID.fullmatch(path.name):
            continue
        try:
            why = _why_left(path, path.name in forgotten)
        except OSError as error:
            why = f"cannot be looked into ({error.strerror})"
        if why is None:
            garbage.add(Kind.RUN, path)
        else:
            garbage.notes.append(f"{path} belongs to no study, but {why}")


def _why_left(path: Path, is_forgotten: bool) -> str | None:
    """Why a run folder that no study refers to stays nevertheless; None when it may go."""
    holder = RunFolder(path).holder()
    if holder is not None:
        return f"process {holder.pid} on {holder.host} is training it"
    return "is younger than an hour" if _is_young(path) and not is_forgotten else None


def _find_checkpoints(store: Store, garbage: Garbage) -> None:
    going = {item.path for item in garbage.of(Kind.RUN)}
    for path in _folders(store.runs):
        folder = RunFolder(path)
        with contextlib.suppress(OSError):  # not to be looked into, so not to be removed either
            kept = [] if path in going else folder.checkpoints()
            if kept and folder.status().state is State.FINISHED:
                for file in kept:
                    garbage.add(Kind.CHECKPOINT, file)


def _find_data(store: Store, garbage: Garbage) -> None:
    """Data sets in the store's own folder; those of the user are elsewhere and never looked at."""
    going = {item.path for item in garbage.of(Kind.RUN)}
    used: list[Dataset] = []
    for path in _folders(store.runs):
        if RUN_ID.fullmatch(path.name) and path not in going:
            try:
                used.append(RunFolder(path).run().dataset)
            except StoreError as error:
                garbage.notes.append(f"data are left alone, as a run's cannot be told: {error}")
                return
    for path in _folders(store.data):
        if path.name.startswith(".") or _is_young(path) or _is_used(path, used):
            continue
        if _is_dataset(path):
            garbage.add(Kind.DATA, path)
        else:
            garbage.notes.append(f"{path} is no data set and is left alone")


def _is_used(path: Path, used: list[Dataset]) -> bool:
    """Whether a run was planned on these data: by the name of their folder or, when it was moved, digest."""
    digest = _digest(path)
    return any(path.name in dataset.path.parts or dataset.digest == digest for dataset in used)


def _digest(path: Path) -> Any:
    for file in (path / "manifest.json", path / "prepared" / "manifest.json"):
        try:
            return read_json(file)["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _is_dataset(path: Path) -> bool:
    names = ("meta_development.txt", "manifest.json", "prepared/manifest.json")
    return any((path / name).is_file() for name in names)


def _find_half_made(store: Store, garbage: Garbage) -> None:
    going = {item.path for item in garbage.of(Kind.DATA)}
    if store.data.is_symlink():
        return
    for path in datasets.half_made(store):
        if path.parent not in going and not datasets.is_locked(path) and not _is_young(path):
            garbage.add(Kind.HALF_MADE, path)


def _find_artifacts(store: Store, garbage: Garbage) -> None:
    """Files of runs that the store's own MLflow database has lost or deleted."""
    folders = [path for study in _folders(store.artifacts) for path in _folders(study)]
    candidates = [path for path in folders if MLFLOW_RUN_ID.fullmatch(path.name) and not _is_young(path)]
    if not candidates:
        return
    try:
        known = _living_runs(store.database) | _runs_shown_elsewhere(store)
    except (OSError, sqlite3.Error):
        garbage.notes.append(
            f"{store.artifacts} is left alone, as {store.database} does not tell what MLflow shows of it"
        )
        return
    for path in candidates:
        if path.name not in known:
            garbage.add(Kind.ARTIFACTS, path)


def _living_runs(database: Path) -> set[str]:
    """Runs that MLflow shows, and those of experiments in its bin: planning a study again restores them."""
    query = """
        SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)
        WHERE runs.lifecycle_stage = 'active' OR experiments.lifecycle_stage <> 'active'
    """
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return {str(row[0]) for row in connection.execute(query)}


def _runs_shown_elsewhere(store: Store) -> set[str]:
    """MLflow runs of another database, whose files may be here nevertheless."""
    found = set()
    for path in _folders(store.runs):
        with contextlib.suppress(OSError, ValueError, AttributeError, KeyError, TypeError):
            notes = read_json(RunFolder(path).mlflow_file).values()
            found |= {str(note["mlflow_run_id"]) for note in notes if note["uri"] != OWN}
    return found


def _find_temporary(store: Store, garbage: Garbage) -> None:
    going = {item.path for item in garbage.items}
    studies = store.root / "studies"
    for folder in (store.root.resolve(), studies, *_folders(studies), *_folders(store.runs)):
        for path in _entries(folder):
            is_temporary = TEMPORARY.fullmatch(path.name) or path.name.startswith(PROBE)
            if folder not in going and is_temporary and not _is_young(path):
                garbage.add(Kind.TEMPORARY, path)
    places = [store.runs, store.data, store.artifacts]
    for folder in [*places, *_folders(store.data), *_folders(store.artifacts)]:
        for path in _folders(folder):
            if path.name.startswith(TRASH):
                garbage.add(Kind.TRASH, path)


def _is_young(path: Path) -> bool:
    """Whether something was written here within the last hour."""
    return time.time() - max(map(_written, [path, *_entries(path)])) < GRACE_S


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, if it is one and no link; without links, which lead elsewhere."""
    if folder.is_symlink():
        return []
    try:
        return sorted(path for path in folder.iterdir() if not path.is_symlink())
    except OSError:
        return []


# ----------------------------------------------------------------------------------------------- removing


@dataclass
class Collected:
    """What was removed, and what was not for which reason."""

    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(store: Store, shown: Garbage, forget: str | None = None) -> Collected:
    """Remove what was shown and is garbage still; ``forget`` a study before.

    Raises StudyError when a run of that study is being trained, StoreError when another process keeps the
    studies' records for long.
    """
    done = Collected()
    trash: list[Path] = []
    with store.planning():
        still = set(find_garbage(store, forget).items)
        if forget is not None:
            require_idle(store, forget)
            store.forget_study(forget)
        for item in shown.items:
            if item not in still:
                continue
            try:
                trash += _REMOVE[item.kind](item.path)
                done.items.append(item)
            except (OSError, RunBusy) as error:
                done.notes.append(f"{item.path} is left: {error}")
    for path in trash:
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            done.notes.append(f"{path} could not be removed entirely; its files may belong to another user")
    return done


def require_idle(store: Store, study: str) -> None:
    """Raises StudyError when a run of the study is being trained."""
    try:
        run_ids = _runs_of(store, study)
    except StoreError:  # a removal asks each run itself
        return
    busy = [holder for run_id in run_ids if (holder := store.folder(run_id).holder()) is not None]
    if busy:
        raise StudyError(
            f"study {study} is being trained by process {busy[0].pid} on {busy[0].host}; "
            "end that first with Ctrl-C, or wait for it"
        )


def _away(path: Path) -> list[Path]:
    """Rename a folder into a fresh one beside it, which is then to be deleted."""
    trash = path.parent / f"{TRASH}{uuid.uuid4().hex}"
    trash.mkdir()
    path.rename(trash / path.name)
    return [trash]


def _remove_run(path: Path) -> list[Path]:
    with RunFolder(path).claim():
        return _away(path)


def _remove_checkpoint(path: Path) -> list[Path]:
    folder = RunFolder(path.parent)
    with folder.claim():
        if folder.status().state is State.FINISHED:
            path.unlink(missing_ok=True)
    return []


def _remove_half_made(path: Path) -> list[Path]:
    with datasets.lock_of(path).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _away(path)


def _remove_temporary(path: Path) -> list[Path]:
    if path.is_dir():
        return _away(path)
    path.unlink(missing_ok=True)
    return []


_REMOVE: dict[Kind, Callable[[Path], list[Path]]] = {
    Kind.RUN: _remove_run,
    Kind.CHECKPOINT: _remove_checkpoint,
    Kind.DATA: _away,
    Kind.HALF_MADE: _remove_half_made,
    Kind.ARTIFACTS: _away,
    Kind.TEMPORARY: _remove_temporary,
    Kind.TRASH: lambda path: [path],
}


def finished_seconds(items: list[Item]) -> Iterator[float]:
    """How long the training of each finished run took that is to be removed."""
    for item in items:
        if item.kind is Kind.RUN:
            with contextlib.suppress(StoreError, KeyError, TypeError):
                result = RunFolder(item.path).result()
                if result is not None:
                    yield float(result["duration_s"])
