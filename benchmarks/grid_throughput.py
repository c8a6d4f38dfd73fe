"""Clips per second of whole grids by the number of workers, beside a plain loop; and how busy the cores are.

A grid is trained with ``ablate grid`` on the embedded data in the quick profile: 15 conditions, with one
seed by each number of workers, and with three seeds (45 runs) by all. ``clips_per_second`` counts the
development clips of all epochs, from the beginning of the first run to the end of the last; ``busy`` is the
CPU time of the workers in that time, as a share of their cores, and ``busy_all`` that of the controller too,
which ships to MLflow, as a share of all cores. The plain loop trains a run in one process with a thread a
core, with torch's own layers and with ours.

    python -m benchmarks.grid_throughput --output benchmarks/results/grid_throughput.json
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ablate.config import override, profile
from ablate.data.datasets import provide
from ablate.data.prepared import Prepared
from ablate.store import Store
from ablate.training.loop import train
from benchmarks.common import ROOT, Row, context, cores, parser, show, write

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_EVERY_S = 0.2
FACTORS = "grl_pos,shuffle"  # 15 conditions


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


def train_grid(data: Prepared, workers: int, seeds: int, epochs: int) -> Row:
    """One grid in a fresh store."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "ablate.cli.app", "grid", "throughput", "--factors", FACTORS]
        command += ["--seeds", str(seeds), "--data", str(data.path), "--workers", str(workers)]
        command += ["--store", name, "--device", "cpu", "--set", f"optim.epochs={epochs}"]
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
        return {"what": "ablate grid", "workers": workers, **measured, "wall_s": round(wall_s, 1)}


def summary(store: Store, clock: CpuClock, data: Prepared, workers: int) -> Row:
    """What the run folders and the clock tell of the time from the first training step to the last."""
    folders = store.finished_runs()
    states = [folder.status() for folder in folders]
    start = min(status.started_at or 0.0 for status in states)
    end = max(status.ended_at or 0.0 for status in states)
    own_s, workers_s = clock.between(start, end)
    n_clips = sum(folder.run().config.optim.epochs for folder in folders) * len(data.development)
    return {
        "runs": len(folders),
        "clips_per_second": round(n_clips / (end - start), 1),
        "busy": round(workers_s / (end - start) / min(workers, cores()), 3),
        "busy_all": round((own_s + workers_s) / (end - start) / cores(), 3),
    }


def train_loop(data: Prepared, kernels: str, epochs: int) -> Row:
    """A run in this process, on all cores."""
    torch.set_num_threads(cores())
    config = override(profile("quick"), {"kernels": kernels, "optim.epochs": epochs})
    started = time.perf_counter()
    train(config, data, device=torch.device("cpu"))
    speed = epochs * len(data.development) / (time.perf_counter() - started)
    return {"what": f"plain loop, {kernels} layers", "runs": 1, "clips_per_second": round(speed, 1)}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3, help="of the grid with all workers")
    options.add_argument("--epochs", type=int, default=profile("quick").optim.epochs, help="of each run")
    chosen = options.parse_args()
    where = context("torch", "numba")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        data = provide(None, Path(name), print)
        for kernels in ("plain", "fast"):
            rows.append(train_loop(data, kernels, chosen.epochs))
            show(rows[-1])
        n = cores()
        for workers in [*(2**k for k in range(n.bit_length()) if 2**k < n), n]:
            rows.append(train_grid(data, workers, 1, chosen.epochs))
            show(rows[-1])
        rows.append(train_grid(data, n, chosen.seeds, chosen.epochs))
        show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
