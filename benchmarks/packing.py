"""How many training steps a second one GPU takes: runs packed, one run at a time, and a process for each run.

    python -m benchmarks.packing --output benchmarks/results/packing.json

measures the paper's network (batches of 32 clips of 500 frames, random data) and prints, for each number of
runs, the steps per second of all runs together beside

- ``eager``: a plain PyTorch loop, one run at a time,
- ``processes``: that loop in as many processes at the same time,
- the floor: the step's multiplications at the speed at which this device multiplies large matrices.

It also compares packed training with training alone, and says which kernels take the time. Compare rows of
one invocation only. ``--device cpu --tiny`` shows that it works, where there is no GPU.
"""

import json
import math
import multiprocessing
import queue
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ablate.config import RunConfig, override
from ablate.data.prepared import Prepared, Split
from ablate.model.mtl import Mtl
from ablate.training.graphs import ways_of
from ablate.training.loop import Job, train, upload
from ablate.training.pack import Pack, train_pack
from ablate.training.precision import arithmetic
from ablate.training.step import Clips, tensor_of, training_step
from benchmarks import common

N_SCENES, N_EVENTS, BANDS = 4, 25, 64
STEPS_PER_EPOCH = 10
EQUALITY_EPOCHS = 2
NO_END = 10**6  # epochs
PATIENCE_S = 300.0  # until many processes have imported torch

# Parts of a kernel's name -> what it does; the first that matches.
KINDS = {
    "GRU": r"rnn|gru|lstm",
    "convolution": r"conv|implicit|fprop|wgrad|dgrad|winograd|xmma|cudnn.*(gemm|engine)",
    "matrix product": r"gemm|cutlass|addmm|matmul",
    "batch norm": r"batch_?norm|bn_(fw|bw)",
    "pooling": r"max_?pool",
    "optimiser": r"multi_tensor|foreach",
    "gathering the batch": r"index|gather",
    "copying": r"memcpy|memset|copy",
    "elementwise": r"elementwise|relu|sigmoid|where|reduce|softmax|fill",
}


class Size(NamedTuple):
    """What is trained."""

    width: float
    batch_size: int
    frames: int
    runs: tuple[int, ...]
    matrix: int  # the side of the matrices that are multiplied for the floor


PAPER = Size(width=1.0, batch_size=32, frames=500, runs=(1, 2, 4, 8, 16, 32), matrix=8192)
TINY = Size(width=1 / 32, batch_size=4, frames=25, runs=(1, 2), matrix=256)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a small network and little data")
    parser.add_argument("--runs", type=int, nargs="+", help="how many at once")
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each row is measured")
    parser.add_argument("--no-processes", action="store_true", help="leave out the rows of processes")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here; --device cpu --tiny shows that this works.", file=sys.stderr)
        raise SystemExit(2)
    if device.type == "cpu":
        torch.set_num_threads(1)  # as a worker does
    size = TINY if options.tiny else PAPER
    size = size._replace(runs=tuple(options.runs or size.runs))
    config = configuration(size, options.precision)
    report = common.context("torch") | describe(device) | {"precision": config.precision, **size._asdict()}
    report |= floor(config, size, device)
    rows: list[common.Row] = []
    for row in measure(config, size, device, options.seconds, with_processes=not options.no_processes):
        row["ratio_to_eager"] = round(row["steps_per_second"] / (rows or [row])[0]["steps_per_second"], 2)
        row["of_floor"] = round(row["steps_per_second"] / report["floor_steps_per_second"], 3)
        rows.append(row)
        common.show(row)
    report["equality"] = equality(config, size, device)
    print("packed against alone:", report["equality"], flush=True)
    report["profile"] = where_time_goes(config, size, device, max(size.runs))
    print("where the time goes:", json.dumps(report["profile"], indent=1))
    common.write(options.output, report, rows)


def describe(device: torch.device) -> common.Row:
    if device.type != "cuda":
        return {"device": "cpu"}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def configuration(size: Size, precision: str) -> RunConfig:
    values = {
        "kernels": "plain",
        "precision": precision,
        "model.width": size.width,
        "optim.batch_size": size.batch_size,
        "optim.epochs": NO_END,
    }
    return override(RunConfig(), values)


def random_data(size: Size) -> Prepared:
    random = np.random.default_rng(0)
    n_clips = STEPS_PER_EPOCH * size.batch_size
    split = Split(
        features=random.standard_normal((n_clips, size.frames, BANDS), dtype=np.float32),
        events=(random.random((n_clips, size.frames, N_EVENTS)) < 0.1).astype(np.uint8),
        scenes=random.integers(0, N_SCENES, n_clips),
        mask=np.ones((n_clips, size.frames), dtype=np.uint8),
        recordings=np.arange(n_clips, dtype=np.int32),
        recording_names=(),
    )
    scenes = tuple(f"scene {k}" for k in range(N_SCENES))
    events = tuple(f"event {k}" for k in range(N_EVENTS))
    return Prepared(Path("random"), "random", "random", scenes, events, split, split)


# --- speeds ------------------------------------------------------------------------------------------------


def measure(
    config: RunConfig, size: Size, device: torch.device, seconds: float, *, with_processes: bool
) -> Iterable[dict[str, Any]]:
    """Rows; the first is the plain loop."""
    yield {"how": "eager", "runs": 1, "steps_per_second": round(eager(config, size, device, seconds), 2)}
    for n_runs in size.runs:
        yield {"how": "packed", "runs": n_runs, **packed(config, size, device, n_runs, seconds)}
        if with_processes:
            speed = processes(config, size, device, n_runs, seconds)
            yield {"how": "processes", "runs": n_runs, "steps_per_second": round(speed, 2)}


def eager(
    config: RunConfig, size: Size, device: torch.device, seconds: float, start: Barrier | None = None
) -> float:
    """Steps per second of the loop that anybody would write, on data that are on the device."""
    model = Mtl(config, N_SCENES, N_EVENTS).to(device).train()
    optimiser = torch.optim.RAdam(model.parameters(), lr=config.optim.lr, foreach=True)
    split = random_data(size).development
    arrays = (split.features, split.scenes, split.events, split.mask)
    clips = Clips(*(tensor_of(array, device) for array in arrays))
    batches = torch.randperm(len(split), device=device).split(size.batch_size)

    def epoch() -> None:
        for batch in batches:
            training_step(model, optimiser, clips.at(batch), config)
        wait(device)

    epoch()
    if start:
        start.wait()
    return len(batches) * per_second(epoch, seconds)


def packed(
    config: RunConfig, size: Size, device: torch.device, n_runs: int, seconds: float
) -> dict[str, Any]:
    """Steps per second of all runs of a pack together, and how they were taken."""
    pack = make_pack(config, size, device, n_runs)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    speed = per_second(pack.train_epoch, seconds) * STEPS_PER_EPOCH * len(pack.members)
    memory = torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else None
    return {
        "steps_per_second": round(speed, 2),
        "way": pack.way.name,
        "at_once": pack.at_once or n_runs,
        "memory_gib": memory and round(memory, 2),
    }


def make_pack(config: RunConfig, size: Size, device: torch.device, n_runs: int) -> Pack:
    """Runs whose steps are recorded already."""
    data = random_data(size)
    pack = Pack(data, upload(data, device), ways_of(device))
    for seed in range(n_runs):
        pack.admit(Job(override(config, {"seed": seed})))
    pack.train_epoch()
    return pack


def processes(config: RunConfig, size: Size, device: torch.device, n_runs: int, seconds: float) -> float:
    """Steps per second of the plain loop in so many processes together; 0 when they do not fit."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(n_runs)
    results: multiprocessing.Queue[float] = context.Queue()
    workers = [
        context.Process(target=_process, args=(config, size, device, seconds, start, results))
        for _ in range(n_runs)
    ]
    for worker in workers:
        worker.start()
    try:
        speeds = [results.get(timeout=PATIENCE_S + seconds) for _ in workers]
    except queue.Empty:  # one was killed, and the others wait for it
        speeds = [math.nan]
    for worker in workers:
        worker.kill()
        worker.join()
    return 0.0 if any(math.isnan(speed) for speed in speeds) else sum(speeds)


def _process(
    config: RunConfig,
    size: Size,
    device: torch.device,
    seconds: float,
    start: Barrier,
    results: "multiprocessing.Queue[float]",
) -> None:
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        results.put(eager(config, size, device, seconds, start))
    except Exception as error:  # one that does not fit must not leave the others waiting
        print(f"a process failed: {error}", file=sys.stderr)
        start.abort()
        results.put(math.nan)


def per_second(work: Any, seconds: float) -> float:
    """How often a second ``work`` can be done, which waits for the device itself."""
    n, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        work()
        n += 1
    return n / elapsed


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --- the floor ---------------------------------------------------------------------------------------------


def floor(config: RunConfig, size: Size, device: torch.device) -> dict[str, Any]:
    """What the multiplications of a step would take at the speed of large matrix products."""
    flops = flops_per_step(config, size)
    rate = matrix_flops_per_second(config, size, device)
    return {
        "gflops_per_step": round(flops / 1e9, 2),
        "matrix_tflops_per_second": round(rate / 1e12, 3),
        "floor_steps_per_second": rate / flops,
    }


def flops_per_step(config: RunConfig, size: Size) -> float:
    """Of convolutions and matrix products, forward and backward; counted for one clip, on a CPU."""
    config = override(config, {"precision": "float32"})
    model = Mtl(config, N_SCENES, N_EVENTS).train()
    optimiser = torch.optim.RAdam(model.parameters(), lr=config.optim.lr)
    clip = Clips(
        torch.randn(1, size.frames, BANDS),
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, size.frames, N_EVENTS, dtype=torch.uint8),
        torch.ones(1, size.frames, dtype=torch.uint8),
    )
    with FlopCounterMode(display=False) as counter:
        training_step(model, optimiser, clip, config)
    return float(counter.get_total_flops()) * size.batch_size


def matrix_flops_per_second(config: RunConfig, size: Size, device: torch.device) -> float:
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    a, b = (torch.randn(size.matrix, size.matrix, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(10):
            a @ b
        wait(device)

    with arithmetic(config.precision, device):
        multiply()
        return per_second(multiply, 1.0) * 10 * 2 * size.matrix**3


# --- equality and the profile ------------------------------------------------------------------------------


def equality(config: RunConfig, size: Size, device: torch.device) -> dict[str, Any]:
    """The largest relative difference of a weight: of two runs alone, and of packed and alone."""
    data = random_data(size)
    config = override(config, {"optim.epochs": EQUALITY_EPOCHS})
    configs = [override(config, {"seed": seed}) for seed in range(min(4, max(size.runs)))]
    jobs = [Job(config) for config in configs]
    outcomes = dict(train_pack(jobs, data, device=device, width=len(jobs)))
    apart, spread = [], []
    for job in jobs:
        outcome = outcomes[job]
        if isinstance(outcome, Exception):
            raise outcome
        one, other = (train(job.config, data, device=device) for _ in range(2))
        apart.append(distance(outcome, one))
        spread.append(distance(other, one))
    steps = EQUALITY_EPOCHS * STEPS_PER_EPOCH
    return {"steps": steps, "two_runs_alone": max(spread), "packed_and_alone": max(apart)}


@torch.no_grad()
def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def where_time_goes(config: RunConfig, size: Size, device: torch.device, n_runs: int) -> dict[str, Any]:
    """One epoch's shares of the device's time by kind of kernel, and how much of it was side by side."""
    pack = make_pack(config, size, device, n_runs)
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        started = time.perf_counter()
        pack.train_epoch()
        seconds = time.perf_counter() - started
    kinds: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for event in profiler.key_averages():
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        kinds[kind_of(event.key)] += microseconds
        names[event.key[:100]] += microseconds
    total = sum(kinds.values()) or 1
    return {
        "runs": n_runs,
        "kernel_seconds_per_second": round(total / 1e6 / seconds, 2),  # above 1: kernels side by side
        "shares": {kind: round(part / total, 3) for kind, part in kinds.most_common()},
        "longest": {name: round(part / total, 3) for name, part in names.most_common(15)},
    }


def kind_of(kernel: str) -> str:
    return next(
        (kind for kind, pattern in KINDS.items() if re.search(pattern, kernel, re.IGNORECASE)), "other"
    )


if __name__ == "__main__":
    main()
