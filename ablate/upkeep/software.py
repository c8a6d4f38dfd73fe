"""This machine and what is installed on it."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.ground.asking import ask
from ablate.ground.machine import available_cores
from ablate.ground.wording import readable_bytes
from ablate.subject.registry import built_in
from ablate.upkeep.findings import Finding, Level, listed, shell
from ablate.upkeep.inventory import Inventory

DRIVER_PATIENCE_S = 30.0
PACKAGE = "ablate"
WORKER_BYTES = 600_000_000  # of a run of profile quick, whose peak was measured at 530 MB

# In processes of their own: a broken library may end its process, or never return.
ASK_TORCH = """
import json, torch
n = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps({"version": torch.__version__, "built_for": torch.version.cuda, "n_gpus": n}))
"""


def check_versions(_inventory: Inventory) -> Iterator[Finding]:
    """Everything that this package requires is installed, in a version that it can work with."""
    from packaging.requirements import Requirement

    try:
        required = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or []]
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            Level.WARNING,
            "versions",
            "ablate is not installed, so what it requires is not known; in its folder:",
            (_pip("install", "-e", "."),),
        )
        return
    others = [name for name in built_in().requires if _version(name) is None]  # `check_subject` tells
    needed = [
        item
        for item in required
        if (item.marker is None or item.marker.evaluate({"extra": ""})) and item.name not in others
    ]
    wrong: list[str] = []
    mend: list[str] = []
    for item in needed:
        version = _version(item.name)
        if version is None or not item.specifier.contains(version, prereleases=True):
            wrong.append(
                f"{item.name} {version or 'is missing'}" + f", required is {item.specifier}" * bool(version)
            )
            mend.append(f"{item.name}{item.specifier}")
    if wrong:
        yield Finding(Level.PROBLEM, "versions", "; ".join(wrong), (_pip("install", *mend),))
        return
    named = [name for name in ("torch", "numba", "mlflow") if name not in others]
    shown = ", ".join(f"{name} {_version(name)}" for name in named)
    yield Finding(
        Level.OK,
        "versions",
        f"Python {platform.python_version()}, {shown} and {len(needed) - len(named)} more are as required",
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_torch(_inventory: Inventory) -> Iterator[Finding]:
    """PyTorch can be imported, and sees the GPUs that the driver sees."""
    torch = ask(ASK_TORCH)
    if isinstance(torch, str) and "No module named 'torch'" in torch:
        yield Finding(Level.OK, "torch", "PyTorch is not installed; subjects that need it cannot be trained")
        return
    if isinstance(torch, str):
        yield _problem(f"PyTorch cannot be imported: {torch}", _pip("install", "--force-reinstall", "torch"))
        return
    try:
        gpus = gpus_of_driver()
    except OSError as error:
        yield Finding(
            Level.WARNING,
            "torch",
            f"PyTorch {torch['version']}; {error}; until that is mended, train with --device cpu",
            ("nvidia-smi",),
        )
        return
    if not gpus:
        yield Finding(
            Level.OK, "torch", f"PyTorch {torch['version']}; there is no NVIDIA GPU, runs train on the CPU"
        )
    elif os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        yield Finding(
            Level.WARNING,
            "torch",
            f"CUDA_VISIBLE_DEVICES hides {listed('GPU', (gpu.name for gpu in gpus))}",
            ("unset CUDA_VISIBLE_DEVICES",),
        )
    else:
        yield _usable(torch, gpus)


def _usable(torch: dict[str, Any], gpus: "list[Gpu]") -> Finding:
    names = listed("GPU", (gpu.name for gpu in gpus))
    if torch["built_for"] is None:
        return _problem(
            f"the driver has {names}, but PyTorch {torch['version']} is built without CUDA; install one "
            "that is, or train with --device cpu",
            _pip("uninstall", "--yes", "torch"),
            _pip("install", "torch"),
        )
    if not torch["n_gpus"]:
        return _problem(
            f"the driver has {names}, but PyTorch {torch['version']}, built for CUDA {torch['built_for']}, "
            "sees none; the driver may be too old for it, which `nvidia-smi` tells in its first lines",
            shell([sys.executable, "-c", "import torch; torch.zeros(1).cuda()"]),
        )
    texts = [
        f"{gpu.name} with {readable_bytes(gpu.free)} of {readable_bytes(gpu.total)} free" for gpu in gpus
    ]
    return Finding(
        Level.OK, "torch", f"PyTorch {torch['version']} for CUDA {torch['built_for']}; {'; '.join(texts)}"
    )


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver describes it; memory in bytes."""

    name: str
    total: int
    free: int


def gpus_of_driver() -> list[Gpu]:
    """What ``nvidia-smi`` lists; nothing when it is not there. Raises OSError when it fails or hangs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=DRIVER_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"nvidia-smi does not answer within {DRIVER_PATIENCE_S:.0f} s") from error
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip().splitlines() or ["it says nothing"]
        raise OSError(f"nvidia-smi fails: {said[-1]}")
    rows = [line.rsplit(", ", 2) for line in answer.stdout.splitlines() if line.count(", ") >= 2]
    return [Gpu(name, _mebibytes(total), _mebibytes(free)) for name, total, free in rows]


def _mebibytes(text: str) -> int:
    """Bytes; 0 for what the driver does not tell ("[N/A]", where a GPU shares the machine's memory)."""
    return int(text) << 20 if text.isdigit() else 0


def check_subject(_inventory: Inventory) -> Iterator[Finding]:
    """What the built-in subject needs works."""
    subject = built_in()
    for level, text, commands in subject.check_installation():
        yield Finding(Level(level), "subject", f"{subject.name}: {text}", tuple(commands))


def check_machine(_inventory: Inventory) -> Iterator[Finding]:
    """How many cores and how much memory this process may use, which may be less than there is."""
    usable, there = available_cores(), os.cpu_count() or 1
    text = f"{usable} core{'s' * (usable > 1)}"
    if usable < there:
        text += f" of {there} may be used (affinity or a container's limit)"
    free = free_memory()
    level = Level.OK
    if free is not None:
        text += f", {readable_bytes(free)} of memory free"
        if free < usable * WORKER_BYTES:
            level = Level.WARNING
            text += (
                f"; {usable} worker{'s' * (usable > 1)} need about {readable_bytes(usable * WORKER_BYTES)} "
                f"in profile quick: train with --workers {max(1, free // WORKER_BYTES)}"
            )
    yield Finding(level, "machine", text)


def free_memory() -> int | None:
    """Bytes that programs can still have, here and within a container's limit; None when unknown."""
    known = [free for free in (_free_of_machine(), _free_of_group()) if free is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_group() -> int | None:
    """What the tightest limit of this process's control groups (version 2) leaves it."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    path = next((line.removeprefix("0::/") for line in groups if line.startswith("0::/")), "")
    top = Path("/sys/fs/cgroup")
    folder = top / path
    nested = [folder, *(parent for parent in folder.parents if parent.is_relative_to(top))]
    return min((free for group in nested if (free := _left_in(group)) is not None), default=None)


def _left_in(group: Path) -> int | None:
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        kinds = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:  # a group without a limit of its own
        return None
    # Files that were read and are not in use are given up first.
    spare = next((int(line.split()[1]) for line in kinds if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else int(limit) - used + spare


def _pip(*words: str) -> str:
    return shell([sys.executable, "-m", "pip", *words])


def _problem(text: str, *commands: str) -> Finding:
    return Finding(Level.PROBLEM, "torch", text, commands)
