"""A device that records steps, on a CPU: what a CUDA graph does, as far as a CPU can show it.

Recorded are torch's operations with the very tensors that they read and wrote. A repetition runs the same
operations on the same tensors without a line of the model's Python: what Python would have done otherwise is
not done, an output lies where it lay, and a number that was read is not read again. As on a GPU, recording
computes nothing, and what asks for a number while recording fails.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, UntypedStorage
from torch.optim import radam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ablate.mtl.training.radam import RAdam

READS_A_NUMBER = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)


class Recording(TorchDispatchMode):
    """Inside, operations are recorded; what they changed is put back at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any]] = []
        self._made: set[int] = set()  # memory of results; what was there before is put back
        self._before: dict[int, tuple[UntypedStorage, UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in READS_A_NUMBER:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")
        storages = {storage.data_ptr(): storage for storage in _storages((args, kwargs))}
        # Batch norm moves its running statistics and does not say so.
        if func._schema.is_mutable or "batch_norm" in func.name():
            for place in storages.keys() - self._made - self._before.keys():
                self._before[place] = storages[place], storages[place].clone()
        inputs = _same_memory((args, kwargs))
        result = func(*args, **kwargs)
        self._made |= {storage.data_ptr() for storage in _storages(result)} - storages.keys()
        self.calls.append((func, inputs, _same_memory(result)))
        return result

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for storage, value in self._before.values():
            storage.copy_(value)

    @torch.no_grad()
    def repeat(self) -> None:
        for func, inputs, result in self.calls:
            args, kwargs = _same_memory(inputs)
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _storages(tree: Any) -> list[UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _same_memory(tree: Any) -> Any:
    """The tensors with the shapes that they have now: some operations change a tensor's shape in place."""
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)


class RecordingStreams:
    """As ``graphs.CudaStreams``, but for the streams."""

    def __init__(self) -> None:
        self.captures: list[int] = []  # the number of branches of each
        self.places: list[tuple[Any, int]] = []  # pool and lane of each, also of those that failed
        self.repeats = 0
        self.beside = 0  # how many works are under way side by side

    def side_by_side(self, works: Sequence[Callable[[], None]]) -> list[Exception | None]:
        self.beside = len(works)
        raised = [_raised(work) for work in works]
        self.beside = 0
        return raised

    def capture(self, works: Sequence[Callable[[], None]], pool: Any, lane: int) -> Callable[[], None]:
        self.places.append((pool, lane))
        self.beside = len(works)
        try:
            with Recording() as recording:
                for work in works:
                    work()
        finally:
            self.beside = 0
        self.captures.append(len(works))

        def repeat() -> None:
            self.repeats += 1
            recording.repeat()

        return repeat

    def new_pool(self) -> object:
        return object()

    def keep_pace(self) -> None:
        """Nothing is ahead of a CPU."""

    def release(self) -> None:
        """Nothing is held."""


def _raised(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as error:
        return error
    return None


def make_radam_capturable(monkeypatch: pytest.MonkeyPatch) -> None:
    """RAdam as on a GPU: its state is tensors that a step does not read."""
    monkeypatch.setattr(radam, "_get_capturable_supported_devices", lambda **_: ["cpu"])
    made = RAdam.__init__

    def make(self: RAdam, *args: Any, **settings: Any) -> None:
        made(self, *args, **settings | {"capturable": True})

    monkeypatch.setattr(RAdam, "__init__", make)
