"""Whatever becomes of any one request, one more shipping completes MLflow, and nothing is there twice.

A real server behind a proxy that disturbs requests; what is then shown is read from the server's own tables
and files.
"""

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from ablate.ground.errors import StoreError
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker, TrackingRefused, TrackingUnavailable
from ablate.tracking.server import free_port, server, wait_until_up
from ablate.tracking.summary import Summary
from tests.fabricate import make_run
from tests.tracking.proxy import DONE_YET_LOST, HOST, NOT_DONE, Choose, Fault, Proxy, at, never, on, proxy
from tests.tracking.runs import all_points, begin, files, finish, finished, grl_run, run_ids, shown

ARTIFACTS = {
    "config.json",
    "events.json",
    "weights.safetensors",
}  # of a run without scenes, which has no picture


@dataclass
class Served:
    """A server behind a proxy, the files that it writes, and what an undisturbed run leaves there."""

    proxy: Proxy
    database: Path
    artifacts: Path
    n_requests: int = 0
    n_rows: dict[str, int] = field(default_factory=dict)

    def rows(self, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as connection:
            return list(connection.execute(query, values))

    def active_runs(self, run_id: str) -> list[tuple[str, str]]:
        """Id and status of each MLflow run that shows the run and was not deleted."""
        marked = "SELECT run_uuid FROM tags WHERE key = 'ablate.run_id' AND value = ?"
        query = (
            f"SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active' AND run_uuid IN ({marked})"
        )
        return self.rows(query, run_id)

    def count_rows(self, mlflow_run_id: str) -> dict[str, int]:
        tables = {"metrics": "run_uuid", "params": "run_uuid", "tags": "run_uuid", "inputs": "destination_id"}
        return {
            table: self.rows(f"SELECT count(*) FROM {table} WHERE {column} = ?", mlflow_run_id)[0][0]
            for table, column in tables.items()
        }

    def problems(self, folder: RunFolder) -> list[str]:
        """What is lacking of a finished run, or there twice."""
        runs = self.active_runs(folder.run_id)
        if [status for _, status in runs] != ["FINISHED"]:
            return [f"runs {runs}"]
        mlflow_run_id = runs[0][0]
        points = self.rows("SELECT key, step FROM metrics WHERE run_uuid = ?", mlflow_run_id)
        found = [f"twice: {point}" for point in set(points) if points.count(point) > 1]
        if self.count_rows(mlflow_run_id) != self.n_rows:
            found.append(f"{self.count_rows(mlflow_run_id)}, not {self.n_rows}")
        files = {path.name for path in (self.artifacts / "study" / mlflow_run_id / "artifacts").iterdir()}
        return found + [f"artifact {name}" for name in files ^ ARTIFACTS]


@pytest.fixture(scope="module")
def served(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server takes the artifacts itself, so that they go through the proxy too."""
    folder = tmp_path_factory.mktemp("served")
    database = folder / "served.db"
    database.write_bytes(empty_database.read_bytes())
    port = free_port(HOST, 5750)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ARTIFACTS_DESTINATION", str(folder / "artifacts"))
        with server(f"sqlite:///{database}", folder / "unused", HOST, port, folder / "log") as child:
            wait_until_up(child, f"http://{HOST}:{port}", folder / "log")
            MlflowClient(f"http://{HOST}:{port}").create_experiment("study", "mlflow-artifacts:/study")
            with proxy(port) as between:
                served = Served(between, database, folder / "artifacts")
                undisturbed(served, Store(folder / "store"))
                yield served


def undisturbed(served: Served, store: Store) -> None:
    """Note how many requests and rows a run takes, once the experiment has its tags."""
    store.require_writable()
    for folder in (new_run(store), new_run(store)):
        served.proxy.set(never)
        Tracker(store, "study", served.proxy.url).ship(folder)
        served.n_requests = len(served.proxy.seen)
    ((mlflow_run_id, _status),) = served.active_runs(folder.run_id)
    served.n_rows = served.count_rows(mlflow_run_id)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


seeds = itertools.count()


def new_run(store: Store) -> RunFolder:
    """Another run each time: all tests share one experiment, as one store that was copied does."""
    (store.root / "id").write_text("5" * 32)
    return finished(store, make_run("single_sed", next(seeds), {"tasks": "event"}))


def ship(served: Served, *folders: RunFolder) -> Shipped:
    """As ``ablate sync`` does it, and as patient: by a tracker that knows only the folders."""
    with pytest.MonkeyPatch.context() as patience:
        patience.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
        return Tracker(Store(folders[0].path.parent.parent), "study", served.proxy.url).ship_all(folders)


def disturbed(served: Served, folder: RunFolder, choose: Choose) -> str:
    """What shipping says when requests go wrong; nothing when it succeeds all the same."""
    served.proxy.set(choose)
    try:
        Tracker(Store(folder.path.parent.parent), "study", served.proxy.url).ship(folder)
    except TrackingUnavailable as error:
        return str(error)
    finally:
        served.proxy.set(never)
    return ""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_a_run_ships_to_a_server_as_to_a_database(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, folder = Tracker(store, "remote"), begin(store, grl_run(), epochs=1, study="remote")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.proxy.url)
    remote = Tracker(store, "remote")
    assert remote.uri == served.proxy.url
    remote.prepare()
    with folder.claim():
        first = remote.ship(folder)
    assert shown(remote, first).info.status == "RUNNING"
    finish(folder)
    assert remote.ship(folder) == first
    assert run_ids(remote, "remote") == [first]
    assert all_points(remote, first) == all_points(local, local.ship(folder))
    assert "scene_confusion.png" in files(remote, first)
    assert remote.ship_all([folder]) == Shipped(sent=0, current=1, pending=0)


def test_a_run_takes_few_requests_and_the_check_notices_an_unfinished_one(
    served: Served, store: Store
) -> None:
    assert served.n_requests < 20
    assert served.n_rows["inputs"] == 1
    assert served.n_rows["metrics"] > 3 * 4  # three epochs of four curves, and the scores
    folder = new_run(store)
    disturbed(served, folder, on("runs/update", Fault.CUT_BEFORE))
    assert "RUNNING" in served.problems(folder)[0]


def test_a_study_that_is_shown_is_compared_in_few_requests_whatever_its_size(
    served: Served, store: Store
) -> None:
    folders = [new_run(store) for _ in range(12)]
    assert ship(served, *folders) == Shipped(12, 0, 0)
    served.proxy.set(never)
    assert ship(served, *folders) == Shipped(0, 12, 0)
    paths = [path.removeprefix("/api/2.0/mlflow/") for _, path in served.proxy.seen]
    assert paths == ["experiments/search", "runs/search"]


def test_what_was_deleted_in_mlflow_is_found_missing_by_that_comparison(served: Served, store: Store) -> None:
    gone, poorer, doubled, whole = folders = [new_run(store) for _ in range(4)]
    ship(served, *folders)
    client = MlflowClient(served.proxy.url)
    ids = {folder: served.active_runs(folder.run_id)[0][0] for folder in folders}
    client.delete_run(ids[gone])
    client.delete_tag(ids[poorer], "ablate.host")
    experiment = client.get_run(ids[doubled]).info.experiment_id
    client.create_run(experiment, 0, {"ablate.run_id": doubled.run_id})
    assert ship(served, *folders) == Shipped(sent=2, current=2, pending=0)  # a double less sends nothing
    assert [served.problems(folder) for folder in folders] == [[], [], [], []]
    assert served.active_runs(whole.run_id)[0][0] == ids[whole]


@pytest.mark.parametrize("faults", [NOT_DONE, DONE_YET_LOST], ids=["not done", "done, but the answer lost"])
def test_whichever_request_fails_shipping_again_completes_the_run(
    served: Served, store: Store, faults: tuple[Fault, ...]
) -> None:
    cases = [(new_run(store), k, faults[k % len(faults)]) for k in range(served.n_requests)]
    for folder, k, fault in cases:
        assert disturbed(served, folder, at(k, fault)), f"request {k}: {fault} was not noticed"
    ship(served, *[folder for folder, _, _ in cases])
    assert [(k, fault, served.problems(folder)) for folder, k, fault in cases] == [
        (k, fault, []) for _, k, fault in cases
    ]
    assert ship(served, *[folder for folder, _, _ in cases]) == Shipped(0, len(cases), 0)


@pytest.mark.parametrize("request_name", ["runs/create", "runs/log-inputs", "runs/log-batch", "runs/update"])
def test_what_a_hanging_server_does_after_all_leaves_nothing_twice(
    served: Served, store: Store, request_name: str
) -> None:
    """It does what it was asked only after we have given up and have shipped the run anew."""
    folder = new_run(store)
    assert "no answer in time" in disturbed(served, folder, on(request_name, Fault.HANG))
    ship(served, folder)
    assert served.problems(folder) == []
    late = served.proxy.late
    served.proxy.resume()
    wait_until(lambda: served.proxy.late > late)
    assert (len(served.active_runs(folder.run_id)) == 2) == (request_name == "runs/create")
    ship(served, folder)
    assert served.problems(folder) == []


def test_an_upload_that_somebody_else_answered_is_noticed(served: Served, store: Store) -> None:
    """A sign-in page says 200 to everything, and MLflow looks at no more than that of an upload."""
    folder = new_run(store)
    assert "a page of another program, such as a proxy's sign-in page" in disturbed(
        served, folder, on("weights.safetensors", Fault.PAGE)
    )
    ship(served, folder)
    assert served.problems(folder) == []


def test_a_server_that_is_busy_for_an_hour_is_not_waited_for(served: Served, store: Store) -> None:
    started = time.monotonic()
    assert "error 503" in disturbed(served, new_run(store), on("runs/search", Fault.BUSY))
    assert time.monotonic() - started < 10


def first_upload(fault: Fault) -> Choose:
    """The fault for the first file, whichever run's it is."""
    left = [fault]
    return lambda _number, method, _path: left.pop() if method == "PUT" and left else None


def test_one_run_that_fails_does_not_keep_the_others_from_being_shipped(served: Served, store: Store) -> None:
    folders = [new_run(store) for _ in range(3)]
    served.proxy.set(first_upload(Fault.CUT_BEFORE))
    with pytest.raises(StoreError, match=r"^run \w+: .* the connection was cut$"):
        ship(served, *folders)
    assert sum(not served.problems(folder) for folder in folders) == 2
    ship(served, *folders)
    assert [served.problems(folder) for folder in folders] == [[], [], []]


def test_what_mlflow_never_takes_is_told_of_that_run_alone(served: Served, store: Store) -> None:
    sound = new_run(store)
    impossible = finish(begin(store, make_run("plugin", next(seeds))), metrics={"..": 1.0})
    with pytest.raises(TrackingRefused, match="Invalid"):
        Tracker(store, "study", served.proxy.url).ship(impossible)
    with pytest.raises(StoreError, match="Invalid"):
        ship(served, impossible, sound)
    assert served.problems(sound) == []


def test_a_cut_connection_to_the_report_leaves_one_report(served: Served, store: Store) -> None:
    summary = Summary({"report.html": b"<html></html>"}, (), "the study as a whole")
    new_run(store)
    tracker = Tracker(store, "study", served.proxy.url)
    tracker.prepare()
    served.proxy.set(on("runs/create", Fault.HANG))
    with pytest.raises(TrackingUnavailable):
        tracker.ship_summary(summary)
    served.proxy.set(never)
    tracker.ship_summary(summary)
    late = served.proxy.late
    served.proxy.resume()
    wait_until(lambda: served.proxy.late > late)
    tracker.ship_summary(summary)
    assert [status for _, status in served.active_runs("report")] == ["FINISHED"]
