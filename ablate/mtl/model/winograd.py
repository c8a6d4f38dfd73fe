"""3x3 convolutions as matrix products, by Winograd's minimal filtering (Lavin and Gray 2016, F(m, 3)).

A tile of 4 frames by n bands of the output (n = 2 or 4) depends on 6 by n + 2 places of the input. Both are
transformed so that the convolution is one product for each of p = 6 (n + 2) points, and all tiles together
are p matrix products of (tiles, inputs) and (inputs, outputs):

    y = A' ((B' x B) * (G w G')) A

with 6 (n + 2) products for 4n outputs where the definition has 36n: a quarter (n = 4) or a third. The
gradient to the weights has the same two factors in other roles, dw = G' sum((B' x B) * (A dy A')) G over all
tiles, and the gradient to the input is the convolution of dy with the weights turned round.

Maps are (frames, bands, channels), of one clip. Tiles are taken so many at a time that they stay in the
processor's cache between transform and product.
"""

import numpy as np

from ablate.mtl.model.compiling import Floats, inlined
from ablate.mtl.model.products import multiply, padded
from ablate.mtl.model.transforms import (
    FRAMES,
    PLANE,
    ROW,
    spread_outputs,
    transform_inputs,
    transform_outputs,
)

# G: the points (rows) of a filter's three taps, for tiles of 4 and of 2.
POINTS_OF_4 = np.array(
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    )
)
POINTS_OF_2 = np.array(((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)))


def applies(bands: int, channels: int) -> bool:
    """Whether maps can be convolved here: an even number of bands, a row of tiles within scratch memory."""
    return bands % 2 == 0 and (bands + 2) * channels <= ROW


@inlined
def tile_bands(bands: int) -> int:
    """n for maps of so many bands."""
    return 4 if bands % 4 == 0 else 2


@inlined
def _points(n: int, like: Floats) -> Floats:
    """(p, 9), flat: the points of a filter from its taps."""
    bands = POINTS_OF_4 if n == 4 else POINTS_OF_2
    points = np.empty((6, n + 2, 3, 3), like.dtype)
    for i in range(6):
        for j in range(n + 2):
            for f in range(3):
                for b in range(3):
                    points[i, j, f, b] = POINTS_OF_4[i, f] * bands[j, b]
    return points.reshape(-1)


@inlined
def filters_of(kernel: Floats, n: int) -> Floats:
    """(p, inputs, outputs padded): the points of kernel (outputs, inputs, 3, 3)."""
    n_outputs, n_inputs = kernel.shape[:2]
    columns = padded(n_outputs, kernel)
    taps = np.zeros((9, n_inputs, columns), kernel.dtype)
    for j in range(n_outputs):
        for k in range(n_inputs):
            for tap in range(9):
                taps[tap, k, j] = kernel[j, k, tap // 3, tap % 3]
    points, size = 6 * (n + 2), n_inputs * columns
    filters = np.zeros((points, n_inputs, columns), kernel.dtype)
    flat = filters.reshape(-1)
    multiply(
        flat, 0, size, flat, 0, size, _points(n, kernel), 0, 9, 1, taps.reshape(-1), 0, size,
        (points, size, 9),
    )  # fmt: skip
    return filters


@inlined
def turned(kernel: Floats) -> Floats:
    """(inputs, outputs, 3, 3): of the convolution that takes gradients back."""
    n_outputs, n_inputs = kernel.shape[:2]
    back = np.empty((n_inputs, n_outputs, 3, 3), kernel.dtype)
    for j in range(n_outputs):
        for k in range(n_inputs):
            for f in range(3):
                for b in range(3):
                    back[k, j, f, b] = kernel[j, k, 2 - f, 2 - b]
    return back


@inlined
def planes_of(n: int, like: Floats) -> Floats:
    """Memory for transformed tiles, flat."""
    return np.zeros(6 * (n + 2) * PLANE, like.dtype)


@inlined
def convolve(x: Floats, filters: Floats, inputs: Floats, outputs: Floats, y: Floats) -> None:
    """``conv2d(x, kernel, padding=1)`` of maps; inputs and outputs are memory for planes. Writes y."""
    frames, bands, n_inputs = x.shape
    n, (points, _, columns) = tile_bands(bands), filters.shape
    wide, nothing, flat = padded(n_inputs, x), np.zeros(columns, x.dtype), filters.reshape(-1)
    total, most = _rows(frames, bands, max(wide, columns))
    for start in range(0, total, most):
        rows = min(most, total - start)
        tiles = rows * (bands // n)
        transform_inputs(x, n, start, rows, inputs)
        for p in range(points):
            multiply(
                outputs, p * PLANE, columns, nothing, 0, 0, inputs, p * PLANE, wide, 1,
                flat, p * n_inputs * columns, columns, (tiles, columns, n_inputs),
            )  # fmt: skip
        transform_outputs(outputs, n, start, rows, y)


@inlined
def add_filter_gradient(x: Floats, dy: Floats, inputs: Floats, outputs: Floats, d_filters: Floats) -> None:
    """Adds what a clip gives to the gradient to the points of the filters (p, inputs, outputs padded)."""
    frames, bands, n_inputs = x.shape
    n, (points, _, columns) = tile_bands(bands), d_filters.shape
    wide, flat, size = padded(n_inputs, x), d_filters.reshape(-1), n_inputs * columns
    total, most = _rows(frames, bands, max(wide, columns))
    for start in range(0, total, most):
        rows = min(most, total - start)
        tiles = rows * (bands // n)
        transform_inputs(x, n, start, rows, inputs)
        spread_outputs(dy, n, start, rows, outputs)
        for p in range(points):
            multiply(
                flat, p * size, columns, flat, p * size, columns, inputs, p * PLANE, 1, wide,
                outputs, p * PLANE, columns, (n_inputs, columns, tiles),
            )  # fmt: skip


@inlined
def kernel_gradient(d_filters: Floats, d_kernel: Floats) -> None:
    """Writes the gradient to the kernel (outputs, inputs, 3, 3) from that to the points of the filters."""
    points, n_inputs, columns = d_filters.shape
    size = n_inputs * columns
    taps = np.zeros((9, n_inputs, columns), d_filters.dtype)
    flat = taps.reshape(-1)
    multiply(
        flat, 0, size, flat, 0, size, _points(points // 6 - 2, d_filters), 0, 1, 9,
        d_filters.reshape(-1), 0, size, (9, size, points),
    )  # fmt: skip
    for j in range(d_kernel.shape[0]):
        for k in range(n_inputs):
            for tap in range(9):
                d_kernel[j, k, tap // 3, tap % 3] = taps[tap, k, j]


@inlined
def _rows(frames: int, bands: int, channels: int) -> tuple[int, int]:
    """A clip's rows of tiles, and how many at a time: as many as fit into a plane."""
    tiles_a_row = bands // tile_bands(bands)
    return (frames + FRAMES - 1) // FRAMES, max(1, PLANE // (tiles_a_row * channels))
