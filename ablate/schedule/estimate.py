"""How long a plan will take: from runs that have finished on this host, else from a calibration of it.

A command starts up, its workers train one run after another, and it closes. ``<store>/calibration.json``
keeps what ``--calibrate`` has measured, by host, versions of the subject's packages, cost of a training step
and number of workers, since workers share the memory's bandwidth.
"""

import heapq
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from ablate.design.runs import Run
from ablate.ground.errors import StoreError
from ablate.ground.files import read_json, write_json
from ablate.ground.leases import lease
from ablate.ground.records import Number, Record, Text, require
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Size, Subject

LEASE_PATIENCE_S = 5.0
NO_SIZE = Size()

# Of a large store, the runs that finished last tell enough.
RECENT_RUNS = 200


@dataclass(frozen=True)
class Speed:
    """One worker's, while the others train too: seconds a training step, and seconds an item evaluated."""

    step_s: float
    evaluation_s: float


@dataclass(frozen=True)
class Overheads:
    """What a command takes beside training and evaluation, in seconds."""

    start_s: float = 0.0  # until the first run begins
    close_s: float = 0.0  # after the last run has ended
    first_run_s: float = 0.0  # a worker's first run longer than its next ones
    run_s: float = 0.0  # each run, from the end of the one before
    generate_s: float = 0.0  # a unit of the subject's data, on one core
    prepare_s: float = 0.0  # the same


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


@dataclass(frozen=True)
class Known:
    """What a forecast is made from: the subject, how much there is to do, and what was measured."""

    subject: Subject
    size: Size
    calibration: Calibration
    finished: "Evidence"


def predict(todo: Sequence[Run], crews: Iterable[int], known: Known) -> Forecast:
    """Wall time to train ``todo`` with each number of workers, start-up and preparation of data included."""
    seconds = {workers: predict_seconds(todo, workers, known) for workers in crews}
    return Forecast({workers: time_s for workers, time_s in seconds.items() if time_s is not None})


def predict_seconds(todo: Sequence[Run], workers: int, known: Known) -> float | None:
    """Wall time to train ``todo``. None when the cost of a run is neither calibrated nor known from runs."""
    if not todo:
        return 0.0
    overheads, size = known.calibration.overheads, known.size
    times = [_run_seconds(run, workers, known) for run in todo]
    told = [seconds + overheads.run_s for seconds in times if seconds is not None]
    if len(told) < len(times):
        return None
    data_s = size.to_generate * overheads.generate_s + size.to_prepare * overheads.prepare_s
    training_s = makespan(told, workers, overheads.first_run_s)
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


def _run_seconds(run: Run, workers: int, known: Known) -> float | None:
    """Training and evaluation of one run. Runs that trained beside as many others tell best."""
    subject, size = known.subject, known.size
    cost, epochs, steps = (
        subject.cost(run.config),
        subject.epochs(run.config),
        subject.steps(run.config, size),
    )
    measured = known.finished.seconds_per_epoch(run.dataset.digest, cost, steps / epochs, workers)
    if measured is not None:
        return measured * epochs
    speed = known.calibration.speed(cost, workers)
    if speed is not None:
        return steps * speed.step_s + subject.scored_items(run.config, size) * speed.evaluation_s
    elsewise = known.finished.seconds_per_epoch(run.dataset.digest, cost, steps / epochs)
    return None if elsewise is None else elsewise * epochs


# ---------------------------------------------------------------------------------------- finished runs


@dataclass(frozen=True)
class Finished:
    """A run that has finished on this host, and beside how many others, itself included, on the average.

    ``epoch_steps`` are those of an epoch, fewer where data are held out; 0 where they are not known.
    """

    digest: str
    cost: str
    epoch_s: float
    at_once: float
    epoch_steps: float = 0.0

    def seconds_of(self, epoch_steps: float) -> float:
        """What an epoch of so many steps would have taken."""
        return self.epoch_s * (epoch_steps / self.epoch_steps if epoch_steps and self.epoch_steps else 1.0)


@dataclass(frozen=True)
class Evidence:
    """What finished runs tell."""

    runs: Sequence[Finished] = ()

    def seconds_per_epoch(
        self, digest: str, cost: str, epoch_steps: float = 0.0, workers: int | None = None
    ) -> float | None:
        """The median of runs of the same cost on the same data, beside as many ``workers`` if given."""
        found = [
            known.seconds_of(epoch_steps)
            for known in self.runs
            if (known.digest, known.cost) == (digest, cost)
            and (workers is None or round(known.at_once) == workers)
        ]
        return median(found) if found else None


def read_evidence(store: Store, subject: Subject, size: Size = NO_SIZE) -> Evidence:
    """Of the subject's runs that finished last on this host. Damaged ones and those of another version tell
    nothing. ``size`` is that of the data for which they are to tell something.
    """
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
        if result is not None and run.subject.name == subject.name:
            cost, epochs = subject.cost(run.config), subject.epochs(run.config)
            epoch_s, epoch_steps = result["duration_s"] / epochs, subject.steps(run.config, size) / epochs
            found.append(Finished(run.dataset.digest, cost, epoch_s, _at_once(span, spans), epoch_steps))
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


class _CalibrationRecord(Record):
    overheads: dict[Text, Number]
    speeds: dict[Text, dict[Text, dict[Text, Number]]]


def calibration_file(store: Store) -> Path:
    return store.root / "calibration.json"


def read_calibration(store: Store, subject: Subject) -> Calibration:
    """What is known of this host with these versions. Nothing where the file is damaged."""
    try:
        content = _hosts(calibration_file(store))[_host(subject)]
        return Calibration(
            Overheads(**content["overheads"]),
            {
                cost: {int(workers): Speed(**speed) for workers, speed in by_workers.items()}
                for cost, by_workers in content["speeds"].items()
            },
        )
    except (ValueError, KeyError, TypeError):
        return Calibration()


def add_calibration(store: Store, subject: Subject, new: Calibration) -> None:
    """Keep what was measured, beside what is known of other costs and hosts."""
    file = calibration_file(store)
    with lease(file.with_name(".calibration.lock"), LEASE_PATIENCE_S):
        before = read_calibration(store, subject)
        speeds = {
            cost: {**before.speeds.get(cost, {}), **new.speeds.get(cost, {})}
            for cost in {**before.speeds, **new.speeds}
        }
        hosts = _hosts(file)
        hosts[_host(subject)] = asdict(Calibration(new.overheads, speeds))
        write_json(file, hosts)


def _hosts(file: Path) -> dict[str, Any]:
    """What is known of each host. What is damaged of it is forgotten."""
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {host: known for host, known in content.items() if _is_whole(known)}


def _is_whole(known: Any) -> bool:
    try:
        require(_CalibrationRecord, known)
    except ValueError:
        return False
    return True


def _host(subject: Subject) -> str:
    """Another version of the subject's first package is another machine."""
    packages = [f" {name} {_version(name)}" for name in subject.packages[:1]]
    return "".join([socket.gethostname(), *packages])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
