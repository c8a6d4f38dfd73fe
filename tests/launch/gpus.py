"""A machine with GPUs, as far as programs tell of them: ``nvidia-smi`` and the control program of CUDA MPS.

What processes take of a card's memory is in files that they write, a number of MiB in each.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

TOTAL_MIB = 10_000

NVIDIA_SMI = """#!/bin/sh
case "$1" in
    -L) for card in {cards}; do echo "GPU $card: Fake (UUID: GPU-$card)"; done ;;
    *memory.free*)
        for card in {cards}; do
            taken=$(cat {folder}/taken-$card/* 2>/dev/null | awk '{{ sum += $1 }} END {{ print sum + 0 }}')
            free=$(({total} - taken))
            echo "$card, GPU-$card, {total}, {free}, {mode}, {mig}"
        done ;;
    *) echo Fake ;;
esac
"""
# It notes what it is asked to do; a daemon is a file in its pipe directory.
CONTROL = """#!/bin/sh
pipes=${{CUDA_MPS_PIPE_DIRECTORY:-{folder}/default}}
if [ "$1" = -d ]; then
    [ -z "{fault}" ] || {{ echo "{fault}" >&2; exit 1; }}
    [ -z "$CUDA_VISIBLE_DEVICES" ] || echo "sees $CUDA_VISIBLE_DEVICES" >> {folder}/daemon
    touch "$pipes/control"
    echo "start" >> {folder}/daemon
    exit
fi
[ -e "$pipes/control" ] || {{ echo "Cannot find MPS control daemon process"; exit 1; }}
read -r words
case "$words" in quit*) rm "$pipes/control"; echo "$words" >> {folder}/daemon ;; esac
"""


@dataclass(frozen=True)
class Machine:
    """Where the programs are, and what they have noted."""

    folder: Path

    def daemon(self) -> list[str]:
        """What was asked of the MPS control daemon."""
        file = self.folder / "daemon"
        return file.read_text().splitlines() if file.exists() else []

    def run_daemon(self) -> None:
        """One that somebody has started before."""
        (self.folder / "default").mkdir()
        (self.folder / "default" / "control").touch()


def make_machine(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    cards: int = 1,
    free: str = "$free",
    mode: str = "Default",
    mig: str = "Disabled",
    mps: bool = True,
    fault: str = "",
) -> Machine:
    """``free`` is what the driver says of it, ``fault`` why the daemon of MPS does not start."""
    for card in range(cards):
        (folder / f"taken-{card}").mkdir(parents=True)
    numbers = " ".join(map(str, range(cards)))
    listing = NVIDIA_SMI.format(cards=numbers, folder=folder, total=TOTAL_MIB, free=free, mode=mode, mig=mig)
    _write_program(folder / "nvidia-smi", listing)
    if mps:
        _write_program(folder / "nvidia-cuda-mps-control", CONTROL.format(folder=folder, fault=fault))
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    patch.setenv("FAKE_GPUS", str(folder))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
        patch.delenv(name, raising=False)
    return Machine(folder)


def _write_program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)
