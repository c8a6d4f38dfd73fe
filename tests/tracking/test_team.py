"""A team's server: MLflow with log-in on PostgreSQL, files in S3, and studies from several hosts.

What is shown is read from PostgreSQL's own tables.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.threads import in_background
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker, TrackingUnavailable
from ablate.upkeep.findings import Level
from ablate.upkeep.trial import STEPS, Trial
from tests import servers
from tests.fabricate import fabricate_study, make_run
from tests.servers import S3, MlflowServer, Postgres
from tests.services import has_postgres

ADMIN = ("admin", "an admin's password")
BOB = ("bob", "bob's password")
EPOCHS = 3
FILES = 6  # of a run: settings, weights, three tables, a picture

pytestmark = pytest.mark.skipif(
    not has_postgres(), reason="needs PostgreSQL's programs (apt-get install postgresql)"
)


@dataclass
class Team:
    server: MlflowServer
    database: Postgres
    files: S3

    def shown(self) -> list[tuple[str, str, str, str]]:
        """Store, run id, status and MLflow's id of each run of ours that was not deleted."""
        query = (
            "SELECT e.value, t.value, r.status, r.run_uuid FROM runs r "
            "JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'ablate.run_id' "
            "JOIN experiment_tags e ON e.experiment_id = r.experiment_id AND e.key = 'ablate.store' "
            "WHERE r.lifecycle_stage = 'active'"
        )
        return self.database.rows("mlflow", query)

    def doubled_points(self) -> list[Any]:
        """What is there more than once of any metric at any step."""
        query = "SELECT run_uuid, key, step FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1"
        return self.database.rows("mlflow", query)

    def points(self, store: Store) -> set[int]:
        """How many points each run of a store has: one number, when all are there in full."""
        query = (
            "SELECT count(*) FROM metrics m JOIN runs r ON r.run_uuid = m.run_uuid "
            "JOIN experiment_tags e ON e.experiment_id = r.experiment_id AND e.key = 'ablate.store' "
            f"WHERE r.lifecycle_stage = 'active' AND e.value = '{store.identity()}' GROUP BY m.run_uuid"
        )
        return {row[0] for row in self.database.rows("mlflow", query)}

    def ask(self, path: str, content: dict[str, str]) -> None:
        """As the admin."""
        request = urllib.request.Request(
            f"{self.server.url}/api/{path}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, self.server.url, *ADMIN)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
        with opener.open(request, timeout=10):
            pass


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    with servers.postgres() as database, servers.s3() as files:
        accounts = servers.log_in(folder, database.create("accounts"))
        words = [
            "--app-name",
            "basic-auth",
            "--workers",
            "1",
            "--backend-store-uri",
            database.create("mlflow"),
        ]
        words += ["--artifacts-destination", "s3://files/team"]
        server = MlflowServer(folder, words, files.environment | accounts)
        words += ["--allowed-hosts", f"{servers.HOST}:{server.port}"]
        try:
            server.start()
            team = Team(server, database, files)
            team.ask("2.0/mlflow/users/create", {"username": BOB[0], "password": BOB[1]})
            yield team
        finally:
            server.kill()


@pytest.fixture(autouse=True)
def as_bob(monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(monkeypatch, *BOB)


def log_in(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def host(folder: Path, n_runs: int) -> Store:
    """A store with a study of the same name on each host."""
    store = Store(folder)
    fabricate_study(store, "study", [make_run("baseline", seed) for seed in range(n_runs)], epochs=EPOCHS)
    return store


def sync(store: Store, server: MlflowServer) -> "subprocess.Popen[str]":
    """A controller's own process."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.url, "ABLATE_STORE": str(store.root)}
    command = [sys.executable, "-m", "ablate.cli.app", "sync", "study"]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def sync_all(stores: Sequence[Store], team: Team) -> list[tuple[str, str]]:
    """By all at once; what each said."""
    return [process.communicate(timeout=250) for process in [sync(store, team.server) for store in stores]]


def kill_in_the_middle(team: Team, n_shown: int, n_all: int) -> None:
    """Kill the server once it shows so many runs more, which is before it shows all, and start it again."""
    before, deadline = len(team.shown()), time.monotonic() + 120
    while len(team.shown()) < before + n_shown and time.monotonic() < deadline:
        time.sleep(0.01)
    assert before + n_shown <= len(team.shown()) < n_all
    team.server.kill()
    team.server.start()


def complete(team: Team, stores: Sequence[Store]) -> None:
    """Until nothing is left, as a user does who is told that something is."""
    for _ in range(5):
        if all(", 0 not begun" in said and not problem for said, problem in sync_all(stores, team)):
            return
    raise AssertionError("the studies were not completed")


def check_once(team: Team, stores: Sequence[Store], n_runs: int) -> None:
    """Each run of each store is shown once and in full, each of its points once."""
    shown, files = team.shown(), team.files.names()
    for store in stores:
        own = [row for row in shown if row[0] == store.identity()]
        runs = sorted(folder.run_id for folder in store.study_runs("study"))
        assert len(runs) == n_runs
        assert sorted((run, status) for _, run, status, _ in own) == [(run, "FINISHED") for run in runs]
        assert len(team.points(store)) == 1
        for *_, mlflow_run_id in own:
            assert sum(mlflow_run_id in name for name in files) == FILES
    assert team.doubled_points() == []


def two_hosts(team: Team, folder: Path, n_runs: int, kills: Sequence[int]) -> None:
    """Two hosts ship a study of one name while the server is killed; also two controllers of one store do."""
    stores = [host(folder / name, n_runs) for name in ("first", "second")]
    controllers = [*stores, stores[0]]
    n_all = len(team.shown()) + 2 * n_runs

    def kill() -> None:
        for number in kills:
            kill_in_the_middle(team, number, n_all)

    killing = in_background(kill, "killing")
    while not killing.done():
        sync_all(controllers, team)
    killing.result()
    complete(team, controllers)
    check_once(team, stores, n_runs)
    for store in stores:
        again = Tracker(store, "study", team.server.url).ship_all(store.study_runs("study"))
        assert again == Shipped(0, n_runs, 0)


def test_two_hosts_ship_while_the_server_is_killed(team: Team, tmp_path: Path) -> None:
    two_hosts(team, tmp_path, n_runs=8, kills=[3])


@pytest.mark.cluster
def test_two_hosts_ship_two_hundred_runs_while_the_server_is_killed_again_and_again(
    team: Team, tmp_path: Path
) -> None:
    two_hosts(team, tmp_path, n_runs=100, kills=[5, 20, 40, 60])


class TestWhatIsWrong:
    """A sentence each, with the line that mends it."""

    def said(self, store: Store, url: str) -> str:
        with pytest.raises(TrackingUnavailable) as problem:
            Tracker(store, "study", url).prepare()
        return str(problem.value)

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return host(tmp_path / "store", 1)

    def test_no_log_in(self, team: Team, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        said = self.said(store, team.server.url)
        assert said == (
            f"MLflow at {team.server.url}: wants a log-in (401); to mend that: "
            "`export MLFLOW_TRACKING_USERNAME=NAME MLFLOW_TRACKING_PASSWORD=...`"
        )

    def test_a_wrong_password(self, team: Team, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        log_in(monkeypatch, "bob", "a guess of mine")
        said = self.said(store, team.server.url)
        assert "does not know user 'bob', or not with this password (401)" in said
        assert "a guess" not in said

    def test_a_host_name_that_the_server_was_not_told_of(self, team: Team, store: Store) -> None:
        said = self.said(store, f"http://localhost:{team.server.port}")
        assert f"does not answer to the host name localhost:{team.server.port} (403)" in said
        assert f"`mlflow server --allowed-hosts localhost:{team.server.port}," in said

    def test_no_permission_and_the_line_with_which_an_admin_gives_it(
        self, team: Team, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log_in(monkeypatch, *ADMIN)
        Tracker(store, "study", team.server.url).prepare()
        log_in(monkeypatch, *BOB)
        (folder,) = store.study_runs("study")
        with pytest.raises(TrackingUnavailable) as problem:
            Tracker(store, "study", team.server.url).ship(folder)
        assert "does not permit that to user 'bob' (403)" in str(problem.value)
        line = str(problem.value).partition("--json '")[2].partition("'")[0]
        query = f"SELECT experiment_id FROM experiment_tags WHERE value = '{store.identity()}'"
        ((experiment,),) = team.database.rows("mlflow", query)
        team.ask("3.0/mlflow/users/permissions/grant", {**json.loads(line), "resource_id": str(experiment)})
        assert Tracker(store, "study", team.server.url).ship(folder)

    def test_no_password_is_noted_or_told_also_when_it_is_in_the_address(
        self, team: Team, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        (folder,) = store.study_runs("study")
        address = f"http://bob:bob%27s%20password@{servers.HOST}:{team.server.port}"
        assert Tracker(store, "study", address).ship(folder)
        assert json.loads(folder.mlflow_file.read_text())["study"]["uri"] == team.server.url
        assert not [
            file for file in store.root.rglob("*") if file.is_file() and b"password" in file.read_bytes()
        ]
        assert Tracker(store, "study", team.server.url).is_current(folder)


def test_the_doctor_tries_it_and_leaves_nothing(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.server.url)
    findings = list(Trial(Store(tmp_path / "none")).findings())
    assert [finding.check for finding in findings] == list(STEPS)
    # How fast it is, is the machine's affair.
    assert {finding.level for finding in findings if finding.check != "speed"} == {Level.OK}, findings
    made = "SELECT lifecycle_stage FROM experiments WHERE name = 'ablate-doctor-bob'"
    assert team.database.rows("mlflow", made) == [("deleted",)]
    assert not (tmp_path / "none").exists()
