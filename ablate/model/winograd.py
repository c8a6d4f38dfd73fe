"""3x3 convolutions as matrix products, by Winograd's minimal filtering (Lavin and Gray 2016, F(m, 3)).

A tile of 4 frames by n bands of the output (n = 2 or 4) depends on 6 by n + 2 places of the input. Both are
transformed so that the convolution is one product for each of their p = 6 (n + 2) points, and all tiles
together are p matrix products of (tiles, inputs) and (inputs, outputs), which run at the speed of the
machine's matrix product:

    y = A' [(G w G') * (B' x B)] A        for every tile x of the input, over frames and over bands,

with 6 (n + 2) products for 4n outputs in place of 36n: a quarter (n = 4) or a third of them. The gradient to
the weights is the same with the roles turned, dw = G' [(B' x B) * (A dy A')] G summed over tiles, and the
gradient to the input is the convolution of dy with the weights turned round.

Tiles are taken some rows of tiles at a time, so that the transformed tiles stay in the processor's cache. They
lie in memory as p planes of PLANE numbers: the distance is a constant, which lets the compiler see that stores
to one plane do not touch another.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ablate.model.kernels import Floats, compiled

FRAMES = 4  # of a tile of the output
PLANE = 16 * 1029
ROW = 16 * 515

FILTER_POINTS = {  # G: the points (rows) of a filter's three taps, by the size of the tile
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    4: (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
}


def tile_bands(x: Tensor, kernel: Tensor) -> int:
    """The bands of a tile for this convolution; 0 where it is better left to torch."""
    bands, channels = x.shape[3], max(kernel.shape[:2])
    if (bands + 2) * channels > ROW or bands * channels > PLANE:
        return 0
    return 4 if bands % 4 == 0 else 2 if bands % 2 == 0 else 0


def conv(x: Tensor, kernel: Tensor) -> Tensor:
    """``conv2d(x, kernel, padding=1)`` for x (n_clips, inputs, frames, bands), kernel (outputs, inputs, 3, 3).

    Maps lie channels last in memory. ``tile_bands`` must not be 0.
    """
    y: Tensor = _Conv.apply(x, kernel)  # type: ignore[no-untyped-call]
    return y


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1).contiguous()
        ctx.save_for_backward(x, kernel)
        return _convolved(x, kernel).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor]:
        x, kernel = ctx.saved_tensors
        dy = dy.permute(0, 2, 3, 1).contiguous()
        d_kernel = _gradient_to_kernel(x, dy)
        if not ctx.needs_input_grad[0]:
            return None, d_kernel
        return _convolved(dy, kernel.flip(2, 3).transpose(0, 1)).permute(0, 3, 1, 2), d_kernel


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """(n_clips, frames, bands, inputs) -> (n_clips, frames, bands, outputs)."""
    n_outputs, n_inputs = kernel.shape[:2]
    n_clips, frames, bands, _ = x.shape
    n = _tile(bands)
    points = _filter_points(n, x.dtype)
    filters = (points @ kernel.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, n_inputs, n_outputs)
    y = x.new_empty(n_clips, frames, bands, n_outputs)
    V, M = (x.new_empty(len(points), PLANE) for _ in range(2))
    for start, rows in _blocks(x, max(n_inputs, n_outputs)):
        n_tiles = rows * (bands // n)
        transform_inputs(x.numpy(), n, start, rows, V.numpy())
        torch.bmm(_tiles(V, n_tiles, n_inputs), filters, out=_tiles(M, n_tiles, n_outputs))
        transform_outputs(M.numpy(), n, start, rows, y.numpy())
    return y


def _gradient_to_kernel(x: Tensor, dy: Tensor) -> Tensor:
    n_inputs, n_outputs, bands = x.shape[3], dy.shape[3], x.shape[2]
    n = _tile(bands)
    points = _filter_points(n, x.dtype)
    filters = x.new_zeros(len(points), n_inputs, n_outputs)
    V, M = (x.new_empty(len(points), PLANE) for _ in range(2))
    for start, rows in _blocks(x, max(n_inputs, n_outputs)):
        n_tiles = rows * (bands // n)
        transform_inputs(x.numpy(), n, start, rows, V.numpy())
        spread_outputs(dy.numpy(), n, start, rows, M.numpy())
        filters.baddbmm_(_tiles(V, n_tiles, n_inputs).transpose(1, 2), _tiles(M, n_tiles, n_outputs))
    d_kernel = points.T @ filters.flatten(1)
    return d_kernel.view(3, 3, n_inputs, n_outputs).permute(3, 2, 0, 1)


def _tile(bands: int) -> int:
    return 4 if bands % 4 == 0 else 2


@cache
def _filter_points(n: int, dtype: torch.dtype) -> Tensor:
    """(p, 9): the points of a filter from its taps."""
    times, bands = (torch.tensor(FILTER_POINTS[size], dtype=torch.float64) for size in (FRAMES, n))
    return torch.kron(times, bands).to(dtype)


def _blocks(x: Tensor, channels: int) -> Iterator[tuple[int, int]]:
    """(first row of tiles, number of rows) of as many rows of tiles as fit into a plane."""
    n_clips, frames, bands, _ = x.shape
    total = n_clips * -(-frames // FRAMES)
    rows = PLANE // (bands // _tile(bands) * channels)
    return ((start, min(rows, total - start)) for start in range(0, total, rows))


def _tiles(planes: Tensor, n_tiles: int, channels: int) -> Tensor:
    """The part of the planes that is in use: (p, n_tiles, channels)."""
    return planes.as_strided((planes.shape[0], n_tiles, channels), (PLANE, channels, 1))


@compiled
def _points_of_6(d: Any, two: Any, four: Any, five: Any) -> Any:
    """B'd for F(4, 3): six places to six points."""
    even, odd = d[4] - d[2], two * (d[3] - d[1])
    even4, odd4 = d[4] - four * d[2], d[3] - four * d[1]
    return (
        four * d[0] - five * d[2] + d[4],
        even4 + odd4,
        even4 - odd4,
        even + odd,
        even - odd,
        four * d[1] - five * d[3] + d[5],
    )


@compiled
def _points_of_4(d: Any) -> Any:
    """B'd for F(2, 3): four places to four points."""
    return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


@compiled
def _outputs_of_6(m: Any, two: Any, four: Any, eight: Any) -> Any:
    """A'm for F(4, 3): six points to four outputs."""
    even, odd, even2, odd2 = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return m[0] + even + even2, odd + two * odd2, even + four * even2, odd + eight * odd2 + m[5]


@compiled
def _outputs_of_4(m: Any) -> Any:
    """A'm for F(2, 3): four points to two outputs."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


@compiled
def _spread_to_6(y: Any, two: Any, four: Any, eight: Any) -> Any:
    """A y for F(4, 3): four outputs to six points, the transpose of ``_outputs_of_6``."""
    even, odd = y[0] + y[2], y[1] + y[3]
    even2, odd2 = y[0] + four * y[2], two * y[1] + eight * y[3]
    return y[0], even + odd, even - odd, even2 + odd2, even2 - odd2, y[3]


@compiled
def _spread_to_4(y: Any) -> Any:
    """A y for F(2, 3): two outputs to four points, the transpose of ``_outputs_of_4``."""
    return y[0], y[0] + y[1], y[0] - y[1], -y[1]


index = np.uint64  # unsigned, since a possibly negative index counts from the end, which cannot be vectorised
PITCH, LINE = index(PLANE), index(ROW)
ONE, TWO, THREE, FOUR, FIVE, SIX = (index(k) for k in range(1, 7))


@compiled
def _load4(x: Floats, at: Any, step: Any) -> Any:
    return x[at], x[at + step], x[at + TWO * step], x[at + THREE * step]


@compiled
def _load6(x: Floats, at: Any, step: Any) -> Any:
    return (
        x[at],
        x[at + step],
        x[at + TWO * step],
        x[at + THREE * step],
        x[at + FOUR * step],
        x[at + FIVE * step],
    )


@compiled
def _store4(x: Floats, at: Any, step: Any, v: Any) -> None:
    x[at] = v[0]
    x[at + step] = v[1]
    x[at + TWO * step] = v[2]
    x[at + THREE * step] = v[3]


@compiled
def _store6(x: Floats, at: Any, step: Any, v: Any) -> None:
    x[at] = v[0]
    x[at + step] = v[1]
    x[at + TWO * step] = v[2]
    x[at + THREE * step] = v[3]
    x[at + FOUR * step] = v[4]
    x[at + FIVE * step] = v[5]


@compiled
def transform_inputs(x: Floats, n: int, start: int, rows: int, planes: Floats) -> None:
    """B' x B of the tiles of ``rows`` rows of tiles from the batch's ``start``-th.

    x (n_clips, frames, bands, C); n, the bands of a tile. Writes planes (p, PLANE), each of whose beginnings
    then is (rows, bands / n, C).
    """
    _, frames, bands, C = x.shape
    rows_a_clip = (frames + FRAMES - 1) // FRAMES
    real = x.dtype.type
    two, four, five = real(2), real(4), real(5)
    nothing = np.zeros(bands * C, x.dtype)
    scratch = np.zeros(6 * ROW, x.dtype)  # six points of time; bands within a border of zeros
    flat = planes.reshape(-1)
    channels, width, n_tiles = index(C), index(bands * C), bands // n
    for row in range(rows):
        clip, t = (start + row) // rows_a_clip, (start + row) % rows_a_clip * FRAMES
        frame = x[clip].reshape(frames, bands * C)
        x0 = frame[t - 1] if t > 0 else nothing
        x1 = frame[t]
        x2 = frame[t + 1] if t + 1 < frames else nothing
        x3 = frame[t + 2] if t + 2 < frames else nothing
        x4 = frame[t + 3] if t + 3 < frames else nothing
        x5 = frame[t + 4] if t + 4 < frames else nothing
        for q in range(width):
            v = _points_of_6((x0[q], x1[q], x2[q], x3[q], x4[q], x5[q]), two, four, five)
            _store6(scratch, channels + q, LINE, v)
        for tile in range(n_tiles):
            at, to = index(tile * n * C), index((row * n_tiles + tile) * C)
            if n == 4:
                for c in range(channels):
                    for i in range(SIX):
                        v = _points_of_6(_load6(scratch, i * LINE + at + c, channels), two, four, five)
                        _store6(flat, i * SIX * PITCH + to + c, PITCH, v)
            else:
                for c in range(channels):
                    for i in range(SIX):
                        u = _points_of_4(_load4(scratch, i * LINE + at + c, channels))
                        _store4(flat, i * FOUR * PITCH + to + c, PITCH, u)


@compiled
def transform_outputs(planes: Floats, n: int, start: int, rows: int, y: Floats) -> None:
    """A' m A of planes (p, PLANE), laid out as by ``transform_inputs``: writes y (n_clips, frames, bands, C)."""
    _, frames, bands, C = y.shape
    rows_a_clip = (frames + FRAMES - 1) // FRAMES
    real = y.dtype.type
    two, four, eight = real(2), real(4), real(8)
    beyond = np.empty(bands * C, y.dtype)
    scratch = np.empty(6 * ROW, y.dtype)
    flat = planes.reshape(-1)
    channels, width, n_tiles = index(C), index(bands * C), bands // n
    for row in range(rows):
        clip, t = (start + row) // rows_a_clip, (start + row) % rows_a_clip * FRAMES
        for tile in range(n_tiles):
            to, at = index(tile * n * C), index((row * n_tiles + tile) * C)
            if n == 4:
                for c in range(channels):
                    for i in range(SIX):
                        v = _outputs_of_6(_load6(flat, i * SIX * PITCH + at + c, PITCH), two, four, eight)
                        _store4(scratch, i * LINE + to + c, channels, v)
            else:
                for c in range(channels):
                    for i in range(SIX):
                        u = _outputs_of_4(_load4(flat, i * FOUR * PITCH + at + c, PITCH))
                        scratch[i * LINE + to + c] = u[0]
                        scratch[i * LINE + to + c + channels] = u[1]
        frame = y[clip].reshape(frames, bands * C)
        y0 = frame[t]
        y1 = frame[t + 1] if t + 1 < frames else beyond
        y2 = frame[t + 2] if t + 2 < frames else beyond
        y3 = frame[t + 3] if t + 3 < frames else beyond
        for q in range(width):
            v = _outputs_of_6(_load6(scratch, q, LINE), two, four, eight)
            y0[q], y1[q] = v[0], v[1]
        for q in range(width):
            v = _outputs_of_6(_load6(scratch, q, LINE), two, four, eight)
            y2[q], y3[q] = v[2], v[3]


@compiled
def spread_outputs(dy: Floats, n: int, start: int, rows: int, planes: Floats) -> None:
    """A dy A' of the tiles, the transpose of ``transform_outputs``: writes planes (p, PLANE)."""
    _, frames, bands, C = dy.shape
    rows_a_clip = (frames + FRAMES - 1) // FRAMES
    real = dy.dtype.type
    two, four, eight = real(2), real(4), real(8)
    nothing = np.zeros(bands * C, dy.dtype)
    scratch = np.empty(6 * ROW, dy.dtype)
    flat = planes.reshape(-1)
    channels, width, n_tiles = index(C), index(bands * C), bands // n
    for row in range(rows):
        clip, t = (start + row) // rows_a_clip, (start + row) % rows_a_clip * FRAMES
        frame = dy[clip].reshape(frames, bands * C)
        y0 = frame[t]
        y1 = frame[t + 1] if t + 1 < frames else nothing
        y2 = frame[t + 2] if t + 2 < frames else nothing
        y3 = frame[t + 3] if t + 3 < frames else nothing
        for q in range(width):
            v = _spread_to_6((y0[q], y1[q], y2[q], y3[q]), two, four, eight)
            _store6(scratch, q, LINE, v)
        for tile in range(n_tiles):
            at, to = index(tile * n * C), index((row * n_tiles + tile) * C)
            if n == 4:
                for c in range(channels):
                    for i in range(SIX):
                        v = _spread_to_6(_load4(scratch, i * LINE + at + c, channels), two, four, eight)
                        _store6(flat, i * SIX * PITCH + to + c, PITCH, v)
            else:
                for c in range(channels):
                    for i in range(SIX):
                        s = i * LINE + at + c
                        u = _spread_to_4((scratch[s], scratch[s + channels]))
                        _store4(flat, i * FOUR * PITCH + to + c, PITCH, u)
