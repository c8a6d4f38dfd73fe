"""Winograd's transforms of tiles, compiled by numba; ``winograd`` says what they are for.

A row of tiles is 4 frames of a clip and all its bands: bands / n tiles. Rows are counted through the clips,
one after the other. The transforms are separable. Along
time a whole row of tiles is one long loop; along bands there is one loop over channels for each tile.

Transformed tiles lie in memory as planes, one for each point. The distances between planes, and between the
rows of scratch memory, are constants: the compiler turns a loop into vector instructions only where it sees
that what is stored does not overlap.
"""

from typing import Any

import numpy as np

from ablate.mtl.model.compiling import FIVE, FOUR, SIX, THREE, TWO, Floats, index, inlined
from ablate.mtl.model.products import aligned, padded

FRAMES = 4  # of a tile
PLANE = 16 * 769  # numbers in a plane; not a power of two, which would crowd the cache
ROW = 16 * 515  # numbers in a row of scratch memory
DEPTH, LENGTH = index(PLANE), index(ROW)


# --- one dimension ----------------------------------------------------------------------------------------


@inlined
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


@inlined
def _points_of_4(d: Any) -> Any:
    """B'd for F(2, 3): four places to four points."""
    return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


@inlined
def _outputs_of_6(m: Any, two: Any, four: Any, eight: Any) -> Any:
    """A'm for F(4, 3): six points to four outputs."""
    even, odd, even2, odd2 = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return m[0] + even + even2, odd + two * odd2, even + four * even2, odd + eight * odd2 + m[5]


@inlined
def _outputs_of_4(m: Any) -> Any:
    """A'm for F(2, 3): four points to two outputs."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


@inlined
def _spread_to_6(y: Any, two: Any, four: Any, eight: Any) -> Any:
    """A y for F(4, 3): four outputs to six points, the transpose of ``_outputs_of_6``."""
    even, odd = y[0] + y[2], y[1] + y[3]
    even2, odd2 = y[0] + four * y[2], two * y[1] + eight * y[3]
    return y[0], even + odd, even - odd, even2 + odd2, even2 - odd2, y[3]


@inlined
def _spread_to_4(y: Any) -> Any:
    """A y for F(2, 3): two outputs to four points, the transpose of ``_outputs_of_4``."""
    return y[0], y[0] + y[1], y[0] - y[1], -y[1]


# --- rows of tiles ----------------------------------------------------------------------------------------


@inlined
def _load4(x: Floats, at: Any, step: Any) -> Any:
    return x[at], x[at + step], x[at + TWO * step], x[at + THREE * step]


@inlined
def _load6(x: Floats, at: Any, step: Any) -> Any:
    return (
        x[at],
        x[at + step],
        x[at + TWO * step],
        x[at + THREE * step],
        x[at + FOUR * step],
        x[at + FIVE * step],
    )


@inlined
def _store4(x: Floats, at: Any, step: Any, v: Any) -> None:
    x[at] = v[0]
    x[at + step] = v[1]
    x[at + TWO * step] = v[2]
    x[at + THREE * step] = v[3]


@inlined
def _store6(x: Floats, at: Any, step: Any, v: Any) -> None:
    x[at] = v[0]
    x[at + step] = v[1]
    x[at + TWO * step] = v[2]
    x[at + THREE * step] = v[3]
    x[at + FOUR * step] = v[4]
    x[at + FIVE * step] = v[5]


@inlined
def transform_inputs(x: Floats, n: int, start: int, rows: int, planes: Floats) -> None:
    """B' x B of the tiles of ``rows`` rows of tiles from the ``start``-th.

    x (n_clips, frames, bands, C); n, the bands of a tile. Writes planes (p, PLANE), flat, of which each
    begins with (rows, bands / n, C padded).
    """
    n_clips, frames, bands, C = x.shape
    pitch = padded(C, x)
    real = x.dtype.type
    two, four, five = real(2), real(4), real(5)
    nothing = np.zeros(bands * C, x.dtype)
    scratch = aligned(6 * ROW, x)  # six points of time; bands within a border of zeros
    for i in range(6):
        scratch[i * ROW : i * ROW + C] = 0
        scratch[i * ROW + (bands + 1) * C : i * ROW + (bands + 2) * C] = 0
    channels, width, n_tiles = index(C), index(bands * C), bands // n
    frame, rows_a_clip = x.reshape(n_clips * frames, bands * C), -(-frames // FRAMES)
    for row in range(rows):
        t = (start + row) % rows_a_clip * FRAMES
        first = (start + row) // rows_a_clip * frames + t
        x0 = frame[first - 1] if t > 0 else nothing
        x1 = frame[first]
        x2 = frame[first + 1] if t + 1 < frames else nothing
        x3 = frame[first + 2] if t + 2 < frames else nothing
        x4 = frame[first + 3] if t + 3 < frames else nothing
        x5 = frame[first + 4] if t + 4 < frames else nothing
        for q in range(width):
            v = _points_of_6((x0[q], x1[q], x2[q], x3[q], x4[q], x5[q]), two, four, five)
            _store6(scratch, channels + q, LENGTH, v)
        for tile in range(n_tiles):
            at, to = index(tile * n * C), index((row * n_tiles + tile) * pitch)
            if n == 4:
                for c in range(channels):
                    for i in range(SIX):
                        v = _points_of_6(_load6(scratch, i * LENGTH + at + c, channels), two, four, five)
                        _store6(planes, i * SIX * DEPTH + to + c, DEPTH, v)
            else:
                for c in range(channels):
                    for i in range(SIX):
                        u = _points_of_4(_load4(scratch, i * LENGTH + at + c, channels))
                        _store4(planes, i * FOUR * DEPTH + to + c, DEPTH, u)


@inlined
def transform_outputs(planes: Floats, n: int, start: int, rows: int, y: Floats) -> None:
    """A' m A of planes (p, PLANE), which lie as ``transform_inputs`` writes them.

    y (n_clips, frames, bands, C).
    """
    n_clips, frames, bands, C = y.shape
    pitch = padded(C, y)
    real = y.dtype.type
    two, four, eight = real(2), real(4), real(8)
    beyond = np.empty(bands * C, y.dtype)
    scratch = aligned(6 * ROW, y)
    channels, width, n_tiles = index(C), index(bands * C), bands // n
    frame, rows_a_clip = y.reshape(n_clips * frames, bands * C), -(-frames // FRAMES)
    for row in range(rows):
        t = (start + row) % rows_a_clip * FRAMES
        first = (start + row) // rows_a_clip * frames + t
        for tile in range(n_tiles):
            to, at = index(tile * n * C), index((row * n_tiles + tile) * pitch)
            if n == 4:
                for c in range(channels):
                    for i in range(SIX):
                        v = _outputs_of_6(_load6(planes, i * SIX * DEPTH + at + c, DEPTH), two, four, eight)
                        _store4(scratch, i * LENGTH + to + c, channels, v)
            else:
                for c in range(channels):
                    for i in range(SIX):
                        u = _outputs_of_4(_load4(planes, i * FOUR * DEPTH + at + c, DEPTH))
                        scratch[i * LENGTH + to + c] = u[0]
                        scratch[i * LENGTH + to + c + channels] = u[1]
        y0 = frame[first]
        y1 = frame[first + 1] if t + 1 < frames else beyond
        y2 = frame[first + 2] if t + 2 < frames else beyond
        y3 = frame[first + 3] if t + 3 < frames else beyond
        for q in range(width):
            v = _outputs_of_6(_load6(scratch, q, LENGTH), two, four, eight)
            y0[q], y1[q] = v[0], v[1]
        for q in range(width):
            v = _outputs_of_6(_load6(scratch, q, LENGTH), two, four, eight)
            y2[q], y3[q] = v[2], v[3]


@inlined
def spread_outputs(dy: Floats, n: int, start: int, rows: int, planes: Floats) -> None:
    """A dy A' of the tiles, the transpose of ``transform_outputs``: writes planes (p, PLANE), flat."""
    n_clips, frames, bands, C = dy.shape
    pitch = padded(C, dy)
    real = dy.dtype.type
    two, four, eight = real(2), real(4), real(8)
    nothing = np.zeros(bands * C, dy.dtype)
    scratch = aligned(6 * ROW, dy)
    channels, width, n_tiles = index(C), index(bands * C), bands // n
    frame, rows_a_clip = dy.reshape(n_clips * frames, bands * C), -(-frames // FRAMES)
    for row in range(rows):
        t = (start + row) % rows_a_clip * FRAMES
        first = (start + row) // rows_a_clip * frames + t
        y0 = frame[first]
        y1 = frame[first + 1] if t + 1 < frames else nothing
        y2 = frame[first + 2] if t + 2 < frames else nothing
        y3 = frame[first + 3] if t + 3 < frames else nothing
        for q in range(width):
            v = _spread_to_6((y0[q], y1[q], y2[q], y3[q]), two, four, eight)
            _store6(scratch, q, LENGTH, v)
        for tile in range(n_tiles):
            at, to = index(tile * n * C), index((row * n_tiles + tile) * pitch)
            if n == 4:
                for c in range(channels):
                    for i in range(SIX):
                        v = _spread_to_6(_load4(scratch, i * LENGTH + at + c, channels), two, four, eight)
                        _store6(planes, i * SIX * DEPTH + to + c, DEPTH, v)
            else:
                for c in range(channels):
                    for i in range(SIX):
                        s = i * LENGTH + at + c
                        u = _spread_to_4((scratch[s], scratch[s + channels]))
                        _store4(planes, i * FOUR * DEPTH + to + c, DEPTH, u)
