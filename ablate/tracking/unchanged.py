"""Whether anything can have changed since MLflow was last seen to show a study in full.

    <store>/studies/<study>/shown.json

To compare 10,000 runs with what MLflow shows of them takes long. Where MLflow is a file of SQLite, two looks
tell whether that has to be done again: one at the file, whose header counts its changes, and one at the times
of all that the study's record and run folders consist of. Whatever has changed, were it a word that a user
wrote at a run in MLflow's page, all is compared again. A server and other databases are asked each time.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ablate.ground.files import clock_ns, read_json, write_json
from ablate.ground.version import VERSION
from ablate.record.index import FILE as INDEX
from ablate.record.index import TICK_S
from ablate.record.looks import FILE as LOOKS
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking.database import sqlite_file

FILE = "shown.json"
_HEADER = 100  # bytes of a file of SQLite; the counter of its changes is among them
_BESIDE = ("-wal", "-journal")  # what SQLite has not yet put into the file
_OURS = (INDEX, LOOKS, FILE)  # of the study's folder: nothing of these is shown


@dataclass(frozen=True)
class Seen:
    """A look at a store, and at the database that shows one of its studies.

    ``digest`` is another one after any change. ``changed_ns`` is when one of the ledger's files last changed,
    ``seen_ns`` when the look began, both by the clock of the file system.
    """

    digest: str
    changed_ns: int
    seen_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether any later change will show: not one within the same tick of the file system's clock."""
        return self.changed_ns < self.seen_ns - int(1e9 * TICK_S)


def look(store: Store, study: str, uri: str, folders: Sequence[RunFolder]) -> Seen | None:
    """None where there is no telling, as with a server."""
    file = sqlite_file(uri)
    if file is None:
        return None
    try:
        seen_ns = clock_ns(store.root)
        parts = [VERSION, _mlflow(), str(store.artifacts.resolve()), uri, *_database(file)]
        files = list(_files(store, study, folders))
    except OSError:
        return None
    digest = hashlib.sha256(repr((parts, files)).encode()).hexdigest()
    return Seen(digest, max(max(each[-2:]) for each in files), seen_ns)


def counts(store: Store, study: str, seen: Seen) -> tuple[int, int] | None:
    """How many runs MLflow showed when all was as it is now, and how many had not begun; else None."""
    try:
        noted = read_json(store.study_folder(study) / FILE)
        if noted["digest"] == seen.digest:
            return int(noted["current"]), int(noted["pending"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def note(store: Store, study: str, seen: Seen, current: int, pending: int) -> None:
    """Keep what was found out. What cannot be written is found out again the next time."""
    folder = store.study_folder(study)
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        write_json(folder / FILE, {"digest": seen.digest, "current": current, "pending": pending})


def _mlflow() -> str:
    """Another version may want the database in another form."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return ""


def _database(file: Path) -> Iterator[Any]:
    with file.open("rb") as handle:
        yield handle.read(_HEADER).hex()
        yield _stamp(os.fstat(handle.fileno()))
    for ending in _BESIDE:
        beside = Path(f"{file}{ending}")
        yield _stamp(beside.stat()) if beside.exists() else None


def _files(store: Store, study: str, folders: Sequence[RunFolder]) -> Iterator[tuple[Any, ...]]:
    """Name and stamp of each file of the ledger that MLflow shows something of."""
    record = store.root / "studies" / f"{study}.json"
    yield (record.name, *_stamp(record.stat()))
    kept = store.study_folder(study)
    if kept.exists():
        yield from (each for each in _listed(kept) if each[0] not in _OURS and each[0][:1] != ".")
    for folder in folders:
        yield (folder.run_id, *_stamp(folder.path.stat()))
        yield from _listed(folder.path)


def _listed(folder: Path) -> list[tuple[Any, ...]]:
    with os.scandir(folder) as entries:
        return sorted((entry.name, *_stamp(entry.stat())) for entry in entries)


def _stamp(stat: os.stat_result) -> tuple[int, int, int, int]:
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
