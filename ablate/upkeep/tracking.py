"""MLflow: reachable, of this version, writable, the one that belongs to the store, and complete."""

import os
import re
import socket
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from ablate.ground.errors import StoreError
from ablate.ground.leases import holder
from ablate.record.rundir import State
from ablate.record.store import DEFAULT, Store
from ablate.tracking.address import VARIABLE, is_database, own_uri, tracking_uri
from ablate.tracking.database import experiments, require_mlflow_database, sqlite_file
from ablate.tracking.owner import Owner, study_of
from ablate.upkeep.findings import Finding, Level, move_away, shell
from ablate.upkeep.inventory import Inventory
from ablate.upkeep.storage import NETWORK, file_system
from ablate.upkeep.timeouts import within

PATIENCE_S = 5.0
LOCKED_S = 2.0  # a writer of ours is done in a fraction of it
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_mlflow(inventory: Inventory) -> Iterator[Finding]:
    """MLflow's address is one that can be written to; it answers within seconds, or is not waited for."""
    try:
        uri = tracking_uri(inventory.store)
    except StoreError as error:
        yield _problem(str(error), f"unset {VARIABLE}")
        return
    try:
        yield from within(PATIENCE_S, lambda: list(_look(inventory, uri)))
    except TimeoutError:
        yield _problem(f"{_shown(uri)} does not answer within {PATIENCE_S:.0f} s; {AWAY}", *_instead())
    yield from _elsewhere(inventory.store, uri)


AWAY = "training goes on without it, and `ablate sync STUDY` completes it later"


def _look(inventory: Inventory, uri: str) -> Iterator[Finding]:
    file = sqlite_file(uri)
    if file is not None:
        yield from _look_at_file(inventory, file)
    elif is_database(uri):
        yield _connect(uri)
    elif uri.startswith(("http://", "https://")):
        yield _call(uri)
    else:
        yield Finding(Level.WARNING, "mlflow", f"{_shown(uri)}: such an address is not looked into")


def _look_at_file(inventory: Inventory, file: Path) -> Iterator[Finding]:
    """A database of our own: MLflow's, of the installed version, not damaged, free to be written."""
    if not file.exists():
        begun = any(run.status.state is not State.PENDING for run in inventory.runs)
        text = f"{file} does not exist" + ("" if begun else " yet; the first run makes it")
        level = Level.WARNING if begun else Level.OK
        yield Finding(level, "mlflow", text, _syncs(inventory) if begun else ())
        return
    try:
        require_mlflow_database(file)
    except StoreError as error:
        yield _problem(str(error), move_away(file), *_syncs(inventory))
        return
    try:
        if file.stat().st_size:
            yield from _look_into(inventory, file)
        else:
            yield Finding(Level.OK, "mlflow", f"{file} is empty; the first run fills it")
    except sqlite3.DatabaseError as error:
        locked = "locked" in str(error)
        yield _problem(
            f"{file}: {error}" + ("; another program writes to it and does not end" if locked else ""),
            *([shell(["fuser", "-v", file])] if locked else [move_away(file), *_syncs(inventory)]),
        )


def _look_into(inventory: Inventory, file: Path) -> Iterator[Finding]:
    with closing(
        sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=LOCKED_S)
    ) as database:
        damage = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
        if damage != ["ok"]:
            yield _problem(f"{file} is damaged ({damage[0]})", move_away(file), *_syncs(inventory))
            return
        schema = [row[0] for row in database.execute("SELECT version_num FROM alembic_version")]
        database.execute("BEGIN IMMEDIATE")  # the right to write; nothing is written
        database.rollback()
    known = schema_versions()
    if schema and known and schema[0] not in known:
        yield _problem(
            f"{file} was written by a newer MLflow than the one installed (schema {schema[0]})",
            "python -m pip install --upgrade mlflow",
        )
        return
    yield from _look_for_moves(inventory, file)
    texts = [str(file)]
    if schema and known and schema[0] != known[-1]:
        texts.append("of an older MLflow, migrated by the next command that writes to it")
    writer = holder(inventory.store.root / "mlflow.lock")
    if writer is not None:
        texts.append(f"process {writer.pid} on {writer.host} is writing to it")
    kind = file_system(file)
    if kind in NETWORK:
        texts.append(f"on {kind}, where SQLite is slow and its locks may fail: better have a server")
        yield Finding(Level.WARNING, "mlflow", "; ".join(texts), (f"export {VARIABLE}=http://HOST:5000",))
        return
    yield Finding(Level.OK, "mlflow", "; ".join([*texts, "can be read and written"]))


def _look_for_moves(inventory: Inventory, file: Path) -> Iterator[Finding]:
    """Whether MLflow looks for the files of the runs where the store was before."""
    from sqlalchemy.exc import SQLAlchemyError

    from ablate.tracking.moves import find_moves

    uri = f"sqlite:///{file}"
    try:
        moves = find_moves(Owner.of(inventory.store, uri), uri)
    except SQLAlchemyError:  # of an MLflow from before its experiments had tags; nothing of ours is in there
        return
    for move in moves:
        yield Finding(
            Level.WARNING,
            "mlflow",
            f"the store was moved or copied here from {move.old}, where MLflow still looks for its files, "
            "such as pictures and weights; the next command that trains or syncs mends that",
            _syncs(inventory)[:1] or (inventory.command("ui"),),
        )


def schema_versions() -> list[str]:
    """The versions of the database that the installed MLflow knows, oldest first; empty when it is absent.

    Read from its migrations, each of which names the one before it. Importing MLflow takes seconds.
    """
    spec = find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "store" / "db_migrations" / "versions"
    after: dict[str | None, str] = {}
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        names = {
            name: re.search(rf"^{name}\b[^=\n]*=\s*(?:\"(\w+)\"|'(\w+)'|None)", text, re.MULTILINE)
            for name in ("revision", "down_revision")
        }
        if (this := names["revision"]) and (before := names["down_revision"]):
            after[before[1] or before[2]] = this[1] or this[2]
    versions = []
    last = after.get(None)
    while last is not None:
        versions.append(last)
        last = after.get(last)
    return versions


def _connect(uri: str) -> Finding:
    """Whether a database server listens. Looking further would create its tables."""
    parts = urllib.parse.urlsplit(uri)
    port = parts.port or DEFAULT_PORTS[parts.scheme.partition("+")[0]]
    try:
        with socket.create_connection((parts.hostname or "localhost", port), timeout=PATIENCE_S):
            return Finding(Level.OK, "mlflow", f"{_shown(uri)} listens; {_named()}")
    except OSError as error:
        return _problem(f"{_shown(uri)}: {error.strerror or error}; {AWAY}", *_instead())


def _call(uri: str) -> Finding:
    """Whether MLflow's server answers."""
    scheme, rest = uri.rstrip("/").split("//", 1)
    host = rest.rpartition("@")[2]  # nobody asks for a password to tell that it lives
    try:
        with urllib.request.urlopen(f"{scheme}//{host}/health", timeout=PATIENCE_S) as answer:
            said = answer.read(100).decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return Finding(
                Level.WARNING, "mlflow", f"{_shown(uri)} answers, but wants credentials ({error.code})"
            )
        return _problem(f"{_shown(uri)} answers, but not as MLflow does (HTTP {error.code})", *_instead())
    except OSError as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or str(reason)
        return _problem(f"{_shown(uri)}: {said.lower()}; {AWAY}", *_instead())
    if said != "OK":
        return _problem(f"{_shown(uri)} answers, but not as MLflow does", *_instead())
    return Finding(Level.OK, "mlflow", f"{_shown(uri)} answers; {_named()}")


def _elsewhere(store: Store, uri: str) -> Iterator[Finding]:
    """Other places in which one might look for results in vain."""
    if uri != own_uri(store) and store.database.exists():
        yield Finding(
            Level.WARNING,
            "mlflow",
            f"{VARIABLE} names another place, so the store's own {store.database} is neither written to nor "
            "shown by `ablate ui`; to use it again:",
            (f"unset {VARIABLE}",),
        )
    other = Store(Path(DEFAULT))
    if store.root.resolve() != other.root.resolve() and other.study_names():
        yield Finding(
            Level.WARNING,
            "mlflow",
            f"{other.root.resolve()}, the default store, has studies of its own, which {store.root} does not "
            f"show: {', '.join(other.study_names())}",
            (f"ablate status --store {other.root}",),
        )
    old = [path.parent for path in store.root.glob("*/meta.yaml")]
    if old:
        yield Finding(
            Level.WARNING,
            "mlflow",
            f"{', '.join(map(str, old))}: written by MLflow's former store of plain files, which nothing "
            "here reads",
            tuple(move_away(path) for path in old),
        )


def check_shipping(inventory: Inventory) -> Iterator[Finding]:
    """MLflow shows every run as far as it is, by what the run folders note."""
    from ablate.tracking import Tracker

    behind: dict[str, int] = {}
    for study in inventory.studies:
        tracker = Tracker(inventory.store, study.name)
        readable = {run.folder.run_id for run in inventory.runs if run.damage is None}
        folders = [folder for folder in study.folders if folder.run_id in readable]
        ended = [folder for folder in folders if folder.status().state is not State.RUNNING]
        behind[study.name] = sum(not tracker.is_current(folder) for folder in ended)
    late = {name: number for name, number in behind.items() if number}
    if late:
        numbers = ", ".join(f"{number} of {name}" for name, number in late.items())
        yield Finding(
            Level.WARNING,
            "shipping",
            f"runs that MLflow does not show as they are: {numbers}",
            tuple(inventory.command("sync", name) for name in late),
        )
    elif inventory.studies:
        yield Finding(Level.OK, "shipping", "MLflow shows every run as far as it is")


def _syncs(inventory: Inventory) -> tuple[str, ...]:
    return tuple(inventory.command("sync", study.name) for study in inventory.studies)


def _shown(uri: str) -> str:
    """An address without the password in it."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri)


def _named() -> str:
    return f"{VARIABLE} names it, not the store"


def _instead() -> tuple[str, ...]:
    """How to use the store's own database, where another place is named."""
    return (f"unset {VARIABLE}",) if os.environ.get(VARIABLE) else ()


def _problem(text: str, *commands: str) -> Finding:
    return Finding(Level.PROBLEM, "mlflow", text, commands)


def experiment_command(store: Store, study: str) -> str | None:
    """The command that deletes a study's experiment from the store's own MLflow; None when it has none."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        listed = experiments(own_uri(store))
    except SQLAlchemyError:
        return None
    found = [one.identifier for one in listed if one.is_active and study_of(one.tags, one.name) == study]
    if not found:
        return None
    delete = shell(["mlflow", "experiments", "delete", "--experiment-id", found[0]])
    return f"{VARIABLE}={own_uri(store)} {delete}"
