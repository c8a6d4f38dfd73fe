"""How long a plan will take: from runs that have finished on this host, else from a calibration of it.

A command starts up, its workers train one run after another, and it closes. ``<store>/calibration.json``
keeps what ``--calibrate`` has measured, by host, version of torch, cost of a training step and number of
workers, since workers share the memory's bandwidth.
"""

import heapq
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from ablate.design.runs import Run
from ablate.ground.errors import StoreError
from ablate.ground.files import read_json, write_json
from ablate.ground.leases import lease
from ablate.mtl.config import RunConfig
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store

LEASE_PATIENCE_S = 5.0

# What decides the time of a training step. Reversals, fake labels and seeds cost next to nothing.
COST_FIELDS = ("tasks", "model.width", "optim.batch_size", "kernels", "precision")

# Of a large store, the runs that finished last tell enough.
RECENT_RUNS = 200


@dataclass(frozen=True)
class Size:
    """A data set's clips, and the minutes of audio that are still to be generated and to be prepared."""

    development_clips: int
    evaluation_clips: int
    minutes_to_generate: float = 0.0
    minutes_to_prepare: float = 0.0


@dataclass(frozen=True)
class Speed:
    """One worker's, while the others train too: seconds a training step, and seconds a clip evaluated."""

    step_s: float
    evaluation_s: float


@dataclass(frozen=True)
class Overheads:
    """What a command takes beside training and evaluation, in seconds."""

    start_s: float = 0.0  # until the first run begins
    close_s: float = 0.0  # after the last run has ended
    first_run_s: float = 0.0  # a worker's first run longer than its next ones
    run_s: float = 0.0  # each run, from the end of the one before
    generate_s: float = 0.0  # a minute of soundscapes, on one core
    prepare_s: float = 0.0  # a minute of audio, on one core


@dataclass(frozen=True)
class Calibration:
    """What is known of this host. ``speeds`` is by cost and by the number of workers at the same time."""

    overheads: Overheads = Overheads()
    speeds: Mapping[str, Mapping[int, Speed]] = field(default_factory=dict)

    def speed(self, cost: str, workers: int) -> Speed | None:
        """With the nearest number of workers that was measured, more rather than fewer."""
        known = self.speeds.get(cost, {})
        if not known:
            return None
        return known[min(known, key=lambda measured: (measured < workers, abs(measured - workers)))]


@dataclass(frozen=True)
class Forecast:
    """Seconds until all is trained by the number of workers, the numbers that can be told; maybe none."""

    by_workers: Mapping[int, float]

    @property
    def best_workers(self) -> int:
        """The number of workers that is done first; of equals the fewest. Raises ValueError for none."""
        return min(sorted(self.by_workers), key=lambda workers: self.by_workers[workers])


def predict(
    todo: Sequence[Run], size: Size, crews: Iterable[int], calibration: Calibration, finished: "Evidence"
) -> Forecast:
    """Wall time to train ``todo`` with each number of workers, start-up and preparation of data included."""
    seconds = {workers: predict_seconds(todo, size, workers, calibration, finished) for workers in crews}
    return Forecast({workers: time_s for workers, time_s in seconds.items() if time_s is not None})


def cost_of(config: RunConfig) -> str:
    """``both width=0.125 ...``: equal for runs whose training steps take equally long."""
    return " ".join(f"{name}={config.get(name)}" for name in COST_FIELDS)


def predict_seconds(
    todo: Sequence[Run],
    size: Size,
    workers: int,
    calibration: Calibration,
    finished: "Evidence",
) -> float | None:
    """Wall time to train ``todo``. None when the cost of a run is neither calibrated nor known from runs."""
    if not todo:
        return 0.0
    overheads = calibration.overheads
    times = [_run_seconds(run, size, workers, calibration, finished) for run in todo]
    known = [seconds + overheads.run_s for seconds in times if seconds is not None]
    if len(known) < len(times):
        return None
    data_s = size.minutes_to_generate * overheads.generate_s + size.minutes_to_prepare * overheads.prepare_s
    training_s = makespan(known, workers, overheads.first_run_s)
    return overheads.start_s + data_s / workers + training_s + overheads.close_s


def makespan(run_s: Iterable[float], workers: int, first_s: float = 0.0) -> float:
    """When the last run ends, where each goes to the worker that is free first, as the launcher does.

    ``first_s`` is what a worker's first run takes longer.

    >>> makespan([3, 1, 1, 1], workers=2)
    3.0
    """
    run_s = list(run_s)
    free_at = [first_s] * min(workers, len(run_s))
    for seconds in run_s:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return float(max(free_at, default=0.0))


def _run_seconds(
    run: Run, size: Size, workers: int, calibration: Calibration, finished: "Evidence"
) -> float | None:
    """Training and evaluation of one run. Runs that trained beside as many others tell best."""
    cost = cost_of(run.config)
    measured = finished.seconds_per_epoch(run, workers)
    if measured is not None:
        return measured * run.config.optim.epochs
    speed = calibration.speed(cost, workers)
    if speed is not None:
        steps = run.config.optim.epochs * size.development_clips / run.config.optim.batch_size
        return steps * speed.step_s + size.evaluation_clips * speed.evaluation_s
    elsewise = finished.seconds_per_epoch(run)
    return None if elsewise is None else elsewise * run.config.optim.epochs


# ---------------------------------------------------------------------------------------- finished runs


@dataclass(frozen=True)
class Finished:
    """A run that has finished on this host, and beside how many others, itself included, on the average."""

    digest: str
    cost: str
    epoch_s: float
    at_once: float


@dataclass(frozen=True)
class Evidence:
    """What finished runs tell."""

    runs: Sequence[Finished] = ()

    def seconds_per_epoch(self, run: Run, workers: int | None = None) -> float | None:
        """The median of runs of the same cost on the same data, beside as many ``workers`` if given."""
        found = [
            known.epoch_s
            for known in self.runs
            if (known.digest, known.cost) == (run.dataset.digest, cost_of(run.config))
            and (workers is None or round(known.at_once) == workers)
        ]
        return median(found) if found else None


def read_evidence(store: Store) -> Evidence:
    """Of the runs that finished last on this host. Damaged ones and those of another version tell nothing."""
    recent = sorted(store.finished_runs(), key=_finished_at)[-RECENT_RUNS:]
    statuses = [(folder, folder.status()) for folder in recent]
    here = [
        (folder, status)
        for folder, status in statuses
        if status.host == socket.gethostname() and status.state is not State.DAMAGED
    ]
    spans = [(status.started_at or 0.0, status.ended_at or 0.0) for _, status in here]
    found = []
    for (folder, _), span in zip(here, spans, strict=True):
        try:
            result, run = folder.result(), folder.run()
        except StoreError:
            continue
        if result is not None:
            epoch_s = result["duration_s"] / run.config.optim.epochs
            found.append(Finished(run.dataset.digest, cost_of(run.config), epoch_s, _at_once(span, spans)))
    return Evidence(found)


def _finished_at(folder: RunFolder) -> float:
    return (folder.path / "result.json").stat().st_mtime


def _at_once(span: tuple[float, float], spans: Iterable[tuple[float, float]]) -> float:
    """How many spans of time lie over this one on the average, itself included."""
    start, end = span
    if end <= start:
        return 1.0
    return sum(max(0.0, min(end, other[1]) - max(start, other[0])) for other in spans) / (end - start)


# --------------------------------------------------------------------------------------- the calibration


def calibration_file(store: Store) -> Path:
    return store.root / "calibration.json"


def read_calibration(store: Store) -> Calibration:
    """What is known of this host with this version of torch. Nothing where the file is damaged."""
    try:
        content = read_json(calibration_file(store))[_host()]
        return Calibration(
            Overheads(**content["overheads"]),
            {
                cost: {int(workers): Speed(**speed) for workers, speed in by_workers.items()}
                for cost, by_workers in content["speeds"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Calibration()


def add_calibration(store: Store, new: Calibration) -> None:
    """Keep what was measured, beside what is known of other costs and hosts."""
    file = calibration_file(store)
    with lease(file.with_name(".calibration.lock"), LEASE_PATIENCE_S):
        before = read_calibration(store)
        speeds = {
            cost: {**before.speeds.get(cost, {}), **new.speeds.get(cost, {})}
            for cost in {**before.speeds, **new.speeds}
        }
        hosts = _hosts(file)
        hosts[_host()] = asdict(Calibration(new.overheads, speeds))
        write_json(file, hosts)


def _hosts(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _host() -> str:
    """Another version of torch is another machine."""
    return f"{socket.gethostname()} torch {version('torch')}"
