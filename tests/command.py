"""Running ``ablate`` as a user does, small enough to finish in seconds."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ablate.cli.app import app, main
from ablate.record.store import Store

# Four and eight channels and two epochs on four clips: a run takes a fraction of a second.
SMALL = ["--set", "model.width=0.03125", "--set", "optim.epochs=2", "--set", "optim.batch_size=2"]


def ablate_here(*arguments: object, store: Store) -> str:
    """Standard output of a command that runs in this process and must succeed; its errors are raised."""
    words = [*map(str, arguments), "--store", str(store.root)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def start(*arguments: object, store: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ablate.cli.app", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ABLATE_STORE": str(store)},
    )


def ablate(*arguments: object, store: Path, code: int = 0) -> str:
    """Standard output of a command that must end with exit code ``code``."""
    process = start(*arguments, store=store)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == code, f"exit code {process.returncode}\n{output}\n{errors}"
    return output


def answer(*arguments: object, store: Path, code: int = 0) -> tuple[str, str]:
    """What a command prints and what it says of errors, which must end with exit code ``code``.

    As one in a process of its own, from its words to its exit code, but in this process, which has imported
    MLflow: that takes a process seconds.
    """
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ABLATE_STORE", str(store))
        ended = typed_here([*map(str, arguments)], output, errors)
    assert ended == code, f"exit code {ended}\n{output.getvalue()}\n{errors.getvalue()}"
    return output.getvalue(), errors.getvalue()


def typed_here(arguments: list[str], output: io.StringIO, errors: io.StringIO) -> int | str:
    """The exit code of a command in this process."""
    with (
        pytest.MonkeyPatch.context() as patch,
        signals_restored(),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        patch.setattr(sys, "argv", ["ablate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0


@contextmanager
def signals_restored() -> Iterator[None]:
    """A command that is asked to end is interrupted, which whoever asks the tests to end does not mean."""
    requests = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {request: signal.getsignal(request) for request in requests}
    yield
    for request, handler in before.items():
        signal.signal(request, handler)


def output_of(*arguments: object, store: Path, code: int = 0) -> str:
    """The first half of ``answer``."""
    return answer(*arguments, store=store, code=code)[0]
