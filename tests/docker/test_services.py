"""The commands of the compose file, run without Docker: the very words, with other ports and folders."""

import base64
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ablate.record.store import Store
from tests.command import output_of
from tests.docker.composed import DOCKER, image, services
from tests.services import free_port, mlflow_server, postgres, postgres_program

SECRETS = {
    "POSTGRES_PASSWORD": "p@ss/word:of the database",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "first-user's password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "0123456789abcdef",
}
PGPASSWORD = {"PGPASSWORD": SECRETS["POSTGRES_PASSWORD"]}
PROGRAMS = {"python": sys.executable, "/opt/ablate/server.py": str(DOCKER / "server.py")}


@dataclass(frozen=True)
class Native:
    """A service as it runs here: what stands for the paths and ports of its container."""

    service: dict[str, Any]
    target: str
    instead: dict[str, str]

    def command(self, *words: str) -> list[str]:
        """Its entry point with its own words, or with others."""
        asked = [*image(self.target).entrypoint, *(words or self.service["command"])]
        return [self._here(word) for word in asked]

    def health(self) -> int:
        """The exit code of its health check."""
        words = [self._here(word) for word in self.service["healthcheck"]["test"][1:]]
        return subprocess.run(words, env=self.environment(), stderr=subprocess.DEVNULL).returncode

    def environment(self) -> dict[str, str]:
        own = image(self.target).environment | self.service.get("environment", {})
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return {name: self._here(value) for name, value in own.items()} | kept

    def _here(self, text: str) -> str:
        if text in PROGRAMS:
            return PROGRAMS[text]
        there = "|".join(map(re.escape, self.instead)) or "(?!)"
        return re.sub(there, lambda found: self.instead[found[0]], text)


def native(name: str, settings: dict[str, str], folder: Path, **instead: str) -> Native:
    """``instead`` has what is written for what; volumes are in ``folder``."""
    target = "server" if name in ("check", "server") else "train"
    paths = {f"/{place}": str(folder / place) for place in ("store", "artifacts", "tmp")}
    for path in paths.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    return Native(services(settings)[name], target, {**instead, **paths})


def said(native: Native, *words: str, code: int) -> str:
    done = subprocess.run(
        native.command(*words), env=native.environment(), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def asked(url: str, name: str = "", password: str = "", **headers: str) -> int:
    """The status of the answer to a request for the experiment that every server has."""
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0", headers=headers)
    if name:
        word = base64.b64encode(f"{name}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_every_missing_secret_is_named_with_what_makes_one(tmp_path: Path) -> None:
    assert said(native("check", {}, tmp_path), code=2).splitlines() == [
        "server: POSTGRES_PASSWORD is not set: it is the password of MLflow in its database; "
        "make one with `openssl rand -hex 24` and write it to docker/.env",
        "server: MLFLOW_AUTH_ADMIN_PASSWORD is not set: it is the password of the first user, who adds the "
        "others; make one with `openssl rand -hex 24` and write it to docker/.env",
        "server: MLFLOW_FLASK_SERVER_SECRET_KEY is not set: it is the key that protects the page for new "
        "users; make one with `openssl rand -hex 32` and write it to docker/.env",
    ]


def test_a_password_that_mlflow_would_not_take_is_refused(tmp_path: Path) -> None:
    settings = SECRETS | {"MLFLOW_AUTH_ADMIN_PASSWORD": "short"}
    assert "has 5 characters: MLflow wants 12 or more" in said(native("check", settings, tmp_path), code=2)


def test_secrets_that_are_all_there(tmp_path: Path) -> None:
    assert said(native("check", SECRETS, tmp_path), code=0) == ""


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """The address of the database of the compose file, run with that service's options and password."""
    service = services(SECRETS)["database"]
    environment = service["environment"]
    assert environment["POSTGRES_USER"] == environment["POSTGRES_DB"]
    with postgres(
        folder,
        user=environment["POSTGRES_USER"],
        password=environment["POSTGRES_PASSWORD"],
        options=service["command"][1:],
    ) as uri:
        yield uri.partition("@")[2].partition("/")[0]


@dataclass(frozen=True)
class Up:
    """The profile ``server``, with what is needed to ask it."""

    url: str
    server: Native
    database: str  # host:port
    folder: Path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    settings = SECRETS | {"SERVER_HOSTS": "mlflow.example.org", "SERVER_WORKERS": "1"}
    with database(folder / "database") as address:
        server = native(
            "server",
            settings,
            folder,
            **{"5000": str(port), "0.0.0.0": "127.0.0.1", "database:5432": address},
        )
        assert server.health() == 1
        with mlflow_server(server.command(), server.environment(), port, folder) as url:
            yield Up(url, server, address, folder)


def test_the_server_is_healthy(up: Up) -> None:
    assert up.server.health() == 0


def test_the_database_is_healthy(up: Up) -> None:
    program, *words = services(SECRETS)["database"]["healthcheck"]["test"][1:]
    words += ["--port", up.database.partition(":")[2]]
    assert subprocess.run([postgres_program(program), *words], stdout=subprocess.DEVNULL).returncode == 0


def test_it_answers_who_logs_in_and_nobody_else(up: Up) -> None:
    assert asked(up.url) == 401
    assert asked(up.url, "admin", "guessed") == 401
    assert asked(up.url, "admin", SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"]) == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("mlflow.example.org", 401), ("server:5000", 401), ("localhost:8080", 401), ("elsewhere.example", 403)],
)
def test_it_answers_to_its_names_only(up: Up, host: str, status: int) -> None:
    assert asked(up.url, Host=host) == status


def test_runs_and_users_are_in_postgresql_and_no_secret_is_in_a_file(up: Up) -> None:
    import psycopg

    with psycopg.connect(
        f"postgresql://mlflow@{up.database}/mlflow", password=SECRETS["POSTGRES_PASSWORD"]
    ) as opened:
        tables = {row[0] for row in opened.execute("SELECT tablename FROM pg_tables")}
        assert {"runs", "experiments", "users"} <= tables
        assert opened.execute("SELECT username, is_admin FROM users").fetchall() == [("admin", True)]
    written = up.folder / "tmp" / "log_in.ini"
    assert written.stat().st_mode & 0o777 == 0o600
    assert not any(secret in written.read_text() for secret in SECRETS.values())
    assert list(up.folder.rglob("*.db")) == []


def call(up: Up, path: str, method: str, **content: str) -> dict[str, Any]:
    """What the first user is answered; with ``text``, that is sent rather than JSON."""
    word = base64.b64encode(f"admin:{SECRETS['MLFLOW_AUTH_ADMIN_PASSWORD']}".encode()).decode()
    headers = {"Authorization": f"Basic {word}", "Content-Type": "application/json"}
    body = json.dumps(content).encode() if "text" not in content else content["text"].encode()
    request = urllib.request.Request(f"{up.url}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"{}")


def test_artifacts_go_by_the_server_to_the_volume(up: Up) -> None:
    experiment = call(up, "/api/2.0/mlflow/experiments/create", "POST", name="study")["experiment_id"]
    run = call(up, "/api/2.0/mlflow/runs/create", "POST", experiment_id=experiment)["run"]["info"]
    assert run["artifact_uri"] == f"mlflow-artifacts:/{experiment}/{run['run_id']}/artifacts"
    place = f"{experiment}/{run['run_id']}/artifacts/note.txt"
    call(up, f"/api/2.0/mlflow-artifacts/artifacts/{place}", "PUT", text="kept")
    assert (up.folder / "artifacts" / place).read_text() == "kept"


def test_a_colleague_gets_a_log_in_and_another_password(up: Up) -> None:
    call(up, "/api/2.0/mlflow/users/create", "POST", username="ada", password="her first password")
    assert asked(up.url, "ada", "her first password") == 200
    call(up, "/api/2.0/mlflow/users/update-password", "PATCH", username="ada", password="her second one")
    assert asked(up.url, "ada", "her first password") == 401
    assert asked(up.url, "ada", "her second one") == 200


def test_a_backup_is_restored_with_its_users(up: Up, tmp_path: Path) -> None:
    host, _, port = up.database.partition(":")
    place = ["-h", host, "-p", port, "-U", "mlflow"]

    def run(program: str, *words: str) -> str:
        command, environment = [postgres_program(program), *place, *words], os.environ | PGPASSWORD
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    dump = str(tmp_path / "mlflow.dump")
    run("pg_dump", "-Fc", "-f", dump, "mlflow")
    run("createdb", "restored")
    for _ in range(2):  # into a new database, and over an old one
        run("pg_restore", "-d", "restored", "--clean", "--if-exists", dump)
    users = run("psql", "-At", "-c", "SELECT username FROM users WHERE is_admin", "restored")
    assert users.split() == ["admin"]


def test_another_password_than_that_of_the_database_is_said(up: Up) -> None:
    server = Native(
        {**up.server.service, "environment": up.server.environment() | {"POSTGRES_PASSWORD": "another"}},
        "server",
        {},
    )
    assert "refuses POSTGRES_PASSWORD: it keeps the one of its first start" in said(server, "upgrade", code=2)


def test_a_schema_of_an_older_mlflow_is_said(up: Up) -> None:
    import psycopg

    place, password = f"postgresql://mlflow@{up.database}", SECRETS["POSTGRES_PASSWORD"]
    with psycopg.connect(f"{place}/mlflow", password=password, autocommit=True) as opened:
        opened.execute("CREATE DATABASE older")
    with psycopg.connect(f"{place}/older", password=password) as opened:
        opened.execute("CREATE TABLE alembic_version (version_num text)")
        opened.execute("INSERT INTO alembic_version VALUES ('451aebb31d03')")  # MLflow's first
    environment = up.server.environment() | {"DATABASE_URI": f"{place}/older"}
    server = Native({**up.server.service, "environment": environment}, "server", {})
    assert "schema of an older MLflow: make a backup, then type" in said(server, "serve", code=2)


def test_a_schema_of_a_newer_mlflow_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    behind = runpy.run_path(str(DOCKER / "server.py"))["_behind"]
    assert not behind(None)
    assert not behind(_get_latest_schema_revision())
    with pytest.raises(SystemExit) as ended:
        behind("0123456789ab")
    assert ended.value.code == 2
    assert "schema 0123456789ab, which this MLflow does not know" in capsys.readouterr().err


def test_the_grid_plans_its_study_in_the_volume(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = native("grid", {}, tmp_path)
    for name, value in grid.environment().items():
        monkeypatch.setenv(name, value)
    program, *words = grid.command()
    assert program == "ablate"
    assert os.environ["ABLATE_STORE"] == str(tmp_path / "store")
    planned = output_of(*words, "--data", tiny_data, "--dry-run", store=tmp_path / "store")
    assert planned.startswith("Study grid: 15 conditions x 3 seeds = 45 runs")


@pytest.mark.cluster
def test_the_page_of_the_store_is_healthy(tmp_path: Path, empty_database: Path) -> None:
    port = free_port()
    page = native("ui", {"UI_PORT": str(port)}, tmp_path, **{"0.0.0.0": "127.0.0.1"})
    shutil.copy(empty_database, Store(tmp_path / "store").database)
    program, *words = page.command()
    assert program == "ablate"
    command = [sys.executable, "-m", "ablate.cli.app", *words]
    assert page.health() == 1
    with mlflow_server(command, page.environment(), port, tmp_path):
        assert page.health() == 0
