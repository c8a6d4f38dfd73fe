"""Stage ``packing``: how many training steps a second one device takes, of 1, 2, 4, ... runs at once.

Beside the runs of a pack stand

- ``eager``: a plain PyTorch loop, one run at a time;
- ``processes``: that loop in as many processes at the same time;
- ``mps``: these processes through CUDA MPS, where that is there;
- the floor: what the step's operations must take at the speed of large matrix products, or of large copies
  for what they read and write, whichever is longer.

Compare rows of one invocation only.
"""

import math
import multiprocessing
import os
import queue
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ablate.launch import mps
from ablate.launch.cards import read_cards
from ablate.mtl.config import RunConfig
from ablate.mtl.model.mtl import Mtl
from ablate.mtl.training.graphs import ways_of
from ablate.mtl.training.loop import Job, upload
from ablate.mtl.training.pack import Pack
from ablate.mtl.training.precision import arithmetic
from ablate.mtl.training.radam import RAdam
from ablate.mtl.training.step import Clips, tensor_of, training_step
from benchmarks import common
from benchmarks.gpu.recording import Clock, Record
from benchmarks.gpu.workload import (
    N_EVENTS,
    N_SCENES,
    PAPER,
    QUICK,
    TINY,
    Size,
    configuration,
    per_second,
    precisions,
    random_data,
    wait,
)

FIRST_RUNS, OTHER_RUNS = (1, 8, 32), (2, 4, 16)
SECONDS = 1.0  # how long a row is measured
FLOOR_S = 3.0  # what the first row of a size and precision takes longer
STARTING_S = 20.0  # until many processes have imported torch and found the device
PATIENCE_S = 100.0
IN_PROCESSES = ("processes", "mps")
MATRIX = 8192  # the side of the matrices that are multiplied for the floor
COPIED_BYTES = 2**31

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


class Case(NamedTuple):
    """One row to measure."""

    size: str
    precision: str
    how: str  # eager, packed, processes, mps, profile
    runs: int

    def __str__(self) -> str:
        return f"{self.size} size, {self.precision}: {self.how}, {self.runs} at once"


def run(record: Record, clock: Clock, device: torch.device, *, tiny: bool) -> None:
    bench = Bench(device, tiny=tiny)
    if tiny:
        record.note(seconds_a_row=bench.seconds, floors={}, sizes={"tiny": TINY._asdict()})
    else:
        sizes = {name: size._asdict() for name, size in SIZES.items()}
        record.note(seconds_a_row=bench.seconds, floors={}, sizes=sizes)
    for case in tiny_cases(device) if tiny else cases(device):
        reason = bench.obstacle(case, clock)
        if reason:
            record.leave_out(f"{case} ({reason})")
            continue
        started = time.perf_counter()
        measured = bench.measure(case)
        record.note(floors=bench.floors)
        record.add({**case._asdict(), **measured, "took_s": round(time.perf_counter() - started, 1)})


SIZES = {"paper": PAPER, "quick": QUICK}


def cases(device: torch.device) -> Iterator[Case]:
    """In the order of their worth."""
    others = [precision for precision in precisions(device) if precision != "float32"]
    for size in SIZES:
        yield Case(size, "float32", "eager", 1)
        for n_runs in FIRST_RUNS:
            yield Case(size, "float32", "packed", n_runs)
    for precision in others:
        yield Case("paper", precision, "eager", 1)
        for n_runs in FIRST_RUNS[:-1]:
            yield Case("paper", precision, "packed", n_runs)
    yield Case("paper", "float32", "profile", 1)
    yield Case("quick", "float32", "processes", 8)
    yield Case("quick", "float32", "mps", 8)
    for precision in others:
        yield Case("paper", precision, "profile", 1)
    for size in SIZES:
        for n_runs in OTHER_RUNS:
            yield Case(size, "float32", "packed", n_runs)
    yield Case("paper", "float32", "processes", 8)
    yield Case("paper", "float32", "mps", 8)
    yield Case("quick", "float32", "profile", 8)
    for precision in others:
        yield Case("paper", precision, "packed", FIRST_RUNS[-1])


def tiny_cases(device: torch.device) -> list[Case]:
    """Every kind of row, for a rehearsal."""
    hows = [("eager", 1), ("packed", 1), ("packed", 2), ("processes", 2), ("profile", 2)]
    return [Case("tiny", precisions(device)[0], how, n_runs) for how, n_runs in hows]


class Bench:
    """Measures cases, and knows from those before what the next one takes."""

    def __init__(self, device: torch.device, *, tiny: bool) -> None:
        self.seconds = 0.2 if tiny else SECONDS
        self.floors: dict[str, common.Row] = {}
        self._device = device
        self._tiny = tiny
        self._speeds: dict[tuple[str, str], float] = {}
        self._memory_gib: dict[tuple[str, str], float] = {}  # of one run of a pack

    def obstacle(self, case: Case, clock: Clock) -> str | None:
        """Why the case cannot be measured, if it cannot."""
        size, key = self._size(case), (case.size, case.precision)
        speed = self._speeds.get(key, 50.0)
        # Two epochs before what is timed, and the epoch at hand when its time is over.
        expected_s = 3 * case.runs * size.steps / speed + self.seconds
        if f"{case.size} {case.precision}" not in self.floors and not self._tiny:
            expected_s += FLOOR_S
        if case.how in IN_PROCESSES and not self._tiny:
            expected_s += STARTING_S
        if expected_s > clock.left_s:
            return "time"
        needed_gib = case.runs * self._memory_gib.get(key, 0.0)
        if self._device.type == "cuda" and needed_gib > torch.cuda.mem_get_info(self._device)[1] / 2**30:
            return f"it would need {needed_gib:.0f} GiB"
        if case.how == "mps":
            return mps.obstacle(read_cards([str(self._device)]).values())
        return None

    def measure(self, case: Case) -> common.Row:
        size = self._size(case)
        config = configuration(size, case.precision)
        key = (case.size, case.precision)
        name = f"{case.size} {case.precision}"
        if name not in self.floors:
            self.floors[name] = floor(config, size, self._device, MATRIX if not self._tiny else 256)
        if case.how == "profile":
            return where_time_goes(config, size, self._device, case.runs)
        if case.how == "packed":
            row = packed(config, size, self._device, case.runs, self.seconds)
            self._memory_gib[key] = (row["memory_gib"] or 0.0) / case.runs
        elif case.how == "processes":
            row = {"steps_per_second": processes(config, size, self._device, case.runs, self.seconds)}
        elif case.how == "mps":
            row = through_mps(config, size, self._device, case.runs, self.seconds)
        else:
            row = {"steps_per_second": eager(config, size, self._device, self.seconds)}
        speed = row["steps_per_second"]
        row["of_floor"] = round(speed / self.floors[name]["steps_per_second"], 3)
        row["steps_per_second"] = round(speed, 2)
        if case.how not in IN_PROCESSES:
            self._speeds[key] = max(speed, self._speeds.get(key, 0.0))
        return row

    def _size(self, case: Case) -> Size:
        return TINY if self._tiny else SIZES[case.size]


# --- speeds ------------------------------------------------------------------------------------------------


def eager(
    config: RunConfig, size: Size, device: torch.device, seconds: float, start: Barrier | None = None
) -> float:
    """Steps per second of the loop that anybody would write, on data that are on the device."""
    model = Mtl(config, N_SCENES, N_EVENTS).to(device).train()
    optimiser = RAdam(model.parameters(), config.optim.lr, capturable=False)
    clips = clips_of(size, device)
    batches = torch.randperm(size.n_clips, device=device).split(size.batch_size)

    def epoch() -> None:
        for batch in batches:
            training_step(model, optimiser, clips.at(batch), config)
        wait(device)

    epoch()
    if start:
        start.wait()
    return len(batches) * per_second(epoch, seconds)


def clips_of(size: Size, device: torch.device) -> Clips:
    split = random_data(size).development
    arrays = (split.features, split.scenes, split.events, split.mask)
    return Clips(*(tensor_of(array, device) for array in arrays))


def packed(
    config: RunConfig, size: Size, device: torch.device, n_runs: int, seconds: float
) -> dict[str, Any]:
    """Steps per second of all runs of a pack together, and how they were taken."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    pack = make_pack(config, size, device, n_runs)
    speed = per_second(pack.train_epoch, seconds) * size.steps * len(pack.members)
    memory = torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else None
    return {
        "steps_per_second": speed,
        "way": pack.way.name,
        "at_once": pack.at_once or n_runs,
        "memory_gib": memory and round(memory, 2),
    }


def make_pack(config: RunConfig, size: Size, device: torch.device, n_runs: int) -> Pack:
    """Runs whose steps are recorded already."""
    data = random_data(size)
    pack = Pack(data, upload(data, device), ways_of(device))
    for seed in range(n_runs):
        pack.admit(Job(config.override({"seed": seed})))
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


def through_mps(
    config: RunConfig, size: Size, device: torch.device, n_runs: int, seconds: float
) -> dict[str, Any]:
    """The same, where the processes find a daemon of MPS; why not, where it does not start."""
    try:
        service = mps.Service()
    except mps.MpsError as error:
        return {"steps_per_second": 0.0, "fault": str(error)}
    before = dict(os.environ)
    os.environ.update(service.environment)  # which the processes inherit
    try:
        return {"steps_per_second": processes(config, size, device, n_runs, seconds)}
    finally:
        os.environ.clear()
        os.environ.update(before)
        service.end()


def _process(
    config: RunConfig,
    size: Size,
    device: torch.device,
    seconds: float,
    start: Barrier,
    results: "multiprocessing.Queue[float]",
) -> None:
    torch.set_num_threads(1)
    try:
        results.put(eager(config, size, device, seconds, start))
    except Exception as error:  # one that does not fit must not leave the others waiting
        print(f"a process failed: {error}", file=sys.stderr)
        start.abort()
        results.put(math.nan)


# --- the floor ---------------------------------------------------------------------------------------------


def floor(config: RunConfig, size: Size, device: torch.device, matrix: int) -> common.Row:
    """The steps per second that the device's arithmetic and its memory allow, the lower of the two.

    A step's bytes are those that its operations, one after the other, must read and write.
    """
    flops, traffic = flops_per_step(config, size), bytes_per_step(config, size, device)
    flops_per_second = matrix_flops_per_second(config, device, matrix)
    bytes_per_second = copied_bytes_per_second(device, COPIED_BYTES if device.type == "cuda" else 2**24)
    limits = {"arithmetic": flops_per_second / flops, "memory": bytes_per_second / traffic}
    return {
        "gflops_per_step": round(flops / 1e9, 2),
        "gbytes_per_step": round(traffic / 1e9, 3),
        "matrix_tflops_per_second": round(flops_per_second / 1e12, 3),
        "copied_gbytes_per_second": round(bytes_per_second / 1e9, 1),
        "steps_per_second": min(limits.values()),
        "limit": min(limits, key=limits.__getitem__),
    }


def flops_per_step(config: RunConfig, size: Size) -> float:
    """Of convolutions and matrix products, forward and backward; counted for one clip, on a CPU."""
    config = config.override({"precision": "float32"})
    with FlopCounterMode(display=False) as counter:
        one_step(config, size._replace(batch_size=1, steps=1), torch.device("cpu"))
    return float(counter.get_total_flops()) * size.batch_size


def bytes_per_step(config: RunConfig, size: Size, device: torch.device) -> float:
    with _Traffic() as traffic:
        one_step(config, size._replace(steps=1), device)
    return float(traffic.n_bytes)


def one_step(config: RunConfig, size: Size, device: torch.device) -> None:
    model = Mtl(config, N_SCENES, N_EVENTS).to(device).train()
    optimiser = RAdam(model.parameters(), config.optim.lr, capturable=False)
    training_step(model, optimiser, clips_of(size, device), config)


class _Traffic(TorchDispatchMode):
    """Adds up the sizes of what every operation reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func.name():
            tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)]
            self.n_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def matrix_flops_per_second(config: RunConfig, device: torch.device, side: int) -> float:
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(4):
            a @ b
        wait(device)

    with arithmetic(config.precision, device):
        multiply()
        return per_second(multiply, 0.3) * 4 * 2 * side**3


def copied_bytes_per_second(device: torch.device, n_bytes: int) -> float:
    """Read and written."""
    source = torch.empty(n_bytes, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(4):
            target.copy_(source)
        wait(device)

    copy()
    return per_second(copy, 0.2) * 4 * 2 * n_bytes


# --- the profile -------------------------------------------------------------------------------------------


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
        "kernel_seconds_per_second": round(total / 1e6 / seconds, 2),  # above 1: kernels side by side
        "milliseconds_a_step": round(total / 1e3 / (n_runs * size.steps), 3),
        "shares": {kind: round(part / total, 3) for kind, part in kinds.most_common()},
        "longest": {name: round(part / total, 3) for name, part in names.most_common(15)},
    }


def kind_of(kernel: str) -> str:
    return next(
        (kind for kind, pattern in KINDS.items() if re.search(pattern, kernel, re.IGNORECASE)), "other"
    )
