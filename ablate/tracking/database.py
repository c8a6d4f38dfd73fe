"""The store's own MLflow database: refused when it is another file, migrated when it is an older one."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.ground.errors import StoreError
from ablate.ground.files import replacing
from ablate.tracking.problems import TrackingUnavailable, reason

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK_PATIENCE_S = 5.0
LOCKED = "database is locked"
DAMAGE = ("database disk image is malformed", "file is not a database")  # as SQLite says it
ADVICE = "move the file away and run `ablate sync`, which writes it anew from the run folders"


def sqlite_file(uri: str) -> Path | None:
    """The file behind ``sqlite:///relative`` or ``sqlite:////absolute``; None for any other address."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)) if uri.startswith(prefix) else None


def require_mlflow_database(file: Path) -> None:
    """Raises StoreError when the file is there but not MLflow's. An absent or empty one will be made.

    Raises TrackingUnavailable while another process keeps it locked.
    """
    if not is_made(file):
        return
    try:
        with closing(open_file(file)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.DatabaseError as error:
        if LOCKED in str(error):
            raise TrackingUnavailable(f"{file}: another process keeps the database locked") from error
        raise damaged(file, error) from error
    if tables and "experiments" not in tables:
        raise StoreError(f"{file} is a database, but not one of MLflow; {ADVICE}")


def is_damage(error: Exception) -> bool:
    """Whether an error, of MLflow or of SQLite, means that the file will never be readable again."""
    return any(words in str(error) for words in DAMAGE)


def damaged(file: Path, error: Exception) -> StoreError:
    """What to tell of such a file."""
    return StoreError(f"{file} cannot be read as a database ({reason(error)}); {ADVICE}")


@dataclass(frozen=True)
class Listed:
    """An experiment as the database has it; one in MLflow's bin is not active."""

    identifier: str
    name: str
    location: str
    is_active: bool
    tags: Mapping[str, str]
    created_ms: int = 0


def experiments(uri: str) -> list[Listed]:
    """Every experiment of a database, by name, read without importing MLflow. Raises SQLAlchemyError."""
    from sqlalchemy import text

    with connect(uri) as connection:
        tags: dict[str, dict[str, str]] = {}
        for row in connection.execute(text("SELECT experiment_id, key, value FROM experiment_tags")):
            tags.setdefault(str(row[0]), {})[row[1]] = row[2]
        query = (
            "SELECT experiment_id, name, artifact_location, lifecycle_stage FROM experiments ORDER BY name"
        )
        return [
            Listed(str(row[0]), row[1], row[2] or "", row[3] == "active", tags.get(str(row[0]), {}))
            for row in connection.execute(text(query))
        ]


@contextmanager
def connect(uri: str) -> "Iterator[Connection]":
    """A connection to a database of any kind that is there; a file is not made. Raises SQLAlchemyError."""
    from sqlalchemy import NullPool, create_engine

    file = sqlite_file(uri)
    if file is None:
        engine = create_engine(uri, poolclass=NullPool)
    else:
        engine = create_engine("sqlite://", creator=lambda: open_file(file), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def require_answer(uri: str) -> None:
    """Raises SQLAlchemyError when a database cannot be read; MLflow itself would ask it for 100 s."""
    from sqlalchemy import inspect

    with connect(uri) as connection:
        inspect(connection).get_table_names()


def is_made(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


@contextmanager
def making(file: Path) -> Iterator[str]:
    """The address at which to make the database, which then appears whole, or not at all.

    MLflow makes its tables in many steps, and cannot go on where it was killed. Call it under the lease.
    """
    for unfinished in file.parent.glob(f".{file.name}.*"):
        unfinished.unlink(missing_ok=True)
    with replacing(file) as draft:
        yield f"sqlite:///{draft}"


def migrate(uri: str) -> None:
    """Bring a database of an older MLflow up to this one's. Raises StoreError when that is impossible."""
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StoreError(
            f"the database {uri} was written by another version of MLflow and cannot be migrated ({last}); "
            f"install that version, or {ADVICE}"
        )


def open_file(file: Path) -> sqlite3.Connection:
    """To read, but not read-only: SQLite must undo what a killed process had begun to write."""
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", timeout=LOCK_PATIENCE_S, uri=True)
