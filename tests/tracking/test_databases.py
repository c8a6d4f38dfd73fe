"""The store's own database: locked, full, damaged, of another version, of another program, deleted."""

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

from ablate.ground.errors import StoreError
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker, TrackingUnavailable, database
from ablate.tracking.client import Client
from ablate.tracking.owner import Owner
from tests.command import ablate, start
from tests.fabricate import add_runs
from tests.tracking.runs import all_points, files, finished, grl_run, run_ids, shown

FULL = "(database or disk is full|no space left on device)"  # as SQLite or the system says it
OLD_REVISION = "acf3f17fdcc7"  # MLflow 2.8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only a privileged user on Linux can mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, spare: int = 0) -> Path:
    """A file that takes all the room there is, but for ``spare`` bytes."""
    file = folder / "filling"
    with file.open("wb", buffering=0) as handle:
        for size in (1 << 16, 1 << 9, 1):
            try:
                while handle.write(b"0" * size) == size:
                    pass
            except OSError:
                continue
        handle.truncate(handle.tell() - spare)
    return file


def execute(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


class TestWhatPasses:
    """Reported as unavailable; what was missed is shipped later."""

    def test_a_full_disk_under_the_database(self, small_disk: Path, empty_database: Path) -> None:
        store = Store(small_disk / "store")
        store.require_writable()
        shutil.copy(empty_database, store.database)
        folder, tracker = finished(store), Tracker(store, "study")
        add_runs(store, "study", [grl_run()])
        tracker.prepare()
        filling = fill(small_disk)
        with pytest.raises(TrackingUnavailable, match=rf"mlflow\.db: {FULL}$"):
            tracker.ship(folder)
        sync = start("sync", store=store.root)
        errors = sync.communicate(timeout=60)[1].splitlines()
        assert sync.returncode == 2
        assert all(re.search(FULL, line) for line in errors), "nothing but sentences"
        filling.unlink()
        assert tracker.ship_all([folder]) == Shipped(sent=1, current=0, pending=0)
        assert run_ids(tracker) == [tracker.ship(folder)]

    def test_a_full_disk_under_the_artifacts(
        self, small_disk: Path, empty_database: Path, tmp_path: Path
    ) -> None:
        store = Store(small_disk / "store")
        store.require_writable()
        elsewhere = shutil.copy(empty_database, tmp_path / "elsewhere.db")
        folder, tracker = finished(store), Tracker(store, "study", f"sqlite:///{elsewhere}")
        filling = fill(small_disk, spare=1 << 13)  # enough for a lease
        with pytest.raises(TrackingUnavailable, match="no space left on device"):
            tracker.ship(folder)
        assert shown(tracker, run_ids(tracker)[0]).info.status == "RUNNING"
        filling.unlink()
        mlflow_run_id = tracker.ship(folder)
        assert run_ids(tracker) == [mlflow_run_id]
        assert shown(tracker, mlflow_run_id).info.status == "FINISHED"
        assert "weights.safetensors" in files(tracker, mlflow_run_id)

    def test_another_process_keeps_the_database_locked(
        self, store: Store, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "LOCK_PATIENCE_S", 0.2)
        folder = finished(store)
        with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(TrackingUnavailable, match="another process keeps the database locked"):
                tracker.prepare()
            other.execute("ROLLBACK")
        assert tracker.ship_all([folder]) == Shipped(sent=1, current=0, pending=0)

    def test_a_database_locked_for_a_moment_is_waited_for(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        tracker.prepare()
        with closing(sqlite3.connect(store.database, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN EXCLUSIVE")
            unlock = threading.Timer(0.5, other.execute, ["ROLLBACK"])
            unlock.start()
            assert tracker.ship_all([folder]) == Shipped(sent=1, current=0, pending=0)
            unlock.join()

    def test_a_database_deleted_while_it_is_open(self, store: Store, tracker: Tracker) -> None:
        """Not noted as shipped: the file that would be written to has no name any more."""
        folder = finished(store)
        tracker.prepare()
        store.database.unlink()
        with pytest.raises(TrackingUnavailable):
            tracker.ship(folder)
        assert not folder.mlflow_file.exists()


class TestWhatStays:
    """Said at once, with what to do, before anything is trained."""

    def test_a_file_that_is_no_database(self, store: Store, tracker: Tracker) -> None:
        store.database.write_text("hello" * 100)
        with pytest.raises(StoreError, match=r"cannot be read as a database .* move the file away"):
            tracker.prepare()

    def test_a_database_of_another_program(self, store: Store, tracker: Tracker) -> None:
        store.database.unlink()
        execute(store.database, "CREATE TABLE recipes (name TEXT)")
        with pytest.raises(StoreError, match="not one of MLflow"):
            tracker.prepare()

    @pytest.mark.parametrize("revision", ["ffffffffffff", OLD_REVISION], ids=["newer", "not so old"])
    def test_a_database_of_another_mlflow_that_cannot_be_migrated(
        self, store: Store, tracker: Tracker, revision: str
    ) -> None:
        execute(store.database, f"UPDATE alembic_version SET version_num = '{revision}'")
        with pytest.raises(StoreError, match="another version of MLflow and cannot be migrated") as problem:
            tracker.prepare()
        assert "\n" not in str(problem.value)

    def test_a_database_damaged_while_it_is_open(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        tracker.prepare()
        with store.database.open("r+b") as file:
            file.seek(3 * 4096)
            file.write(b"garbage!" * 10_000)
        with pytest.raises(StoreError, match=r"malformed.* move the file away"):
            tracker.ship(folder)


def test_a_database_of_an_older_mlflow_is_migrated(store: Store, tracker: Tracker) -> None:
    store.database.unlink()
    engine = sqlalchemy.create_engine(tracker.uri)
    InitialBase.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(tracker.uri), OLD_REVISION)
    engine.dispose()
    execute(
        store.database,
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
        f"VALUES (7, 'study', '{store.artifacts.resolve().as_uri()}', 'active')",
    )
    mlflow_run_id = tracker.ship(finished(store))
    assert shown(tracker, mlflow_run_id).info.experiment_id == "7"


def test_a_deleted_database_is_written_anew_and_takes_its_artifacts_with_it(
    store: Store, tmp_path: Path
) -> None:
    """MLflow gives new ids, and nobody else would ever remove the files under the old ones."""
    folder = finished(store)
    add_runs(store, "study", [grl_run()])

    def sync() -> str:
        assert "1 run sent" in ablate("sync", store=store.root)
        (run,) = (store.artifacts / "study").iterdir()
        assert (run / "artifacts" / "weights.safetensors").exists()
        return run.name

    first = sync()
    store.database.rename(tmp_path / "moved.db")
    second = sync()
    assert second != first
    # Brought back, it gets back its artifacts too.
    (tmp_path / "moved.db").rename(store.database)
    assert sync() == first
    assert first in folder.mlflow_file.read_text()
    points = all_points(Tracker(store, "study"), first)
    assert points["curves/loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


MAKE = """
import sys
from ablate.tracking.client import Client
from ablate.tracking.owner import Owner
print("imported", flush=True)
Client.open(sys.argv[1])
"""

# The pages that do not fit into the cache go to the file before the end; the journal has what was there.
WRITE_AND_DIE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
rows = ((f"key {i}", "v" * 900) for i in range(2000))
connection.executemany("INSERT INTO experiment_tags VALUES (?, ?, 0)", rows)
os.kill(os.getpid(), signal.SIGKILL)
"""


class TestKills:
    @pytest.mark.parametrize(
        "moment_s", [0.3, *(pytest.param(moment_s, marks=pytest.mark.long) for moment_s in (0.05, 0.8))]
    )
    def test_while_the_database_is_made_they_leave_none_or_a_whole_one(
        self, tmp_path: Path, moment_s: float
    ) -> None:
        file = tmp_path / "mlflow.db"
        address = f"sqlite:///{file}"
        process = subprocess.Popen(
            [sys.executable, "-c", MAKE, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"imported\n"
        time.sleep(moment_s)
        process.kill()
        process.communicate()
        owner = Owner.of(Store(tmp_path), address)
        Client.open(address).experiment(owner, "study", None, {})
        assert [found.name for found in database.experiments(address)] == ["Default", "study"]
        assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]

    def test_what_they_cut_off_is_undone(self, empty_database: Path, tmp_path: Path) -> None:
        file = tmp_path / "mlflow.db"
        shutil.copy(empty_database, file)
        subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(file)], check=False)
        assert file.with_name("mlflow.db-journal").stat().st_size > 0
        database.require_mlflow_database(file)
        assert [found.name for found in database.experiments(f"sqlite:///{file}")] == ["Default"]


def test_what_the_database_has_committed_survives_a_power_loss(tmp_path: Path) -> None:
    """SQLite's default, 2, may lose the last transaction: the removal of its journal is not flushed."""
    Client.open(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with database.connect(f"sqlite:///{tmp_path / 'mlflow.db'}") as connection:
        assert connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar() == 3  # EXTRA
