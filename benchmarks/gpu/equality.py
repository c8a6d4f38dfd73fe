"""Stage ``equality``: whether runs that train together get the weights that each gets alone.

Every run is trained in a pack and twice alone, for a few epochs. With kernels that add in one order, packed
and alone shall agree in every bit; with a device's usual kernels two runs alone already differ, and a pack
may differ as much.
"""

import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any, NamedTuple

import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.training.loop import Job, train
from ablate.mtl.training.pack import train_pack
from benchmarks import common
from benchmarks.gpu.recording import Clock, Record
from benchmarks.gpu.workload import (
    PAPER,
    TINY,
    Size,
    configuration,
    deterministic,
    precisions,
    random_data,
)

# The third step of a kind is recorded, and the last of an epoch is a kind of its own: with three steps an
# epoch and four epochs, either kind is taken, recorded and repeated.
EPOCHS, STEPS = 4, 3
COMPARED = 3  # of a pack's runs, for want of time
FIRST_S = 8.0  # what a first case takes beside its steps: libraries load, kernels are chosen
# The kinds of runs of the paper's study, those first that differ most.
CONDITIONS: list[dict[str, Any]] = [
    {"grl.position": "S1"},
    {},
    {"grl.position": "E2"},
    {"labels.shuffle": "event"},
    {"tasks": "scene"},
    {"tasks": "event"},
]


class Case(NamedTuple):
    precision: str
    runs: int
    in_order: bool  # kernels that add in one order

    @property
    def n_trainings(self) -> int:
        """In the pack, and alone."""
        return self.runs + 2 * min(self.runs, COMPARED)

    def __str__(self) -> str:
        return f"{self.runs} runs in {self.precision}{', kernels in one order' if self.in_order else ''}"


def run(record: Record, clock: Clock, device: torch.device, *, tiny: bool) -> None:
    size = (TINY if tiny else PAPER)._replace(steps=STEPS)
    record.note(**size._asdict(), epochs=EPOCHS)
    seconds_a_training = 0.0
    for case in cases(device, (2,) if tiny else (4, 16, 1)):
        if (FIRST_S if seconds_a_training == 0 else case.n_trainings * seconds_a_training) > clock.left_s:
            record.leave_out(str(case))
            continue
        started = time.perf_counter()
        differences = compare(case, size, device)
        took_s = time.perf_counter() - started
        record.add({**case._asdict(), **differences, "took_s": round(took_s, 1)})
        seconds_a_training = took_s / case.n_trainings


def cases(device: torch.device, runs: tuple[int, ...]) -> Iterator[Case]:
    """In the order of their worth."""
    for in_order in (True, False):
        for precision in precisions(device):
            for n_runs in runs:
                yield Case(precision, n_runs, in_order)


def compare(case: Case, size: Size, device: torch.device) -> common.Row:
    """The largest relative difference of a weight: of two runs alone, and of packed and alone."""
    data = random_data(size)
    jobs = [Job(config) for config in configurations(case, size)]
    with deterministic(case.in_order):
        outcomes = dict(train_pack(jobs, data, device=device, width=len(jobs)))
        apart, spread = [], []
        for job in jobs[:COMPARED]:
            outcome = outcomes[job]
            if isinstance(outcome, Exception):
                raise outcome
            one, other = (train(job.config, data, device=device) for _ in range(2))
            apart.append(distance(outcome, one))
            spread.append(distance(other, one))
    return {"compared": len(apart), "two_runs_alone": max(spread), "packed_and_alone": max(apart)}


def configurations(case: Case, size: Size) -> list[RunConfig]:
    base = configuration(size, case.precision, **{"optim.epochs": EPOCHS})
    return [
        base.override({**condition, "seed": seed})
        for seed, condition in enumerate(islice(cycle(CONDITIONS), case.runs))
    ]


@torch.no_grad()
def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
