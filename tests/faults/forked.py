"""Commands that cost a tenth of a second, as they share their imports: forks of the process that asks.

A fork is taken after the imports and before any thread, and runs ``ablate`` from its words to its exit code.
What it starts, as workers, are processes of their own, as ever. A kill meets it as it meets any other.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import sqlalchemy.orm

import ablate.analysis.compare
import ablate.analysis.looked
import ablate.api.progress
import ablate.campaign.campaign
import ablate.campaign.searching
import ablate.cli.app
import ablate.cli.search
import ablate.cli.train
import ablate.launch.local
import ablate.launch.slurm
import ablate.schedule.dashboard
import ablate.tracking.client
import ablate.tracking.pictures
import ablate.worker.bench

sqlalchemy.orm.configure_mappers()  # of MLflow's tables
_FORKING = multiprocessing.get_context("fork")


class Fork:
    """A command as ``subprocess.Popen`` shows one; its output goes to a file.

    ``constants`` are others than usual, by ``module.NAME``: those that modules read when they are imported.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        constants: Mapping[str, float] = {},
    ) -> None:
        self.args = ["ablate", *words]
        output.touch()  # so that it is there however soon the command is killed
        self._process = _FORKING.Process(
            target=_run, args=(self.args, dict(environment), output, dict(constants))
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises ``subprocess.TimeoutExpired``."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(words: list[str], environment: dict[str, str], output: Path, constants: dict[str, float]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(module), constant, value)
    with output.open("wb") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    sys.argv = words
    try:
        ablate.cli.app.main()
    except KeyboardInterrupt:  # as Python ends that meets it outside of ablate
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
