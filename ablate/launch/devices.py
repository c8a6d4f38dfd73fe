"""Which devices there are, asked without importing torch (which costs the controller seconds)."""

import os
import shutil
import subprocess

from ablate.ground.errors import ConfigError
from ablate.ground.machine import available_cores

DRIVER_PATIENCE_S = 30.0


def find_workers(request: str, gpus_per_run: int, workers: int | None) -> list[str]:
    """The device, or devices, of each worker that there is to be here. Raises ConfigError."""
    return slots(grouped(find_devices(request), gpus_per_run), workers)


def find_devices(request: str = "auto") -> list[str]:
    """Device names as torch writes them: ``["cuda:0", "cuda:1"]`` or ``["cpu"]``.

    ``request`` is ``auto`` (every GPU, else the CPU), ``cpu``, ``cuda`` (every GPU), or names separated by
    commas. Raises ConfigError for anything else, and for a GPU that is not there.
    """
    if request == "cpu":
        return ["cpu"]
    gpus = [f"cuda:{index}" for index in range(_count_gpus())]
    if request == "auto":
        return gpus or ["cpu"]
    wanted = gpus if request == "cuda" else [name.strip() for name in request.split(",")]
    missing = [name for name in wanted if name not in [*gpus, "cpu"]]
    if missing or not wanted:
        raise ConfigError(f"--device {request}: no such device here; there is {', '.join([*gpus, 'cpu'])}")
    return wanted


def grouped(devices: list[str], size: int) -> list[str]:
    """Devices in groups for runs that need several: names separated by commas. CPUs are not grouped.

    Raises ConfigError where there are too few.

    >>> grouped(["cuda:0", "cuda:1", "cuda:2"], 2)
    ['cuda:0,cuda:1']
    """
    if size == 1 or devices == ["cpu"]:
        return devices
    groups = [devices[start : start + size] for start in range(0, len(devices) - size + 1, size)]
    if not groups:
        raise ConfigError(f"--gpus-per-run {size}: there are only {', '.join(devices)}")
    return [",".join(group) for group in groups]


def slots(devices: list[str], workers: int | None) -> list[str]:
    """The device of each worker: one for each GPU, one for each core of a CPU; or ``workers`` in all.

    >>> slots(["cuda:0", "cuda:1"], None)
    ['cuda:0', 'cuda:1']
    >>> slots(["cuda:0", "cuda:1"], 3)
    ['cuda:0', 'cuda:1', 'cuda:0']
    """
    if workers is None:
        workers = sum(available_cores() if device == "cpu" else 1 for device in devices)
    return [devices[index % len(devices)] for index in range(workers)]


def _count_gpus() -> int:
    """GPUs that torch would see: those of the driver, as far as CUDA_VISIBLE_DEVICES lets them through."""
    n_gpus = _count_of_driver()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return n_gpus
    names = [name.strip() for name in visible.split(",")]
    # As CUDA does: the list ends at the first invalid entry.
    return min(n_gpus, next((i for i, name in enumerate(names) if name in ("", "-1")), len(names)))


def _count_of_driver() -> int:
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=DRIVER_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError("nvidia-smi does not answer; choose with --device cpu or cuda:0,...") from error
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
