"""Whenever a command is asked to end, it ends quietly and with the exit code of that."""

import io
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer.main

from tests.command import typed_here

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _hear_of_hangups() -> Iterator[None]:
    """Below ``nohup`` the tests would pass that on, and a command that was told to ignore SIGHUP does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("request_", REQUESTS)
def test_in_its_first_instants(request_: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer has not made the commands yet, which it does when one is typed."""

    def get_command(_app: typer.Typer) -> None:
        signal.raise_signal(request_)

    monkeypatch.setattr(typer.main, "get_command", get_command)
    said = io.StringIO()
    assert typed_here(["factors"], said, said) == 130
    assert said.getvalue() == ""


# The user asks once more when the command has ended and Python has not.
ENDING = """
import atexit, signal, sys, threading
from ablate.cli.app import main

{when}(signal.raise_signal, {request})
sys.argv = ["ablate", "--version"]
main()
"""


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("when", ["threading._register_atexit", "atexit.register"])
def test_in_its_last_instants(request_: signal.Signals, when: str) -> None:
    """Nothing is left to be done, so it is at its end at once."""
    program = ENDING.format(when=when, request=int(request_))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-request_, "")
