"""MLflow's addresses after the store was moved or copied.

MLflow keeps the absolute address of each run's files, and has no call that changes one. So they are changed
in its database, all in one transaction: whatever is cut off is done by the next command, and of two commands
at once the second finds nothing left to do.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    column,
    func,
    inspect,
    literal,
    not_,
    or_,
    table,
)
from sqlalchemy.exc import SQLAlchemyError

from ablate.ground.leases import lease
from ablate.record.store import Store
from ablate.tracking.database import connect, experiments, open_file, sqlite_file
from ablate.tracking.owner import Move, Owner

LEASE_PATIENCE_S = 5.0

# Where MLflow 3.17 keeps addresses of files.
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("trace_tags", "value"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def find_moves(owner: Owner, uri: str) -> list[Move]:
    """From where the store was moved or copied, by what the database at ``uri`` says. Nothing is written."""
    moves = (owner.move(found.tags, found.name, found.location) for found in experiments(uri))
    return list(dict.fromkeys(move for move in moves if move is not None))


def mend(owner: Owner, uri: str) -> list[Move]:
    """Make the addresses lead to where the store is now; returns what was to be mended.

    Raises SQLAlchemyError when the database cannot be written.
    """
    moves = find_moves(owner, uri)
    if moves:
        with connect(uri) as connection, connection.begin():
            for move in moves:
                _rewrite(connection, move)
    return moves


def mended(store: Store, uri: str, folder: Path) -> str:
    """The address of a database to show, mended if need be: ``uri``, or a copy of it in ``folder``.

    The copy is for a store that cannot be written. Raises SQLAlchemyError when the database cannot be read.
    """
    owner, file = Owner.of(store, uri), sqlite_file(uri)
    try:
        if find_moves(owner, uri):
            with lease(store.root / "mlflow.lock", LEASE_PATIENCE_S):
                mend(owner, uri)
    except (OSError, SQLAlchemyError):
        if file is None:  # a database server; MLflow tells what is wrong with it
            return uri
        copy = folder / file.name
        with closing(open_file(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        mend(owner, f"sqlite:///{copy}")
        return f"sqlite:///{copy}"
    return uri


def _rewrite(connection: Connection, move: Move) -> None:
    """MLflow writes addresses as ``file:`` and, of what it places by default, as plain paths."""
    tables = inspect(connection).get_table_names()
    for old, new in ((move.old.as_uri(), move.new.as_uri()), (str(move.old), str(move.new))):
        for name, field in ADDRESSES:
            if name in tables:
                address: ColumnElement[str] = column(field, String)
                moved = literal(new) + func.substring(address, len(old) + 1, 10_000)
                connection.execute(
                    table(name, column(field, String))
                    .update()
                    .where(_is_in(address, old, new))
                    .values({field: moved})
                )


def _is_in(address: ColumnElement[str], old: str, new: str) -> ColumnElement[bool]:
    """Whether an address is in the old place. When the new place is in there too, that is not meant."""
    within = address.startswith(f"{old}/", autoescape=True)
    if new.startswith(f"{old}/"):
        return and_(within, not_(or_(address == new, address.startswith(f"{new}/", autoescape=True))))
    return within
