"""Clips per second of whole grids by the number of workers, beside a plain loop; and how busy the cores are.

A grid is trained with ``ablate grid`` on the embedded data: in the quick profile, 15 conditions with one seed
by each number of workers, and with three seeds (45 runs) by all; then, by all, in batches of 16, narrow and
at full width. ``clips_per_second`` counts the development clips of all epochs, from the beginning of the
first run to the end of the last, so evaluation and records are paid for; ``busy`` is the CPU time of the
workers in that time, as a share of their cores, and ``busy_all`` that of the controller too, which ships to
MLflow, as a share of all cores. The plain loop trains the same network in one process with a thread a core,
with torch's own layers and with ours. ``ratio`` is to its speed with torch's own layers.

    python -m benchmarks.grid_throughput --output benchmarks/results/grid_throughput.json
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ablate.mtl.data.datasets import provide
from ablate.mtl.data.prepared import Prepared, open_prepared
from ablate.mtl.definition import subject
from ablate.mtl.training.loop import train
from ablate.record.store import Store
from benchmarks.common import ROOT, Row, context, cores, parser, show, write

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_EVERY_S = 0.2


@dataclass(frozen=True)
class Setting:
    """What is trained: how the profile is changed, for how many epochs, and the grid's words."""

    label: str
    changes: dict[str, float]
    epochs: int
    loop_epochs: int  # of the plain loop, which is slower
    grid: tuple[str, ...]

    def with_seeds(self, seeds: int) -> "Setting":
        return replace(self, grid=(*self.grid, "--seeds", str(seeds)))


QUICK = Setting(
    "quick", {}, subject.profile("quick").get("optim.epochs"), 20, ("--factors", "grl_pos,shuffle")
)  # 15 runs
BATCHES_OF_16 = [
    Setting("16/32 channels, batch 16", {"optim.batch_size": 16}, 40, 20, ("--factors", "grl_pos,shuffle")),
    Setting(
        "128/256 channels, batch 16",
        {"optim.batch_size": 16, "model.width": 1},
        8,
        4,
        ("--levels", "lambda=0,0.1,1,10", "--levels", "grl_pos=S1,E1"),
    ),
]


@dataclass
class CpuClock:
    """The CPU time of a process and of its children, sampled while it runs: (time, own, children's)."""

    pid: int
    samples: list[tuple[float, float, float]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        known: dict[int, float] = {}
        while not self.ended.wait(SAMPLE_EVERY_S):
            known.update(
                {pid: seconds for pid in _children(self.pid) if (seconds := _cpu_s(pid)) is not None}
            )
            own = _cpu_s(self.pid)
            if own is not None:
                self.samples.append((time.time(), own, sum(known.values())))

    def between(self, start: float, end: float) -> tuple[float, float]:
        """What the process and what its children have used from ``start`` to ``end``."""
        first = min(self.samples, key=lambda sample: abs(sample[0] - start))
        last = min(self.samples, key=lambda sample: abs(sample[0] - end))
        return last[1] - first[1], last[2] - first[2]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    try:
        return [int(word) for task in tasks.iterdir() for word in (task / "children").read_text().split()]
    except OSError:
        return []


def _cpu_s(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def train_grid(data: Prepared, setting: Setting, workers: int) -> Row:
    """One grid in a fresh store."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "ablate.cli.app", "grid", "throughput", *setting.grid]
        command += ["--data", str(data.path), "--workers", str(workers), "--store", name, "--device", "cpu"]
        for changed, value in {**setting.changes, "optim.epochs": setting.epochs}.items():
            command += ["--set", f"{changed}={value}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        clock = CpuClock(process.pid)
        watcher = threading.Thread(target=clock.watch)
        watcher.start()
        code = process.wait()
        wall_s = time.perf_counter() - started
        clock.ended.set()
        watcher.join()
        if code != 0:
            raise RuntimeError(f"the grid ended with exit code {code}")
        measured = summary(Store(Path(name)), clock, data, workers)
        return {
            "setting": setting.label,
            "what": "ablate grid",
            "workers": workers,
            **measured,
            "wall_s": round(wall_s, 1),
        }


def summary(store: Store, clock: CpuClock, data: Prepared, workers: int) -> Row:
    """What the run folders and the clock tell of the time from the first training step to the last."""
    folders = store.finished_runs()
    states = [folder.status() for folder in folders]
    start = min(status.started_at or 0.0 for status in states)
    end = max(status.ended_at or 0.0 for status in states)
    own_s, workers_s = clock.between(start, end)
    n_clips = sum(folder.run().config.get("optim.epochs") for folder in folders) * len(data.development)
    return {
        "runs": len(folders),
        "clips_per_second": round(n_clips / (end - start), 1),
        "busy": round(workers_s / (end - start) / min(workers, cores()), 3),
        "busy_all": round((own_s + workers_s) / (end - start) / cores(), 3),
    }


def train_loop(data: Prepared, setting: Setting, kernels: str) -> Row:
    """A run on all cores, in a process of its own: our layers leave it with settings that plain ones lack."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        speed = pool.apply(loop_speed, (data.path, setting, kernels))
    return {
        "setting": setting.label,
        "what": f"plain loop, {kernels} layers",
        "runs": 1,
        "clips_per_second": round(speed, 1),
    }


def loop_speed(folder: Path, setting: Setting, kernels: str) -> float:
    """Clips a second in this process, once it has trained an epoch."""
    torch.set_num_threads(cores())
    data, epochs = open_prepared(folder), setting.loop_epochs
    config = subject.profile("quick").override({**setting.changes, "kernels": kernels})
    device = torch.device("cpu")
    train(config.override({"optim.epochs": 1}), data, device=device)  # compiles our layers on a new machine
    started = time.perf_counter()
    train(config.override({"optim.epochs": epochs}), data, device=device)
    return epochs * len(data.development) / (time.perf_counter() - started)


def measurements(data: Prepared, seeds: int) -> Iterator[Row]:
    n = cores()
    yield train_loop(data, QUICK, "plain")
    yield train_loop(data, QUICK, "fast")
    for workers in [*(2**k for k in range(n.bit_length()) if 2**k < n), n]:
        yield train_grid(data, QUICK.with_seeds(1), workers)
    yield train_grid(data, QUICK.with_seeds(seeds), n)
    for setting in BATCHES_OF_16:
        yield train_loop(data, setting, "plain")
        yield train_loop(data, setting, "fast")
        yield train_grid(data, setting.with_seeds(1), n)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3, help="of the quick grid with all workers")
    chosen = options.parse_args()
    where = context("torch", "numba")
    rows: list[Row] = []
    plain: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        data = provide(None, Path(name), print)
        for row in measurements(data, chosen.seeds):
            plain.setdefault(row["setting"], row["clips_per_second"])  # measured first
            rows.append({**row, "ratio": round(row["clips_per_second"] / plain[row["setting"]], 2)})
            show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
