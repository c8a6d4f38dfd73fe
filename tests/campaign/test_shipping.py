"""Shipping beside the training: nothing is forgotten, nothing is waited for, and the reader is told."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.campaign import shipping
from ablate.campaign.shipping import Shipper
from ablate.ground.errors import AblateError, StoreError
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking import Tracker, TrackingRefused, TrackingUnavailable
from tests.fabricate import fabricate_study, make_run

A, B, C = (RunFolder(Path(name)) for name in "abc")


class Mlflow:
    """A tracker whose MLflow does with each shipping what ``act`` does."""

    at_once = 1

    def __init__(self, act: Callable[[RunFolder], object]) -> None:
        self.act = act
        self.asked: list[str] = []
        self.shown: list[str] = []

    def prepare(self) -> list[str]:
        self.act(RunFolder(Path("the experiment")))
        return []

    def is_current(self, folder: RunFolder) -> bool:
        return folder.run_id in self.shown

    def ship_together(self, folders: list[RunFolder]) -> list[object]:
        return [self.ship(folder) for folder in folders]

    def ship(self, folder: RunFolder) -> object:
        self.asked.append(folder.run_id)
        try:
            self.act(folder)
        except AblateError as error:
            return error
        self.shown.append(folder.run_id)
        return None


def answer(_folder: RunFolder) -> None:
    pass


def away(_folder: RunFolder) -> None:
    raise TrackingUnavailable("MLflow at nowhere: connection refused")


def shipper(mlflow: Mlflow, said: list[str]) -> Shipper:
    return Shipper(mlflow, said.append)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "ASK_AGAIN_S", 0.05)
    monkeypatch.setattr(shipping, "OPEN_PATIENCE_S", 0.2)
    monkeypatch.setattr(shipping, "SHIP_PATIENCE_S", 0.5)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_what_mlflow_missed_is_sent_when_it_answers_again() -> None:
    mlflow, said = Mlflow(away), []
    sent = shipper(mlflow, said)
    for folder in (A, B, C):
        sent.ship(folder, now=True)
    wait_until(lambda: len(mlflow.asked) > 5)
    mlflow.act = answer
    wait_until(lambda: sorted(mlflow.shown) == ["a", "b", "c"])
    sent.close()
    (warning,) = said
    assert "connection refused; training goes on, and what MLflow misses is sent once it answers" in warning


def test_what_mlflow_missed_is_sent_at_the_end_when_it_is_back_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shipping, "ASK_AGAIN_S", 3600.0)
    mlflow, said = Mlflow(away), []
    sent = shipper(mlflow, said)
    sent.ship(A, now=True)
    wait_until(lambda: len(said) == 1)
    mlflow.act = answer
    sent.ship(B, now=True)
    sent.close()
    assert sorted(mlflow.shown) == ["a", "b"]
    assert len(said) == 1


def test_what_mlflow_misses_at_the_end_is_counted_and_the_command_that_sends_it_named() -> None:
    said: list[str] = []
    sent = shipper(Mlflow(away), said)
    for folder in (A, B, A, B):
        sent.ship(folder, now=True)
    sent.close()
    assert said[-1] == "2 runs are not shown in full by MLflow; `ablate sync` sends the rest"


def test_a_run_waits_once_however_often_it_is_to_be_shipped() -> None:
    mlflow = Mlflow(away)
    sent = shipper(mlflow, [])
    for _ in range(1000):
        sent.ship(A, now=True)
    wait_until(lambda: len(mlflow.asked) >= 2)
    asked = len(mlflow.asked)
    mlflow.act = answer
    sent.close()
    assert len(mlflow.asked) - asked <= 3


def test_one_run_that_fails_does_not_hold_up_the_others() -> None:
    def fail_a(folder: RunFolder) -> None:
        if folder is A:
            away(folder)

    mlflow = Mlflow(fail_a)
    sent = shipper(mlflow, [])
    for folder in (A, B, C):
        sent.ship(folder, now=True)
    wait_until(lambda: sorted(mlflow.shown) == ["b", "c"])
    sent.close()


def test_what_mlflow_will_never_take_is_told_and_not_tried_again() -> None:
    def refuse(_folder: RunFolder) -> None:
        raise TrackingRefused("MLflow does not like it")

    mlflow, said = Mlflow(refuse), []
    sent = shipper(mlflow, said)
    sent.ship(A, now=True)
    sent.close()
    assert (mlflow.asked, said) == (["a"], ["MLflow does not like it"])


def test_a_silent_mlflow_is_left_behind() -> None:
    ever = threading.Event()
    said: list[str] = []
    sent = shipper(Mlflow(lambda _: ever.wait(60)), said)
    started = time.monotonic()
    sent.prepare()
    sent.ship(A, now=True)
    sent.close()
    assert time.monotonic() - started < 5
    assert "did not answer" in said[0]
    assert said[1].startswith("1 run is not shown in full")
    ever.set()


def test_a_slow_mlflow_is_waited_for_as_long_as_it_takes_one_run_after_the_other() -> None:
    mlflow, said = Mlflow(lambda _: time.sleep(0.2)), []
    sent = shipper(mlflow, said)
    runs = [RunFolder(Path(f"run{number}")) for number in range(6)]  # together more than the patience
    for folder in runs:
        sent.ship(folder, now=True)
    sent.close()
    assert (len(mlflow.shown), said) == (6, [])


def test_time_in_which_the_command_is_stopped_is_no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z while the last runs are sent, and fg after twenty minutes: they are sent."""
    clock = SimpleNamespace(monotonic=time.monotonic)
    monkeypatch.setattr("ablate.campaign.shipping.time", clock)

    def stopped(_folder: RunFolder) -> None:
        time.sleep(0.1)
        clock.monotonic = lambda: time.monotonic() + 1200
        time.sleep(0.1)

    mlflow, said = Mlflow(stopped), []
    sent = shipper(mlflow, said)
    sent.ship_rest([A, B])
    sent.close()
    assert (mlflow.shown, said) == (["a", "b"], [])


def test_several_are_on_their_way_together_where_that_is_faster() -> None:
    ready = threading.Event()
    mlflow = Mlflow(lambda _: ready.wait(10))
    mlflow.at_once = 2
    together: list[int] = []
    one_by_one = mlflow.ship_together
    mlflow.ship_together = lambda folders: together.append(len(folders)) or one_by_one(folders)  # type: ignore[method-assign,func-returns-value]
    sent = shipper(mlflow, [])
    sent.ship(A, now=True)
    wait_until(lambda: mlflow.asked == ["a"])
    sent.ship_rest([B, C, RunFolder(Path("d"))])
    ready.set()
    sent.close()
    assert (sorted(mlflow.shown), together) == (["a", "b", "c", "d"], [1, 2, 1])


class TestARunUnderWay:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shipping, "SHIP_FIRST_S", 0.1)

    def test_is_shown_shortly_after_its_beginning_though_no_epoch_ends(self) -> None:
        mlflow = Mlflow(answer)
        sent = shipper(mlflow, [])
        sent.ship(A, now=False)
        time.sleep(0.02)
        assert mlflow.shown == []
        wait_until(lambda: mlflow.shown == ["a"])
        sent.close()

    def test_is_sent_once_when_it_ends_before_that(self) -> None:
        mlflow = Mlflow(answer)
        sent = shipper(mlflow, [])
        sent.ship(A, now=False)
        sent.ship(A, now=True)
        sent.close()
        assert mlflow.asked == ["a"]

    def test_has_its_curves_sent_at_most_every_few_seconds(self) -> None:
        mlflow = Mlflow(answer)
        sent = shipper(mlflow, [])
        mlflow.is_current = lambda _: False  # type: ignore[method-assign]
        for _ in range(100):
            sent.ship(A, now=False)
            time.sleep(0.002)
        assert mlflow.asked == ["a"]
        sent.close()
        assert mlflow.asked == ["a", "a"]  # what has waited is sent at the end

    def test_goes_before_none_that_has_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shipping, "SHIP_FIRST_S", 0.3)
        mlflow = Mlflow(answer)
        sent = shipper(mlflow, [])
        sent.ship(A, now=False)
        sent.ship(B, now=True)
        wait_until(lambda: mlflow.asked == ["b", "a"])
        sent.close()


def test_a_database_that_is_not_ours_ends_the_study_before_it_begins() -> None:
    def refuse(_folder: RunFolder) -> None:
        raise StoreError("another program's database")

    with pytest.raises(StoreError, match="another program's"):
        shipper(Mlflow(refuse), []).prepare()


def test_a_server_that_wants_a_log_in_is_told_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "OPEN_PATIENCE_S", 30.0)

    class Wants(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(401)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    store, said = Store(tmp_path), []
    fabricate_study(store, "study", [make_run("baseline", seed) for seed in range(6)])
    with HTTPServer(("127.0.0.1", 0), Wants) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        sent = Shipper(Tracker(store, "study", url), said.append)
        sent.prepare()
        sent.ship_rest(store.study_runs("study"))
        sent.close()
        server.shutdown()
    assert said == [
        f"MLflow at {url}: wants a log-in (401); to mend that: `export MLFLOW_TRACKING_USERNAME=NAME "
        "MLFLOW_TRACKING_PASSWORD=...`; training goes on, and what MLflow misses is sent once it answers",
        "6 runs are not shown in full by MLflow; `ablate sync` sends the rest",
    ]


def test_a_process_ends_although_its_mlflow_never_answers(tmp_path: Path) -> None:
    """Python waits for most kinds of threads at its end."""
    store = Store(tmp_path)
    fabricate_study(store, "study", [make_run()])
    folder = store.folder(make_run().run_id)
    code = f"""
import time
from pathlib import Path
from ablate.campaign import shipping
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking import Tracker
shipping.SHIP_PATIENCE_S = 0.5
sent = shipping.Shipper(Tracker(Store(Path({str(tmp_path)!r})), "study"), print)
sent.ship(RunFolder(Path({str(folder.path)!r})), now=True)
time.sleep(0.1)
sent.close()
print("closed", time.time())
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
        }
        said = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.splitlines()
    assert "`ablate sync`" in said[0]
    assert time.time() - float(said[-1].split()[1]) < 5
