"""Shipping to a server: one that answers, one that refuses, one that is silent."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.store import Store
from ablate.tracking import Shipped, Tracker, TrackingUnavailable
from ablate.tracking.server import free_port, server, wait_until_up
from tests.tracking.runs import all_points, begin, files, finish, finished, grl_run, run_ids, shown

HOST = "127.0.0.1"


@pytest.fixture
def served(empty_database: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server on a database of its own."""
    database = tmp_path / "served.db"
    database.write_bytes(empty_database.read_bytes())
    port = free_port(HOST, 5700)
    log = tmp_path / "server.log"
    with server(f"sqlite:///{database}", tmp_path / "served", HOST, port, log) as child:
        wait_until_up(child, f"http://{HOST}:{port}", log)
        yield f"http://{HOST}:{port}"


def test_a_run_ships_to_a_server_as_to_a_database(
    served: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, folder = Tracker(store, "study"), begin(store, grl_run(), epochs=1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served)
    remote = Tracker(store, "study")
    assert remote.uri == served
    remote.prepare()
    with folder.lock():
        first = remote.ship(folder)
    assert shown(remote, first).info.status == "RUNNING"
    finish(folder)
    assert remote.ship(folder) == first
    assert run_ids(remote) == [first]
    assert all_points(remote, first) == all_points(local, local.ship(folder))
    assert "scene_confusion.png" in files(remote, first)
    assert remote.ship_all([folder]) == Shipped(sent=0, current=1, pending=0)


def test_a_server_that_refuses_is_reported_within_seconds(store: Store) -> None:
    tracker = Tracker(store, "study", f"http://{HOST}:{free_port(HOST, 5900)}")
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="connection refused"):
        tracker.ship(finished(store))
    assert time.monotonic() - started < 10


def test_a_server_whose_name_nobody_knows(store: Store) -> None:
    tracker = Tracker(store, "study", "http://user:secret@mlflow.invalid:5000")
    with pytest.raises(TrackingUnavailable, match=r"MLflow at http://mlflow\.invalid:5000: .*name") as problem:
        tracker.ship(finished(store))
    assert "secret" not in str(problem.value)


def test_what_a_refusing_server_missed_is_shipped_later(store: Store, tracker: Tracker) -> None:
    folder = finished(store)
    away = Tracker(store, "study", f"http://{HOST}:{free_port(HOST, 5900)}")
    with pytest.raises(TrackingUnavailable):
        away.ship(folder)
    assert not folder.mlflow_file.exists()
    assert tracker.ship_all([folder]) == Shipped(sent=1, current=0, pending=0)


def test_a_silent_server_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server((HOST, 0)) as silent:
        tracker = Tracker(store, "study", f"http://{HOST}:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(TrackingUnavailable, match="no answer in time"):
            tracker.ship(finished(store))
        assert time.monotonic() - started < 10
