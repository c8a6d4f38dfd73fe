"""Real servers for tests: PostgreSQL and MLflow, on loopback, in their own folders, gone with the block."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

HOST = "127.0.0.1"
PATIENCE_S = 90.0
# Debian keeps its programs apart by version.
POSTGRES_FOLDERS = [
    *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
    Path("/usr/local/bin"),
    Path("/usr/bin"),
]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


def has_postgres() -> bool:
    return _find("initdb") is not None


def _find(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join(map(str, reversed(POSTGRES_FOLDERS))))


def postgres_program(name: str) -> str:
    """A program of PostgreSQL's server. Skips the test where it is not installed."""
    found = _find(name)
    if found is None:
        pytest.skip(f"needs PostgreSQL's {name}: apt-get install postgresql")
    return found


@contextmanager
def postgres(
    folder: Path, *, user: str = "mlflow", password: str = "only-for-tests", options: Sequence[str] = ()
) -> Iterator[str]:
    """The address, without the password, of a new database of the user's name, in a cluster of its own.

    ``options`` are those of the program ``postgres``. It refuses to run as root, who runs it as ``postgres``.
    """
    folder.mkdir(parents=True)
    data, port = folder / "data", free_port()
    secret = folder / "password"
    secret.write_text(password)
    owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if owner:
        for path in (folder, secret):
            shutil.chown(path, "postgres", "postgres")
        _let_through(folder)
    make = [postgres_program("initdb"), "--username", user, f"--pwfile={secret}", "--auth=scram-sha-256"]
    make += ["--no-sync", "--locale=C.UTF-8", "--pgdata", str(data)]
    subprocess.run(make, check=True, cwd=folder, stdout=subprocess.DEVNULL, **owner)
    start = [postgres_program("postgres"), "-D", str(data), "-h", HOST, "-p", str(port), "-F"]
    start += ["-c", "unix_socket_directories=", *options]
    with (folder / "log").open("wb") as log:
        # A process group of its own, so that the terminal's Ctrl-C does not reach it before its clients.
        server = subprocess.Popen(start, cwd=folder, stdout=log, stderr=log, start_new_session=True, **owner)
    try:
        _wait_for_port(port, server, folder / "log")
        address = ["-h", HOST, "-p", str(port), "-U", user]
        subprocess.run(
            [postgres_program("createdb"), *address, user],
            check=True,
            env={**os.environ, "PGPASSWORD": password},
        )
        yield f"postgresql://{user}@{HOST}:{port}/{user}"
    finally:
        _end(server, signal.SIGINT)  # which it takes as: cut the connections and end


@contextmanager
def mlflow_server(
    command: Sequence[str], environment: dict[str, str], port: int, folder: Path
) -> Iterator[str]:
    """The address of the server that ``command`` starts at ``port``, once it answers."""
    log = folder / "server.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=sink, stderr=sink, start_new_session=True
        )
    url = f"http://{HOST}:{port}"
    try:
        _wait_for_health(url, server, log)
        yield url
    finally:
        _end(server, signal.SIGTERM)


def _let_through(folder: Path) -> None:
    """pytest's folders are closed to others; PostgreSQL's user has to pass through those above its own."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def _wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0 and "ready to accept" in log.read_text():
                return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL does not answer:\n{log.read_text()}")


def _wait_for_health(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    try:
        wait_for_answer(f"{url}/health", server)
    except RuntimeError:
        raise RuntimeError(f"the server ended or does not answer:\n{log.read_text()}") from None


def wait_for_answer(url: str, child: subprocess.Popen[bytes]) -> None:
    """Raises RuntimeError when the child has ended, or does not answer for long."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


def _end(server: subprocess.Popen[bytes], wish: signal.Signals) -> None:
    """Ask the whole group, then make it."""
    for request in (wish, signal.SIGKILL):
        try:
            os.killpg(server.pid, request)
        except ProcessLookupError:
            break
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            continue
    server.wait()
