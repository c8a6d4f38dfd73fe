"""What the stages train: the network of Table 1 at two sizes, on random clips, and how they time it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ablate.mtl.config import RunConfig
from ablate.mtl.data.prepared import Prepared, Split
from benchmarks import common

N_SCENES, N_EVENTS, BANDS = 4, 25, 64
NO_END = 10**6  # epochs


class Size(NamedTuple):
    """What is trained: channels as a multiple of Table 1's, clips a step, frames a clip, steps an epoch."""

    width: float
    batch_size: int
    frames: int
    steps: int

    @property
    def n_clips(self) -> int:
        return self.steps * self.batch_size


PAPER = Size(width=1.0, batch_size=32, frames=500, steps=5)
QUICK = Size(width=1 / 8, batch_size=4, frames=500, steps=10)
TINY = Size(width=1 / 32, batch_size=4, frames=25, steps=4)


def describe(device: torch.device) -> common.Row:
    if device.type != "cuda":
        return {"device": str(device)}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def configuration(size: Size, precision: str, **changes: Any) -> RunConfig:
    values = {
        "kernels": "plain",
        "precision": precision,
        "model.width": size.width,
        "optim.batch_size": size.batch_size,
        "optim.epochs": NO_END,
    }
    return RunConfig().override(values | changes)


def random_data(size: Size) -> Prepared:
    random = np.random.default_rng(0)
    split = Split(
        features=random.standard_normal((size.n_clips, size.frames, BANDS), dtype=np.float32),
        events=(random.random((size.n_clips, size.frames, N_EVENTS)) < 0.1).astype(np.uint8),
        scenes=random.integers(0, N_SCENES, size.n_clips),
        mask=np.ones((size.n_clips, size.frames), dtype=np.uint8),
        recordings=np.arange(size.n_clips, dtype=np.int32),
        recording_names=tuple(str(clip) for clip in range(size.n_clips)),
        annotated=(),
    )
    scenes = tuple(f"scene {k}" for k in range(N_SCENES))
    events = tuple(f"event {k}" for k in range(N_EVENTS))
    return Prepared(Path("random"), "random", "random", scenes, events, split, split)


def precisions(device: torch.device) -> list[str]:
    """Those that the device has."""
    return ["float32", "tf32", "bfloat16"] if device.type == "cuda" else ["float32", "bfloat16"]


def per_second(work: Callable[[], object], seconds: float) -> float:
    """How often a second ``work`` can be done, which waits for the device itself."""
    n, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        work()
        n += 1
    return n / elapsed


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Convolutions that add in one order; other operations have no such choice, or always do."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
