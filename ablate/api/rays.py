"""``--launcher ray``: what the options mean on a Ray cluster, and the launcher that they ask for."""

import atexit
import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ablate.ground.errors import ConfigError
from ablate.ground.wording import count
from ablate.launch.devices import find_workers
from ablate.launch.ray_cluster import Cluster, Need, connect, require_ray, share, start

if TYPE_CHECKING:
    from ablate.api.means import Means
    from ablate.launch.base import Launcher
    from ablate.record.store import Store
    from ablate.subject.interface import Subject

CHOICES = ("auto", "cpu", "cuda")


@cache
def _joined(address: str) -> Cluster:
    """The cluster that this command has joined, at whatever time it first asks for it."""
    cluster = connect(address)
    atexit.register(cluster.close)
    return cluster


def devices_of(means: "Means", gpus_per_run: int) -> list[str]:
    """The device of each worker: those that the cluster has room for, or ``--workers`` of them.

    Raises ConfigError when there is no such cluster, or no room in it for a single one.
    """
    require_ray()
    if means.device not in CHOICES:
        raise ConfigError(
            f"--device {means.device}: with --launcher ray it is auto, cpu or cuda; Ray chooses the GPUs"
        )
    if means.address is None:
        return find_workers(means.device, gpus_per_run, means.workers)
    cluster = _joined(means.address)
    n_gpus = 0 if means.device == "cpu" else cluster.n_gpus()
    if means.device == "cuda" and not n_gpus:
        raise ConfigError(f"--device cuda: {cluster.label} has no GPU; choose with --device cpu")
    need = _need(means, n_gpus, gpus_per_run)
    places = sum(cluster.places(need))
    if not places:
        raise ConfigError(f"{cluster.label} has no node with room for a worker, which takes {need}")
    n_workers = places if means.workers is None else min(means.workers, places)
    return [_device(need)] * n_workers


def where(means: "Means", n_workers: int) -> str:
    """For the plan: on how many nodes the workers are."""
    if means.address is None:
        return f"{count(n_workers, 'worker')} on a Ray cluster of this machine"
    cluster = _joined(means.address)
    n_gpus = 0 if means.device == "cpu" else cluster.n_gpus()
    n_nodes = len(cluster.places(_need(means, n_gpus, 1)))
    return f"{count(n_workers, 'worker')} on {count(n_nodes, 'node')} of {cluster.label}"


def _need(means: "Means", n_gpus: int, gpus_per_run: int) -> Need:
    """What a worker takes: a CPU, whole GPUs, or its share of one where there are more workers than GPUs."""
    if not n_gpus:
        return Need()
    if gpus_per_run > 1:
        return Need(0, gpus_per_run)
    on_one = math.ceil(means.workers / n_gpus) if means.workers is not None else 1
    return Need(0, share(max(1, on_one)))


def _device(need: Need) -> str:
    n_gpus = math.ceil(need.gpus)
    return ",".join(f"cuda:{index}" for index in range(n_gpus)) if n_gpus else "cpu"


def ray_launcher(means: "Means", devices: Sequence[str], subject: "Subject", store: "Store") -> "Launcher":
    """What trains the subject's runs on the cluster with as many workers as there are ``devices``."""
    from ablate.launch.ray import RayLauncher

    n_gpus = 0 if devices[0] == "cpu" else _n_gpus(means, devices)
    gpus_per_run = len(devices[0].split(","))
    need = _need(means, n_gpus, gpus_per_run)
    cluster = start(len(devices)) if means.address is None else _joined(means.address)
    return RayLauncher(
        cluster,
        subject.spec,
        store.root,
        workers=means.workers or (len(devices) if means.address is None else None),
        need=need,
        runs_per_gpu=means.runs_per_gpu if subject.trains_together else 1,
    )


def _n_gpus(means: "Means", devices: Sequence[str]) -> int:
    if means.address is not None:
        return _joined(means.address).n_gpus()
    return len({name for device in devices for name in device.split(",")})
