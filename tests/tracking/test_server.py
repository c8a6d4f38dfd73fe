"""Shipping to a server that refuses, is silent, or does not exist; ``test_faults`` has one that answers."""

import socket
import time

import pytest

from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker, TrackingUnavailable
from ablate.tracking.server import free_port
from tests.tracking.runs import finished

HOST = "127.0.0.1"


def test_a_server_that_refuses_is_reported_within_seconds(store: Store) -> None:
    tracker = Tracker(store, "study", f"http://{HOST}:{free_port(HOST, 5900)}")
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="connection refused"):
        tracker.ship(finished(store))
    assert time.monotonic() - started < 10


def test_a_server_whose_name_nobody_knows(store: Store) -> None:
    tracker = Tracker(store, "study", "http://user:secret@mlflow.invalid:5000")
    with pytest.raises(TrackingUnavailable, match=r"at http://mlflow\.invalid:5000: .*name") as problem:
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
