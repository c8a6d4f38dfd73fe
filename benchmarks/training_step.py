"""How many clips a second a training step takes: plain and fast layers, narrow and full width.

Every core is used both ways: by one process with a thread a core, and by a process a core with one thread
each, which is how `ablate` uses them. All rows are measured in turn, several times, and each row's best is
kept, so that other load on the machine touches all alike. Compare rows of one invocation only.

    python benchmarks/training_step.py --output step.json
"""

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numba
import torch

from ablate.config import RunConfig, override
from ablate.model.mtl import Mtl
from ablate.training.step import Clips, training_step

BATCH_SIZE = {16: 16, 128: 8}  # clips, by the channels of the shared layers
N_SCENES, N_EVENTS, FRAMES, BANDS = 4, 25, 500, 64


def cpu_name() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def random_batch(n_clips: int) -> Clips:
    return Clips(
        torch.randn(n_clips, FRAMES, BANDS),
        torch.randint(N_SCENES, (n_clips,)),
        (torch.rand(n_clips, FRAMES, N_EVENTS) < 0.1).to(torch.uint8),
        torch.ones(n_clips, FRAMES, dtype=torch.uint8),
    )


def clips_per_second(kernels: str, channels: int, threads: int, seconds: float, start: Barrier) -> float:
    """One process's speed, after a warm-up that compiles."""
    torch.set_num_threads(threads)
    config = override(RunConfig(), {"kernels": kernels, "model.width": channels / 128})
    model = Mtl(config, N_SCENES, N_EVENTS)
    optimiser = torch.optim.RAdam(model.parameters(), lr=1e-3, foreach=True)
    batch = random_batch(BATCH_SIZE[channels])
    for _ in range(2):
        training_step(model, optimiser, batch, config)
    start.wait()
    n_clips, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        training_step(model, optimiser, batch, config)
        n_clips += BATCH_SIZE[channels]
    return n_clips / elapsed


def measure(kernels: str, channels: int, processes: int, threads: int, seconds: float) -> float:
    """The sum of the speeds of processes that train at the same time."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        start = manager.Barrier(processes)
        jobs = [(kernels, channels, threads, seconds, start)] * processes
        with context.Pool(processes) as pool:
            speeds = pool.starmap(clips_per_second, jobs, chunksize=1)
    return float(sum(speeds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each row is measured")
    parser.add_argument("--rounds", type=int, default=3, help="how often")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--channels", type=int, nargs="+", choices=BATCH_SIZE, default=list(BATCH_SIZE))
    parser.add_argument("--output", type=Path, help="write the rows as JSON to this file")
    options = parser.parse_args()
    divisions = [(1, options.cores), (options.cores, 1)]
    cells = list(itertools.product(options.channels, ("plain", "fast"), divisions))
    best = dict.fromkeys(cells, 0.0)
    for _ in range(options.rounds):
        for channels, kernels, (processes, threads) in cells:
            speed = measure(kernels, channels, processes, threads, options.seconds)
            best[channels, kernels, (processes, threads)] = max(
                best[channels, kernels, (processes, threads)], speed
            )
    rows: list[dict[str, Any]] = []
    for (channels, kernels, (processes, threads)), speed in best.items():
        ratio = speed / best[channels, "plain", divisions[0]]
        names = {"channels": channels, "kernels": kernels, "processes": processes, "threads": threads}
        rows.append({**names, "clips_per_second": round(speed, 1), "ratio": round(ratio, 2)})
        print(*(f"{name} {value:<6}" for name, value in rows[-1].items()))
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numba": numba.__version__}
    report = {"machine": cpu_name(), "cores": options.cores, "versions": versions, "rows": rows}
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
