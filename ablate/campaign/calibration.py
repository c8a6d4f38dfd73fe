"""Measures what a plan's time follows from: how fast this machine's workers train, and what is around that.

Two short experiments. One trains a tiny study of the subject with the real command, in a store of its own,
and sees in its run folders when runs began and ended. The other lets as many processes as there would be
workers take training steps of each cost at the same time; they are the subject's ``speed_command``.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import IO

from ablate.design.runs import Run
from ablate.ground.errors import AblateError
from ablate.ground.machine import ONE_THREAD
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.schedule.estimate import Calibration, Overheads, Speed
from ablate.subject.interface import Subject, TinyStudy
from ablate.subject.settings import Settings
from ablate.tracking.address import VARIABLE

Say = Callable[[str], None]

TINY_RUNS_PER_WORKER = 3
TINY_WORKERS = 8  # at most: what is seen is the same with more, and takes longer


class CalibrationFailed(AblateError):
    """A process that was to be timed did not do what it does otherwise."""


def calibrate(subject: Subject, runs: Sequence[Run], crews: Iterable[Sequence[str]], say: Say) -> Calibration:
    """Times the training steps of ``runs`` with each crew (the devices of its workers), and the overheads.

    Takes about a minute. Raises CalibrationFailed, also for a subject that has nothing to time.
    """
    if not subject.speed_command:
        raise CalibrationFailed(
            f"the subject '{subject.name}' has no training steps to time; its first finished runs tell how "
            "long the others take"
        )
    crews = list(crews)
    say("Timing a tiny study ...")
    overheads = time_overheads(subject, max(crews, key=len)[:TINY_WORKERS])
    configs = {subject.cost(run.config): run.config for run in runs}
    return Calibration(overheads, time_steps(subject, configs, crews, say))


# --------------------------------------------------------------------------------------- training steps


def time_steps(
    subject: Subject, configs: dict[str, Settings], crews: Sequence[Sequence[str]], say: Say
) -> dict[str, dict[int, Speed]]:
    """Each configuration's speed by the number of workers, all of which measure at the same time."""
    speeds: dict[str, dict[int, Speed]] = {cost: {} for cost in configs}
    with _processes(subject.speed_command, max(crews, key=len)) as processes:
        for cost, config in configs.items():
            for crew in crews:
                say(f"Timing training steps of {len(crew)} at the same time: {cost} ...")
                speeds[cost][len(crew)] = _time_together(config, processes[: len(crew)])
    return speeds


def _time_together(config: Settings, processes: Sequence["_Process"]) -> Speed:
    for process in processes:
        process.send(json.dumps(config.flat()))
    for process in processes:
        process.receive()  # built, and warm
    for process in processes:
        process.send("go")
    measured = [Speed(**process.receive()) for process in processes]
    return Speed(mean(speed.step_s for speed in measured), mean(speed.evaluation_s for speed in measured))


class _Process:
    """One process that takes training steps.

    It reads settings (JSON) and writes a line when it is ready for them, reads a line, and then writes what a
    step and the evaluation of an item took, as JSON.
    """

    def __init__(self, command: Sequence[str], device: str, errors: IO[bytes]) -> None:
        self._errors = errors
        self._process = subprocess.Popen(
            [sys.executable, *command, "--device", device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(ONE_THREAD if device == "cpu" else {})},
        )

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def receive(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        content: dict[str, float] = json.loads(line)
        return content

    def _failure(self) -> CalibrationFailed:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return CalibrationFailed(f"timing training steps failed: {said[-1] if said else 'the process ended'}")

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def _processes(command: Sequence[str], devices: Sequence[str]) -> Iterator[list[_Process]]:
    with ExitStack() as stack:
        processes = []
        for device in devices:
            process = _Process(command, device, stack.enter_context(tempfile.TemporaryFile()))
            stack.callback(process.end)
            processes.append(process)
        yield processes


# -------------------------------------------------------------------------------------------- overheads


def time_overheads(subject: Subject, devices: Sequence[str]) -> Overheads:
    """What a command does beside training, seen in a tiny study on these devices."""
    with tempfile.TemporaryDirectory(prefix="ablate-") as name:
        tiny = subject.tiny_study(Path(name))
        if tiny is None:
            return Overheads()
        store = Store(Path(name) / "store")
        started_at = time.time()
        _train_tiny_study(tiny, store, devices)
        ended_at = time.time()
        workers = _workers(store.finished_runs())
    spans = [span for worker in workers for span in worker]
    later = [(before, span) for worker in workers for before, span in pairwise(worker)]
    return Overheads(
        start_s=min(span.start for span in spans) - started_at,
        close_s=ended_at - max(span.end for span in spans),
        first_run_s=max(0.0, mean(w[0].seconds for w in workers) - median(s.seconds for _, s in later)),
        run_s=median(span.end - before.end - span.trained_s for before, span in later),
        generate_s=tiny.generate_s,
        prepare_s=tiny.prepare_s,
    )


def _train_tiny_study(tiny: TinyStudy, store: Store, devices: Sequence[str]) -> None:
    command = [sys.executable, "-m", "ablate.cli.app", "grid", "calibration", *tiny.words]
    command += ["--seeds", str(TINY_RUNS_PER_WORKER * len(devices))]
    command += ["--store", str(store.root), "--device", ",".join(dict.fromkeys(devices))]
    command += ["--workers", str(len(devices))]
    # What is timed is this machine; a tracking server stays as it is.
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CalibrationFailed(f"the tiny study failed: {said[-1] if said else 'without a word'}")


@dataclass(frozen=True)
class _Span:
    """When a run began and ended, and how long of that it trained and was evaluated."""

    start: float
    end: float
    trained_s: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def _workers(folders: Iterable[RunFolder]) -> list[list[_Span]]:
    """The runs of each worker, in their order."""
    by_process: dict[int | None, list[_Span]] = defaultdict(list)
    for folder in folders:
        status, result = folder.status(), folder.result() or {}
        span = _Span(status.started_at or 0.0, status.ended_at or 0.0, result["duration_s"])
        by_process[status.pid].append(span)
    return [sorted(spans, key=lambda span: span.start) for spans in by_process.values()]
