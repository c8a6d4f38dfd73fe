"""How the streams of a GPU are used, told by a GPU that only notes what is asked of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from ablate.mtl.training.graphs import CudaStreams, first_cause, is_out_of_memory

DEVICE = torch.device("cuda", 0)


class Gpu:
    """What ``CudaStreams`` asks of ``torch.cuda``, and its notes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notes: list[str] = []
        self.names = iter(["capture", *"abcdefgh"])
        self.main = self.current = Stream(self, "main")
        replacements: dict[str, Any] = {
            "Stream": lambda _device, priority=0: Stream(self, next(self.names)),  # noqa: ARG005
            "current_stream": lambda _device=None: self.current,
            "set_stream": lambda stream: setattr(self, "current", stream),
            "stream": self.on,
            "device": lambda _device: nullcontext(),
            "graph": self.graph,
            "CUDAGraph": Graph,
        }
        for name, replacement in replacements.items():
            monkeypatch.setattr(torch.cuda, name, replacement)

    def work(self, name: str) -> Callable[[], None]:
        return lambda: self.notes.append(f"{name} on {self.current.name}")

    @contextmanager
    def on(self, stream: "Stream") -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, _graph: "Graph", pool: Any, stream: "Stream") -> Iterator[None]:
        """As torch's: when the capture is broken, its stream remains the current one."""
        self.notes.append(f"begin {pool}")
        self.current = stream
        broken = True
        try:
            yield
            broken = False
        finally:
            self.notes.append("end")
            if broken:
                raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
            self.current = self.main


class Stream:
    def __init__(self, gpu: Gpu, name: str) -> None:
        self.gpu, self.name = gpu, name

    def wait_stream(self, other: "Stream") -> None:
        self.gpu.notes.append(f"{self.name} waits for {other.name}")


class Graph:
    def replay(self) -> None:
        """Nothing was recorded."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


def fail() -> None:
    raise ValueError("it fails")


def test_side_by_side_all_fork_before_the_first_starts_and_join_after_the_last(gpu: Gpu) -> None:
    raised = CudaStreams(DEVICE).side_by_side([gpu.work("one"), fail, gpu.work("three")])
    assert [type(error) for error in raised] == [type(None), ValueError, type(None)]
    assert gpu.notes == [
        *["a waits for main", "b waits for main", "c waits for main"],
        *["one on a", "three on c"],
        *["main waits for a", "main waits for b", "main waits for c"],
    ]


def test_branches_fork_from_the_capture_and_join_it(gpu: Gpu) -> None:
    CudaStreams(DEVICE).capture([gpu.work("one"), gpu.work("two")], "pool", 1)
    assert gpu.notes == [
        *["begin pool", "b waits for capture", "c waits for capture"],
        *["one on b", "two on c"],
        *["capture waits for b", "capture waits for c", "end"],
    ]
    assert gpu.current is gpu.main


def test_a_failed_capture_is_ended_and_says_what_went_wrong_at_first(gpu: Gpu) -> None:
    with pytest.raises(RuntimeError, match="previous error") as caught:
        CudaStreams(DEVICE).capture([gpu.work("one"), fail], "pool", 0)
    assert str(first_cause(caught.value)) == "it fails"
    assert gpu.notes[-3:] == ["capture waits for a", "capture waits for b", "end"]
    assert gpu.current is gpu.main


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
    ],
)
def test_memory_runs_out_in_several_words(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
    last = RuntimeError("the capture is broken")
    last.__context__ = error
    assert is_out_of_memory(last) is expected
