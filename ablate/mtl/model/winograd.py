"""3x3 convolutions as matrix products, by Winograd's minimal filtering (Lavin and Gray 2016, F(m, 3)).

A tile of 4 frames by n bands of the output (n = 2 or 4) depends on 6 by n + 2 places of the input. Both are
transformed so that the convolution is one product for each of p = 6 (n + 2) points, and all tiles together
are p matrix products of (tiles, inputs) and (inputs, outputs):

    y = A' ((B' x B) * (G w G')) A

with 6 (n + 2) products for 4n outputs where the definition has 36n: a quarter (n = 4) or a third. The
gradient to the weights has the same two factors in other roles, dw = G' sum((B' x B) * (A dy A')) G over all
tiles, and the gradient to the input is the convolution of dy with the weights turned round.

Maps are (n_clips, frames, bands, channels). Tiles are taken so few at a time that they stay in the
processor's cache between transform and product, and so many that loading the filters is worth it.
"""

import numpy as np

from ablate.mtl.model.compiling import Floats, inlined
from ablate.mtl.model.products import PANEL, aligned, lanes, multiply, multiply_panels, padded
from ablate.mtl.model.transforms import (
    FRAMES,
    PLANE,
    ROW,
    spread_outputs,
    transform_inputs,
    transform_outputs,
)

TILES = 96  # at a time

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
def filters_of(kernel: Floats, n: int, back: bool) -> Floats:
    """The points of kernel (outputs, inputs, 3, 3), in panels as ``multiply_panels`` wants them.

    With ``back``, of the kernel that takes gradients back: inputs and outputs exchanged, and turned round.
    Returns (p, panels, inputs, columns of a panel).
    """
    n_outputs, n_inputs = (kernel.shape[1], kernel.shape[0]) if back else kernel.shape[:2]
    columns = min(padded(n_outputs, kernel), PANEL * lanes(kernel))
    panels = (n_outputs + columns - 1) // columns
    taps = np.zeros((9, panels, n_inputs, columns), kernel.dtype)
    for panel in range(panels):
        first = panel * columns
        for k in range(n_inputs):
            for tap in range(9):
                for j in range(min(columns, n_outputs - first)):
                    if back:
                        taps[8 - tap, panel, k, j] = kernel[k, first + j, tap // 3, tap % 3]
                    else:
                        taps[tap, panel, k, j] = kernel[first + j, k, tap // 3, tap % 3]
    points, size = 6 * (n + 2), panels * n_inputs * columns
    filters, nothing = aligned(points * size, kernel), np.zeros(size, kernel.dtype)
    multiply(
        filters, 0, size, nothing, 0, 0, _points(n, kernel), 0, 9, 1, taps.reshape(-1), 0, size,
        (points, size, 9),
    )  # fmt: skip
    return filters.reshape(points, panels, n_inputs, columns)


@inlined
def planes_of(n: int, like: Floats) -> Floats:
    """Memory for transformed tiles, flat: a plane for each point, and one more, as ``convolve`` wants it."""
    return aligned((6 * (n + 2) + 1) * PLANE, like)


@inlined
def convolve(x: Floats, filters: Floats, planes: Floats, y: Floats) -> None:
    """``conv2d(x, kernel, padding=1)`` of maps, for the kernel's points. Writes y.

    A point's product is written where its predecessor's factor was, which takes half the memory.
    """
    n_clips, frames, bands, n_inputs = x.shape
    n, (points, _, _, columns) = tile_bands(bands), filters.shape
    wide, narrow = padded(n_inputs, x), padded(y.shape[3], x)
    nothing, flat, size = np.zeros(narrow, x.dtype), filters.reshape(-1), filters.size // points
    total, most = _rows(n_clips, frames, bands, max(wide, narrow))
    inputs = planes[PLANE:]
    for start in range(0, total, most):
        rows = min(most, total - start)
        tiles = rows * (bands // n)
        transform_inputs(x, n, start, rows, inputs)
        for p in range(points):
            multiply_panels(
                planes, p * PLANE, narrow, nothing, 0, 0, inputs, p * PLANE, wide, 1,
                flat, p * size, columns, n_inputs * columns, (tiles, narrow, n_inputs),
            )  # fmt: skip
        transform_outputs(planes, n, start, rows, y)


@inlined
def add_filter_gradient(x: Floats, dy: Floats, inputs: Floats, outputs: Floats, d_filters: Floats) -> None:
    """Adds what clips give to the gradient to the points of the filters (p, inputs, outputs padded).

    inputs and outputs are memory for planes.
    """
    n_clips, frames, bands, n_inputs = x.shape
    n, (points, _, columns) = tile_bands(bands), d_filters.shape
    wide, flat, size = padded(n_inputs, x), d_filters.reshape(-1), n_inputs * columns
    total, most = _rows(n_clips, frames, bands, max(wide, columns))
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
    size, n_outputs, block = n_inputs * columns, d_kernel.shape[0], lanes(d_filters)
    taps, nothing = np.empty((9, n_inputs, columns), d_filters.dtype), np.zeros(size, d_filters.dtype)
    multiply(
        taps.reshape(-1), 0, size, nothing, 0, 0, _points(points // 6 - 2, d_filters), 0, 1, 9,
        d_filters.reshape(-1), 0, size, (9, size, points),
    )  # fmt: skip
    for first in range(0, n_outputs, block):  # a line of the cache is done with before the next is looked at
        for k in range(n_inputs):
            for tap in range(9):
                for j in range(first, min(first + block, n_outputs)):
                    d_kernel[j, k, tap // 3, tap % 3] = taps[tap, k, j]


@inlined
def clips_together(frames: int, bands: int) -> int:
    """How many clips are taken at a time: as many as their tiles are not too many for one product."""
    return max(1, TILES // (-(-frames // FRAMES) * (bands // tile_bands(bands))))


@inlined
def _rows(n_clips: int, frames: int, bands: int, channels: int) -> tuple[int, int]:
    """The rows of tiles of some clips, and how many at a time: in equal parts that fit a plane."""
    total, tiles_a_row = n_clips * -(-frames // FRAMES), bands // tile_bands(bands)
    most = max(1, min(TILES, PLANE // channels) // tiles_a_row)
    parts = -(-total // most)
    return total, -(-total // parts)
