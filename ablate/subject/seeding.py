"""Randomness of a training that the harness knows of: streams by purpose, and what libraries draw from.

A training that uses ``run.generator`` draws what depends on nothing but the seed and the purpose. One that
draws from ``random``, ``numpy.random`` or torch is as reproducible as it can be: they are seeded when the run
begins, or when they are first imported after that, and their states are saved and restored with the run's.
"""

import hashlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ablate.ground.errors import ConfigError, shown

if TYPE_CHECKING:
    import numpy as np


def generator(seed: int, purpose: Sequence[object]) -> "np.random.Generator":
    """The stream of a seed and a purpose, such as ``("batches", 3)``. Raises ConfigError for other things."""
    import numpy as np

    return np.random.default_rng(np.random.SeedSequence([seed, *purpose_key(purpose).encode()]))


def purpose_key(purpose: Sequence[object]) -> str:
    """A text that is the same for equal purposes in every process. Raises ConfigError."""
    parts = []
    for part in purpose:
        plain = part.item() if hasattr(part, "item") else part  # numpy's own numbers
        if not isinstance(plain, (str, int, float, bool)):
            raise ConfigError(
                f"run.generator({shown(part)}): say what the random numbers are for with text and numbers, "
                "which are the same in every process"
            )
        parts.append(f"{len(str(plain))}:{plain}")
    return " ".join(parts)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Seeds what libraries draw from, those that are loaded now and those that the block imports."""
    random.seed(_derived(seed, "random"))
    seeders: dict[str, Callable[[], None]] = {
        "numpy": lambda: sys.modules["numpy"].random.seed(_derived(seed, "numpy") % 2**32),
        "torch": lambda: _seed_torch(seed, device),
    }
    finder = _SeedOnImport({name: seed for name, seed in seeders.items() if name not in sys.modules})
    for name, seed_it in seeders.items():
        if name in sys.modules:
            seed_it()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _seed_torch(seed: int, device: str) -> None:
    torch = sys.modules["torch"]
    if device.startswith("cuda:"):  # what asks for "cuda" gets the run's own
        torch.cuda.set_device(device)
    torch.manual_seed(_derived(seed, "torch"))


def _derived(seed: int, purpose: str) -> int:
    """63 bits that say nothing of those for another purpose."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed}".encode()).digest()[:8], "big") >> 1


class _SeedOnImport(MetaPathFinder):
    """Seeds a library right after it has been imported."""

    def __init__(self, seeders: Mapping[str, Callable[[], None]]) -> None:
        self._seeders = dict(seeders)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        seed_it = self._seeders.pop(fullname, None)
        if seed_it is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            seed_it()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def states() -> dict[str, Any]:
    """The states of what libraries draw from, of those that are loaded."""
    version, words, gauss = random.getstate()
    found: dict[str, Any] = {"random": [version, list(words), gauss]}
    if numpy := sys.modules.get("numpy"):
        found["numpy"] = numpy.random.get_state(legacy=False)
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore(found: Mapping[str, Any]) -> None:
    """Brings them to the states that ``states`` has given."""
    version, words, gauss = found["random"]
    random.setstate((version, tuple(words), gauss))
    if "numpy" in found:
        import numpy as np

        np.random.set_state(found["numpy"])
    if "torch" in found:
        import torch

        torch.set_rng_state(found["torch"])
        if "cuda" in found:
            torch.cuda.set_rng_state(found["cuda"])
