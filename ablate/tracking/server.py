"""MLflow's web interface as a child process that never outlives us."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.ground.errors import ConfigError, StoreError

PORTS_TRIED = 50
START_PATIENCE_S = 90.0
STOP_PATIENCE_S = 5.0
LOG_LINES = 12

# With its defaults the server is 15 processes and 2.8 GB; with these, 2 processes and 0.5 GB.
LIGHT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

# A command whose process group ends when its input does.
WATCHED = 'exec 3<&0; (read _ <&3; kill -TERM 0) & exec "$@" </dev/null 3<&-'


def free_port(host: str, first: int) -> int:
    """The first port from ``first`` on that nobody listens on. Raises ConfigError when there is none."""
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        try:
            with socket.create_server((host, port)):
                return port
        except PermissionError as error:
            raise ConfigError(f"--port {port}: {error.strerror}; use one above 1023") from error
        except socket.gaierror as error:
            raise ConfigError(f"--host {host}: {error.strerror}") from error
        except OSError as error:
            if "in use" not in str(error):
                raise ConfigError(f"--host {host} --port {port}: {error.strerror or error}") from error
    raise ConfigError(f"--port {first}: this port and the {PORTS_TRIED - 1} after it are taken; name another")


@contextmanager
def server(uri: str, artifacts: Path, host: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server on a database, in a process group of its own that ends with the block.

    A group of its own does not get the terminal's Ctrl-C: we do, and pass it on once. Should we be killed,
    the input that only we hold ends, and whoever reads it ends the group.
    """
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--workers",
        "1",
        "--host",
        host,
        "--port",
        str(port),
    ]
    command += ["--backend-store-uri", uri, "--default-artifact-root", artifacts.resolve().as_uri()]
    with log.open("wb") as sink:
        child = subprocess.Popen(
            ["sh", "-c", WATCHED, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | LIGHT,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        _end_group(child)
        assert child.stdin is not None
        child.stdin.close()


def wait_until_up(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return once the server answers. Raises StoreError with the end of its log when it does not."""
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ended(child, log)
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise StoreError(f"MLflow's server did not answer within {START_PATIENCE_S:.0f} s\n{_tail(log)}")


def ended(child: subprocess.Popen[bytes], log: Path) -> StoreError:
    """What to tell of a server that ended by itself."""
    return StoreError(f"MLflow's server ended with exit code {child.returncode}\n{_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it."""
    for wish in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, wish)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + STOP_PATIENCE_S
        while _group_lives(child) and time.monotonic() < deadline:
            time.sleep(0.05)
    child.wait()


def _group_lives(child: subprocess.Popen[bytes]) -> bool:
    child.poll()  # a dead child that nobody waited for still counts as a member
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True
