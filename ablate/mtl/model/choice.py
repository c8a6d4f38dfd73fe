"""Which layers a network is built of: the one place that chooses."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from torch import Tensor

from ablate.mtl.model.layers import BiGru, ConvBlock, Head, cross_entropy

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc


class Kit(NamedTuple):
    """The classes that a network is built of, and the loss of its events."""

    first_block: type[ConvBlock]  # on the features themselves: one input channel, no gradient to them
    block: type[ConvBlock]
    bigru: type[BiGru]
    head: type[Head]
    cross_entropy: Callable[[Tensor, Tensor, Tensor], Tensor]


@cache
def kit(kernels: str) -> Kit:
    """The layers that ``config.kernels`` names."""
    if kernels == "plain":
        return Kit(ConvBlock, ConvBlock, BiGru, Head, cross_entropy)
    from ablate.mtl.model import fast  # numba takes a second to import

    keep_freed_memory()
    return Kit(fast.FastFirstBlock, fast.FastConvBlock, fast.FastBiGru, fast.FastHead, fast.cross_entropy)


def keep_freed_memory() -> None:
    """Has the C library keep the memory of one training step for the next.

    By default it hands large buffers back to the kernel, which clears every page of them before it gives them
    out again: a tenth of a step. The process needs no more memory at its peak. Other C libraries than glibc
    are left as they are.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(M_TRIM_THRESHOLD, -1)
        change(M_MMAP_MAX, 0)
