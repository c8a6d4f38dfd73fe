"""How many runs to train at once on a GPU: as many as fit, and no more than make it faster.

Both are measured, on networks that are thrown away: the memory of one step, and the steps per second of
1, 2, 4, ... runs until they stop growing.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.training.graphs import WARM_UP, ways_of
from ablate.mtl.training.loop import Features, Job, upload
from ablate.mtl.training.pack import Pack

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared

MAX_WIDTH = 32  # as many streams as torch has
WORTHWHILE = 1.05  # twice the runs must take so many times the steps per second
USABLE = 0.9  # of the free memory; graphs themselves take some that torch does not count
STEPS = 5  # of an epoch that is measured, where the data have so many
UNTIMED_EPOCHS = WARM_UP + 1  # after them every kind of step is recorded
TIMED_EPOCHS = 2

log = logging.getLogger(__name__)

_known: dict[tuple[str, str, str], int] = {}


class Capacity(NamedTuple):
    """What was measured, and the number of runs that follows from it."""

    width: int
    fitting: int  # runs, in memory
    speeds: dict[int, float]  # steps per second by the number of runs


def best_width(config: RunConfig, data: "Prepared", *, device: torch.device, limit: int = MAX_WIDTH) -> int:
    """How many runs like ``config`` to train at once on this device, at most ``limit``. On a CPU: one.

    Takes seconds at the first time in a process; runs that differ in seed, labels, losses and reversals alone
    are alike. Raises DataError where there are no clips.
    """
    if device.type != "cuda" or limit == 1:
        return 1
    key = (typical(config).model_dump_json(), data.digest, str(device))
    if key not in _known:
        _known[key] = measure(config, data, device=device).width
    return min(limit, _known[key])


def typical(config: RunConfig) -> RunConfig:
    """The configuration without what does not change the cost of a step."""
    default = RunConfig()
    same = {"grl": default.grl, "labels": default.labels, "loss": default.loss, "scoring": default.scoring}
    same["validation"] = default.validation
    epochs = UNTIMED_EPOCHS + TIMED_EPOCHS
    values = {"seed": 0, "optim.lr": default.optim.lr, "optim.epochs": epochs}
    return config.model_copy(update=same).override(values)


def saturation(speed: Callable[[int], float], limit: int) -> int:
    """The last of 1, 2, 4, ... <= limit that was worth doubling to.

    ``speed``: steps per second of so many runs together; 0 where they do not work.

    >>> saturation({1: 10.0, 2: 19.0, 4: 30.0, 8: 31.0}.__getitem__, limit=8)
    4
    """
    width, fastest = 1, speed(1)
    while 2 * width <= limit and (faster := speed(2 * width)) > WORTHWHILE * fastest:
        width, fastest = 2 * width, faster
    return width


def steps_per_second(config: RunConfig, data: "Prepared", shared: Features, n_runs: int) -> float:
    """Of ``n_runs`` runs together; 0 when they could not all step at the same time."""
    pack = Pack(data, shared, ways_of(shared.features.device))
    for seed in range(n_runs):
        pack.admit(Job(config.override({"seed": seed})))
    for _ in range(UNTIMED_EPOCHS):
        pack.train_epoch()
    n_steps = TIMED_EPOCHS * sum(member.steps_left for member in pack.members)
    started = time.perf_counter()
    for _ in range(TIMED_EPOCHS):
        pack.train_epoch()
    seconds = time.perf_counter() - started
    trained = [outcome for _, outcome in pack.take_ended() if not isinstance(outcome, Exception)]
    return n_steps / seconds if pack.at_once is None and len(trained) == n_runs else 0.0


def measure(config: RunConfig, data: "Prepared", *, device: torch.device) -> Capacity:
    """How many runs like ``config`` to train at once on this GPU.

    Raises DataError where there are no clips.
    """
    config = typical(config)
    whole = upload(data, device)  # as large as it will be when the runs train
    excerpt = excerpt_of(data, STEPS * config.optim.batch_size)
    shared = Features(*(tensor[: len(excerpt.development)] for tensor in whole))
    fitting = _fitting(config, excerpt, shared, device)
    speeds: dict[int, float] = {}

    def speed(n_runs: int) -> float:
        speeds[n_runs] = steps_per_second(config, excerpt, shared, n_runs)
        return speeds[n_runs]

    width = saturation(speed, min(MAX_WIDTH, fitting))
    told = ", ".join(f"{n_runs}: {speed:.1f}" for n_runs, speed in speeds.items())
    log.info("%d runs at once: memory holds %d; steps per second by runs: %s", width, fitting, told)
    return Capacity(width, fitting, speeds)


def _fitting(config: RunConfig, data: "Prepared", shared: Features, device: torch.device) -> int:
    """How many runs memory holds, by the peak of one run's first steps; at least one."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved(device)
    free, _ = torch.cuda.mem_get_info(device)
    torch.cuda.reset_peak_memory_stats(device)
    steps_per_second(config, data, shared, 1)
    # Twice: recorded steps keep their memory while steps of another kind are taken for the first time.
    needed = 2 * (torch.cuda.max_memory_reserved(device) - before)
    return max(1, int(USABLE * free / max(1, needed)))


def excerpt_of(data: "Prepared", n_clips: int) -> "Prepared":
    """The data with the first clips alone to train on."""
    split = data.development
    arrays = {
        name: getattr(split, name)[:n_clips]
        for name in ("features", "events", "scenes", "mask", "recordings")
    }
    return replace(data, development=replace(split, **arrays))
