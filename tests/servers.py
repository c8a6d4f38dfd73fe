"""What a team's MLflow stands on, for tests and benchmarks: PostgreSQL, an S3, and a server with log-in.

All listen on the loopback interface, at free ports, and end with their block.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ablate.tracking.server import LIGHT
from tests import services
from tests.services import HOST, free_port, wait_for_answer

USER, PASSWORD = "ablate", "only-for-tests"


@dataclass(frozen=True)
class Postgres:
    """A cluster of databases of its own, and of one user."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}:{PASSWORD}@{HOST}:{self.port}/{database}"

    def rows(self, database: str, query: str) -> list[Any]:
        with self._connection(database) as connection:
            return connection.execute(query).fetchall()

    def create(self, database: str) -> str:
        """An empty database's address."""
        with self._connection("postgres") as connection:
            connection.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def _connection(self, database: str) -> Any:
        import psycopg

        return psycopg.connect(
            host=HOST, port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )


@contextmanager
def postgres(*options: str) -> Iterator[Postgres]:
    """A PostgreSQL in a temporary folder. ``options`` are settings, such as ``max_connections=5``."""
    settings = [word for option in options for word in ("-c", option)]
    with (
        tempfile.TemporaryDirectory(prefix="ablate-postgres-", ignore_cleanup_errors=True) as folder,
        services.postgres(
            Path(folder) / "cluster", user=USER, password=PASSWORD, options=settings
        ) as address,
    ):
        yield Postgres(urlsplit(address).port or 0)


@dataclass(frozen=True)
class S3:
    """A store of files with a bucket of the name ``files``."""

    address: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self) -> Any:
        import boto3

        keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.address, **keys)

    def names(self) -> list[str]:
        """Of all files."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket="files")
        return [found["Key"] for page in pages for found in page.get("Contents", [])]


@contextmanager
def s3() -> Iterator[S3]:
    port = free_port()
    store = S3(f"http://{HOST}:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_answer(f"{store.address}/moto-api/", child)
        store.client().create_bucket(Bucket="files")
        yield store
    finally:
        child.kill()
        child.wait()


class MlflowServer:
    """A real ``mlflow server`` that can be killed and started again."""

    def __init__(self, folder: Path, words: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        self._words = words
        self._environment = environment or {}
        self._child: subprocess.Popen[bytes] | None = None

    def begin(self) -> subprocess.Popen[bytes]:
        """Start it, and do not wait."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*command, *self._words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **LIGHT, **self._environment},
                start_new_session=True,
            )
        return self._child

    def start(self) -> None:
        child = self.begin()
        try:
            wait_for_answer(f"{self.url}/health", child)
        except BaseException:
            self.kill()
            raise RuntimeError(self.log.read_text(encoding="utf-8", errors="replace")[-3000:]) from None

    def kill(self) -> None:
        """At once, with all its workers."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None


@contextmanager
def mlflow_server(folder: Path, *words: str, **environment: str) -> Iterator[MlflowServer]:
    server = MlflowServer(folder, list(words), environment)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def log_in(folder: Path, database: str) -> dict[str, str]:
    """The environment of a server with log-in, whose admin has the password ``an admin's password``."""
    settings = {
        "default_permission": "READ",
        "database_uri": database,
        "admin_username": "admin",
        "admin_password": "an admin's password",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds": "60",
    }
    file = folder / "basic_auth.ini"
    lines = ["[mlflow]", *(f"{name} = {value}" for name, value in settings.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"MLFLOW_AUTH_CONFIG_PATH": str(file), "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the tests"}
