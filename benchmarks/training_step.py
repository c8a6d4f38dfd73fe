"""How many clips a second a training step takes: plain and fast layers, narrow and full width.

Every core is used both ways: by one process with a thread a core, and by a process a core with one thread
each, which is how `ablate` uses them. All rows are measured in turn, several times, and each row's best is
kept, so that other load on the machine touches all alike. Compare rows of one invocation only.

The rows named `bound` say how fast the step would be if its floating-point operations ran at the speed of
single-precision matrix products, 1024 x 1024, measured in turn with the rest. Operations are counted as torch
counts them: two for each multiplication of the convolutions, matrix products and their gradients, as the
network defines them. Winograd's convolutions need a quarter to a third of theirs, so the fast layers can be
above the bound; nothing that computes the network as defined can.

    python -m benchmarks.training_step --output step.json
"""

import itertools
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from ablate.mtl.config import RunConfig
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.step import Clips, make_optimiser, training_step
from benchmarks import common

CHANNELS = (16, 128)  # of the shared layers
MATRIX = 1024  # rows and columns
N_SCENES, N_EVENTS, FRAMES, BANDS = 4, 25, 500, 64


def random_batch(n_clips: int) -> Clips:
    return Clips(
        torch.randn(n_clips, FRAMES, BANDS),
        torch.randint(N_SCENES, (n_clips,)),
        (torch.rand(n_clips, FRAMES, N_EVENTS) < 0.1).to(torch.uint8),
        torch.ones(n_clips, FRAMES, dtype=torch.uint8),
    )


class Row(NamedTuple):
    """What one row measures."""

    layers: str  # plain, fast or bound
    channels: int
    processes: int
    threads: int  # of each process


def step_of(row: Row, batch_size: int) -> Callable[[], object]:
    """The training step of the row."""
    config = RunConfig().override({"kernels": row.layers, "model.width": row.channels / 128})
    model = Mtl(config, N_SCENES, N_EVENTS)
    optimiser = make_optimiser(model, config, torch.device("cpu"))
    batch = random_batch(batch_size)
    return lambda: training_step(model, optimiser, batch, config)


def operations(channels: int) -> int:
    """The floating-point operations of a step, for each clip."""
    with FlopCounterMode(display=False) as counter:
        step_of(Row("plain", channels, 1, 1), 2)()
    return int(counter.get_total_flops()) // 2


def speed(row: Row, batch_size: int, seconds: float, start: Barrier) -> float:
    """One process's clips a second, after a warm-up that compiles."""
    torch.set_num_threads(row.threads)
    if row.layers == "bound":
        a, b, result = (torch.ones(MATRIX, MATRIX) for _ in range(3))
        step: Callable[[], object] = lambda: torch.mm(a, b, out=result)  # noqa: E731
        clips = 2 * MATRIX**3 / operations(row.channels)
    else:
        step, clips = step_of(row, batch_size), batch_size
    for _ in range(2):
        step()
    start.wait()
    n_steps, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        step()
        n_steps += 1
    return n_steps * clips / elapsed


def measure(row: Row, batch_size: int, seconds: float) -> float:
    """The sum of the speeds of processes that train at the same time."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        start = manager.Barrier(row.processes)
        jobs = [(row, batch_size, seconds, start)] * row.processes
        with context.Pool(row.processes) as pool:
            speeds = pool.starmap(speed, jobs, chunksize=1)
    return float(sum(speeds))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each row is measured")
    parser.add_argument("--rounds", type=int, default=3, help="how often")
    parser.add_argument("--channels", type=int, nargs="+", choices=CHANNELS, default=list(CHANNELS))
    parser.add_argument("--batch-size", type=int, default=16, help="clips a step")
    options = parser.parse_args()
    where = common.context("torch", "numba")
    divisions = [(1, common.cores()), (common.cores(), 1)]
    rows = [
        Row(layers, channels, *division)
        for channels, layers, division in itertools.product(
            options.channels, ("plain", "fast", "bound"), divisions
        )
    ]
    best = dict.fromkeys(rows, 0.0)
    for _ in range(options.rounds):
        for row in rows:
            best[row] = max(best[row], measure(row, options.batch_size, options.seconds))
    measured: list[common.Row] = []
    for row, clips in best.items():
        ratio = clips / best[Row("plain", row.channels, *divisions[0])]
        measured.append({**row._asdict(), "clips_per_second": round(clips, 1), "ratio": round(ratio, 2)})
        common.show(measured[-1])
    counted = {channels: operations(channels) for channels in options.channels}
    where |= {"batch_size": options.batch_size, "operations_a_clip": counted}
    common.write(options.output, where, measured)


if __name__ == "__main__":
    main()
