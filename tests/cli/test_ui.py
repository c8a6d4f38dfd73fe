"""``ablate ui`` and ``ablate sync`` as a user runs them."""

import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from ablate.record.rundir import State
from ablate.record.store import Store
from tests.command import answer, output_of, start
from tests.fabricate import add_runs, fabricate_run, make_run
from tests.processes import descendants


@pytest.fixture(autouse=True)
def no_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Store, str]:
    """A store with a finished run and one not begun, and what ``ablate sync`` said."""
    store = Store(tmp_path_factory.mktemp("ui") / "store")
    runs = [make_run(seed=0), make_run(seed=1)]
    add_runs(store, "mine", runs)
    shutil.copy(empty_database, store.database)
    fabricate_run(store, runs[0])
    fabricate_run(store, runs[1], state=State.PENDING)
    return store, output_of("sync", "mine", store=store.root)


def test_sync_says_what_it_did(synced: tuple[Store, str]) -> None:
    store, said = synced
    assert said == f"mine: 1 run sent, 0 up to date, 1 not begun  ->  sqlite:///{store.database}\n"


def test_ui_shows_the_store_and_leaves_no_process(synced: tuple[Store, str]) -> None:
    store, _ = synced
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("ui", "--port", port, store=store.root)
        try:
            lines = read_until_ready(process)
        finally:
            children = descendants(process.pid)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert lines[0] == f"port {port} is taken, using {port + 1}", errors
    assert lines[1] == f"http://127.0.0.1:{port + 1}"
    assert lines[2].startswith(f"  mine: http://127.0.0.1:{port + 1}/#/experiments/")
    assert process.returncode == 0
    assert errors == ""
    assert children
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_ui_that_is_killed_leaves_no_process(synced: tuple[Store, str]) -> None:
    store, _ = synced
    process = start("ui", "mine", "--port", 5300, store=store.root)
    try:
        read_until_ready(process)
    finally:
        children = descendants(process.pid)
        process.kill()
        process.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_ui_without_results_says_so(tmp_path: Path) -> None:
    _, errors = answer("ui", store=tmp_path / "empty", code=2)
    assert "start with `ablate grid`" in errors
    assert not (tmp_path / "empty").exists()


def test_ui_names_the_server_that_the_environment_points_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    said = output_of("ui", store=tmp_path)
    assert said.startswith("http://tracking.example:5000\n")
    assert "MLFLOW_TRACKING_URI" in said


def read_until_ready(process: subprocess.Popen[str]) -> list[str]:
    """The lines before "ready"; by then the page must be there."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        if line.startswith("ready"):
            address = next(line for line in lines if line.startswith("http"))
            with urllib.request.urlopen(address, timeout=10) as page:
                assert b"MLflow" in page.read()
            return lines
        lines.append(line.rstrip("\n"))
    return lines
