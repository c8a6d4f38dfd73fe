"""Random streams that are functions of (seed, purpose, epoch): nothing to save, nothing to restore.

Every stream stands alone, so a condition that draws more or less from one of them leaves the others as
they were. That is what pairs the conditions of a study: the same seed means the same initial weights and
the same batches in all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """The random stream of one purpose, such as "batch order", in one epoch (0: the whole run)."""
    return np.random.default_rng(_sequence(seed, purpose, epoch))


@contextmanager
def torch_seeded(seed: int, purpose: str) -> Iterator[None]:
    """torch draws from the stream of this purpose inside the block, and goes on as before after it."""
    before = torch.random.get_rng_state()
    (state,) = _sequence(seed, purpose, 0).generate_state(1, np.uint64)
    torch.default_generator.manual_seed(int(state))
    try:
        yield
    finally:
        torch.random.set_rng_state(before)


def _sequence(seed: int, purpose: str, epoch: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, epoch, *purpose.encode()])
