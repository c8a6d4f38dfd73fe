"""MLflow: there, readable, of this version, and complete; and never waited for."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from ablate.ground.leases import lease
from ablate.record.store import Store
from ablate.upkeep import tracking
from ablate.upkeep.findings import Level
from ablate.upkeep.tracking import check_mlflow, check_shipping, experiment_command, schema_versions
from tests.fabricate import fabricate_study, make_run
from tests.upkeep.conftest import Find

VARIABLE = "MLFLOW_TRACKING_URI"


def write_database(file: Path, schema: str) -> None:
    """What is looked at of an MLflow database."""
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE experiments (experiment_id, name, lifecycle_stage, artifact_location)")
        database.execute("CREATE TABLE experiment_tags (experiment_id, key, value)")
        database.execute("CREATE TABLE alembic_version (version_num)")
        database.execute("INSERT INTO alembic_version VALUES (?)", [schema])
    database.close()


@pytest.fixture
def sync(store: Store) -> str:
    return f"ablate sync first --store {store.root}"


def test_the_store_s_own_database(store: Store, find: Find) -> None:
    write_database(store.database, schema_versions()[-1])
    (finding,) = find(check_mlflow, at_least=Level.OK)
    assert (finding.level, finding.text) == (Level.OK, f"{store.database}; can be read and written")


def test_looking_changes_nothing(store: Store, find: Find) -> None:
    write_database(store.database, schema_versions()[-1])
    before = store.database.read_bytes(), sorted(store.root.iterdir())
    find(check_mlflow)
    find(check_shipping)
    assert (store.database.read_bytes(), sorted(store.root.iterdir())) == before


def test_a_database_that_is_gone(store: Store, find: Find, sync: str) -> None:
    (finding,) = find(check_mlflow)
    assert (finding.level, finding.commands) == (Level.WARNING, (sync,))
    assert not store.database.exists()


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"SQLite format 3\0" + b"garbage " * 1000])
def test_a_database_that_is_garbage(store: Store, find: Find, sync: str, content: bytes) -> None:
    store.database.write_bytes(content)
    (finding,) = find(check_mlflow)
    assert (finding.level, finding.commands) == (
        Level.PROBLEM,
        (f"mv {store.database} {store.database}.damaged", sync),
    )


def test_a_database_of_another_program(store: Store, find: Find) -> None:
    with sqlite3.connect(store.database) as database:
        database.execute("CREATE TABLE recipes (name)")
    database.close()
    (finding,) = find(check_mlflow)
    assert "is a database, but not one of MLflow" in finding.text


def test_the_versions_that_the_installed_mlflow_knows_are_a_chain() -> None:
    versions = schema_versions()
    assert versions[0] == "451aebb31d03"  # MLflow's first migration
    assert len(set(versions)) == len(versions) > 50


def test_databases_of_other_mlflow_versions(store: Store, find: Find) -> None:
    write_database(store.database, "fffffffffff0")
    (finding,) = find(check_mlflow)
    assert (finding.level, finding.commands) == (
        Level.PROBLEM,
        ("python -m pip install --upgrade mlflow",),
    )
    store.database.unlink()
    write_database(store.database, schema_versions()[3])
    (finding,) = find(check_mlflow, at_least=Level.OK)
    assert (finding.level, "of an older MLflow, migrated by the next" in finding.text) == (Level.OK, True)


def test_a_database_that_another_program_keeps_locked(
    store: Store, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LOCKED_S", 0.1)
    write_database(store.database, schema_versions()[-1])
    other = sqlite3.connect(store.database)
    other.execute("BEGIN IMMEDIATE")
    (finding,) = find(check_mlflow)
    other.close()
    assert "database is locked; another program writes to it and does not end" in finding.text
    assert finding.commands == (f"fuser -v {store.database}",)


def test_who_is_writing_just_now(store: Store, find: Find) -> None:
    write_database(store.database, schema_versions()[-1])
    with lease(store.root / "mlflow.lock", 0.0):
        (finding,) = find(check_mlflow, at_least=Level.OK)
    assert "is writing to it" in finding.text


class Server(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, int]] = {"/health": 200, "/private/health": 401}

    def do_GET(self) -> None:
        self.send_response(self.answers.get(self.path, 404))
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "level", "words"),
    [
        ("", Level.OK, "answers; MLFLOW_TRACKING_URI names it, not the store"),
        ("/private", Level.WARNING, "answers, but wants credentials (401)"),
        ("/wiki", Level.PROBLEM, "answers, but not as MLflow does (HTTP 404)"),
    ],
)
def test_a_server(find: Find, monkeypatch: pytest.MonkeyPatch, path: str, level: Level, words: str) -> None:
    with server() as address:
        monkeypatch.setenv(VARIABLE, address + path)
        (finding,) = find(check_mlflow, at_least=Level.OK)
    assert (finding.level, words in finding.text) == (level, True), finding.text


def test_a_server_that_is_away_or_silent_is_not_waited_for(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.3)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv(VARIABLE, f"http://me:secret@127.0.0.1:{port}")
        (finding,) = find(check_mlflow)
    assert finding.level is Level.PROBLEM
    assert "secret" not in finding.text
    (finding,) = find(check_mlflow)
    assert "connection refused; training goes on without it" in finding.text
    assert finding.commands == (f"unset {VARIABLE}",)
    assert time.monotonic() - started < 5


def test_a_database_server_that_is_away(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv(VARIABLE, f"postgresql://me:secret@127.0.0.1:{port}/mlflow")
    (finding,) = find(check_mlflow)
    assert finding.level is Level.PROBLEM
    assert finding.text.startswith(f"postgresql://me:***@127.0.0.1:{port}/mlflow: Connection refused")


def test_an_address_that_mlflow_no_longer_writes_to(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "file:./elsewhere")
    (finding,) = find(check_mlflow)
    assert (finding.level, finding.commands) == (Level.PROBLEM, (f"unset {VARIABLE}",))


def test_results_in_other_places_are_pointed_out(
    store: Store, find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_database(store.database, schema_versions()[-1])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    fabricate_study(Store(Path("mlruns")), "stale", [make_run()])
    (store.root / "0").mkdir()
    (store.root / "0" / "meta.yaml").touch()
    write_database(tmp_path / "other.db", schema_versions()[-1])
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/other.db")
    texts = [finding.text for finding in find(check_mlflow)]
    assert [
        f"{VARIABLE} names another place" in texts[0],
        "the default store, has studies of its own" in texts[1] and texts[1].endswith(": stale"),
        texts[2].startswith(f"{store.root}/0: written by MLflow's former store"),
    ] == [True, True, True]


def test_runs_that_mlflow_does_not_show(find: Find, sync: str) -> None:
    (finding,) = find(check_shipping)  # the pending run needs not be shown
    assert finding.text == "runs that MLflow does not show as they are: 2 of first"
    assert finding.commands == (sync,)


def test_how_to_delete_an_experiment(store: Store) -> None:
    assert experiment_command(store, "first") is None
    write_database(store.database, schema_versions()[-1])
    with sqlite3.connect(store.database) as database:
        database.execute("INSERT INTO experiments VALUES (7, 'first', 'active', NULL)")
    database.close()
    assert experiment_command(store, "first") == (
        f"MLFLOW_TRACKING_URI=sqlite:///{store.database} mlflow experiments delete --experiment-id 7"
    )
    assert experiment_command(store, "second") is None
