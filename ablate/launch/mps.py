"""CUDA MPS, by which processes that share a GPU compute on it at the same time, instead of taking turns.

A control daemon serves the processes that find it by their environment. One that runs already is used as it
is; else one is started with folders of its own, so that it serves nobody else, and ended after use. See
NVIDIA's "Multi-Process Service" for what is assumed here.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from ablate.launch.cards import Card

PROGRAM = "nvidia-cuda-mps-control"
NOBODY = "Cannot find MPS control daemon"  # said whatever the exit code is
PATIENCE_S = 20.0
QUIT_S = 40  # for workers that outlive their controller to save where they are, before their server ends
FOLDERS = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")

# Ends the daemon when nobody can write to its input any more: when it is told to, and when its controller is
# killed. What the terminal asks of the controller is not meant for it.
GUARD = f"""trap "" HUP INT TERM
read -r _
echo "quit -t {QUIT_S}" | {PROGRAM}
rm -rf "$1"
"""


class MpsError(Exception):
    """The daemon does not start; the message says why."""


def obstacle(cards: Iterable[Card]) -> str | None:
    """Why processes cannot share the cards through MPS; None when they can, as far as can be seen."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not on PATH"
    for card in cards:
        if card.is_divided:
            return f"GPU {card.index} is divided by MIG"
        if card.compute_mode == "Prohibited":
            return f"the compute mode of GPU {card.index} is Prohibited"
    return None


class Service:
    """A daemon to be used: ``environment`` is what those need that use it. End it when they have ended."""

    def __init__(self) -> None:
        """Raises MpsError when there is none and none can be started."""
        self.environment: dict[str, str] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        if _fault_of(os.environ) is not None:
            self._start()

    def _start(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="ablate-mps-"))
        self.environment = {name: str(folder / name.lower()) for name in FOLDERS}
        for name in FOLDERS:
            Path(self.environment[name]).mkdir()
        # It serves all cards by their own numbers: so CUDA_VISIBLE_DEVICES means the same to its clients.
        environment = {**os.environ, **self.environment}
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        self._guard = _guard(folder, environment)
        try:
            fault = _ask([PROGRAM, "-d"], "", environment) or _fault_of(environment)
        except BaseException:
            self.end()
            raise
        if fault is not None:
            self.end()
            raise MpsError(fault)

    def end(self) -> None:
        """End the daemon, if it was started here. Harmless when done twice."""
        if self._guard is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on without us
                self._guard.communicate(timeout=QUIT_S + PATIENCE_S)
            self._guard = None


def _guard(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", GUARD, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _fault_of(environment: Mapping[str, str]) -> str | None:
    """Why the daemon that the environment leads to does not answer; None when it does."""
    return _ask([PROGRAM], "get_server_list\n", environment)


def _ask(command: list[str], text: str, environment: Mapping[str, str]) -> str | None:
    """What went wrong, in the program's last words; None when nothing did."""
    try:
        # The daemon keeps what it inherits open, so its words go to files, whose ends nobody waits for.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command,
                input=text.encode(),
                stdout=said,
                stderr=said,
                timeout=PATIENCE_S,
                check=False,
                env=dict(environment),
                start_new_session=True,
            )
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return f"{PROGRAM}: {error}"
    if done.returncode == 0 and not any(NOBODY in line for line in words):
        return None
    return words[-1] if words else f"{PROGRAM} ended with exit code {done.returncode}"
