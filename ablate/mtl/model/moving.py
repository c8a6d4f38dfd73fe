"""RAdam's step on a CPU as one compiled pass over all parameters.

torch takes a dozen operations for each of thirty tensors of a few hundred numbers each, and spends its time
on starting them. Here are the same operations on each number, in the same order; the results differ where
torch's square root is off by its last bit.
"""

import math
from typing import Any

import numpy as np
from numba import carray, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from ablate.mtl.model.compiling import Floats, compiled_with

# Products are added without rounding in between, as torch does. Nothing may be reordered.
contracted = compiled_with({"contract"})
part = compiled_with({"contract"}, forceinline=True)


def _pointer(_context: Any, address: Any) -> Any:
    """An address as what ``carray`` makes an array of."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


pointer: Any = intrinsic(_pointer)


@contracted
def move(
    addresses: NDArray[np.int64],
    sizes: NDArray[np.int64],
    like: Floats,
    lr: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """One step of each parameter.

    addresses (n, 5): where each parameter begins, its gradient, both of its running moments, and its count of
    steps, a single float32; sizes (n,): its numbers, which lie next to each other and are of ``like``'s type.
    """
    real = like.dtype.type
    beta1, beta2 = betas
    longest = 2 / (1 - beta2) - 1
    buffer = np.empty(sizes.max(), like.dtype)
    for k in range(len(sizes)):
        n = sizes[k]
        weights = carray(pointer(addresses[k, 0]), n, like.dtype)
        gradient = carray(pointer(addresses[k, 1]), n, like.dtype)
        mean = carray(pointer(addresses[k, 2]), n, like.dtype)
        square = carray(pointer(addresses[k, 3]), n, like.dtype)
        count = carray(pointer(addresses[k, 4]), 1, np.float32)
        count[0] += 1
        step = float(count[0])
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        correction = 1 - beta1**step
        rectified, plain = 0.0, 0.0
        if length > 5:
            share = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            rectified = math.sqrt(1 - beta2**step) * (lr * math.sqrt(share) / correction) * -1
        else:
            plain = lr / correction * -1
        _average(mean, gradient, real(1 - beta1))
        _decay(square, real(beta2))
        _add_squares(square, gradient, real(1 - beta2))
        if length > 5:
            _rectified(buffer, square, real(epsilon), real(rectified), real(plain))
        else:
            buffer[:n] = real(plain)
        _add_products(weights, mean, buffer)


@part
def _average(mean: Floats, x: Floats, share: Any) -> None:
    for i in range(len(mean)):
        mean[i] = mean[i] + share * (x[i] - mean[i])


@part
def _decay(square: Floats, share: Any) -> None:
    for i in range(len(square)):
        square[i] = square[i] * share


@part
def _add_squares(square: Floats, x: Floats, share: Any) -> None:
    for i in range(len(square)):
        square[i] = square[i] + share * x[i] * x[i]


@part
def _rectified(buffer: Floats, square: Floats, epsilon: Any, rectified: Any, plain: Any) -> None:
    one = square.dtype.type(1)
    for i in range(len(square)):
        buffer[i] = one / ((np.sqrt(square[i]) + epsilon) / rectified) + plain


@part
def _add_products(x: Floats, mean: Floats, buffer: Floats) -> None:
    for i in range(len(x)):
        x[i] = x[i] + mean[i] * buffer[i]
