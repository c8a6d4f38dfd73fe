"""Batch norm, leaky ReLU and max pool of a clip's maps, compiled; ``blocks`` says what the sums are for."""

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.model.compiling import (
    THREE,
    TWO,
    Floats,
    index,
    inlined,
)

SLOPE = 0.01  # torch's default for leaky ReLU
FRAMES = 16  # summed in x's own type before they are added up in double precision

Norm = tuple[Floats, Floats, Floats, Floats]  # weight, bias, running mean and variance, (C,) each

# --- batch norm -------------------------------------------------------------------------------------------


@inlined
def add_moments(x: Floats, origin: Floats, first: Floats, second: Floats) -> None:
    """Adds the sums of (x - origin) and of its square over frames and bands to first and second (C,) float64.

    x (frames, bands, C); origin (C,), somewhere near x, against cancellation.
    """
    frames, bands, C = x.shape
    width, rows = index(bands * C), x.reshape(frames, bands * C)
    middle = np.empty(bands * C, x.dtype)
    sums, squares = np.empty(bands * C, x.dtype), np.empty(bands * C, x.dtype)
    for q in range(bands * C):
        middle[q] = origin[q % C]
    for start in range(0, frames, FRAMES):
        sums[:] = 0
        squares[:] = 0
        for t in range(start, min(start + FRAMES, frames)):
            row = rows[t]
            for q in range(width):
                d = row[q] - middle[q]
                sums[q] += d
                squares[q] += d * d
        for band in range(bands):
            for c in range(C):
                first[c] += sums[band * C + c]
                second[c] += squares[band * C + c]


@inlined
def track(running: Floats, batch: Floats, momentum: float) -> None:
    """Moves a running statistic (C,) towards that of the batch, as torch does."""
    for c in range(running.shape[0]):
        running[c] += momentum * (batch[c] - running[c])


# --- leaky ReLU and max pool ------------------------------------------------------------------------------

# A row of scratch memory; of constant length, so that the compiler sees what does not overlap.
ROW = 16 * 515
BESIDE = index(ROW)


@inlined
def pool_pairs(x: Floats, scale: Floats, shift: Floats, pooled: Floats, peaks: Floats) -> None:
    """pooled = leaky(max over pairs of bands of (scale x + shift)); peaks = x at the maxima.

    x (frames, bands, C); scale, shift (C,); pooled, peaks (frames, bands / 2, C).
    """
    frames, bands, C = x.shape
    real = x.dtype.type
    leak, zero, channels, width = real(SLOPE), real(0), index(C), index(bands // 2 * C)
    rows, out, kept = x.reshape(frames, -1), pooled.reshape(frames, -1), peaks.reshape(frames, -1)
    scratch = np.empty(4 * ROW, x.dtype)  # scale, shift, pooled, peaks
    for band in range(bands // 2):
        scratch[band * C : (band + 1) * C] = scale
        scratch[ROW + band * C : ROW + (band + 1) * C] = shift
    for t in range(frames):
        row = rows[t]
        for band in range(bands // 2):
            at, to = index(2 * band * C), index(band * C)
            for c in range(channels):
                low, high = row[at + c], row[at + channels + c]
                v = low * scratch[to + c] + scratch[BESIDE + to + c]
                w = high * scratch[to + c] + scratch[BESIDE + to + c]
                best = w if w > v else v
                scratch[TWO * BESIDE + to + c] = best if best > zero else best * leak
                scratch[THREE * BESIDE + to + c] = high if w > v else low
        for q in range(width):
            out[t, q] = scratch[TWO * BESIDE + q]
        for q in range(width):
            kept[t, q] = scratch[THREE * BESIDE + q]


@inlined
def pool_windows(
    x: Floats, scale: Floats, shift: Floats, pooled: Floats, peaks: Floats, chosen: NDArray[np.int32]
) -> None:
    """As ``pool_pairs``, for any windows; chosen = each maximum's place in its window, counted row by row."""
    frames, bands, C = pooled.shape
    a, b = x.shape[0] // frames, x.shape[1] // bands
    leak = x.dtype.type(SLOPE)
    for t in range(frames):
        for band in range(bands):
            best, peak, place = pooled[t, band], peaks[t, band], chosen[t, band]
            for i in range(a):
                for j in range(b):
                    row = x[t * a + i, band * b + j]
                    number = np.int32(i * b + j)
                    if number == 0:
                        for c in range(C):
                            best[c] = row[c] * scale[c] + shift[c]
                            place[c] = 0
                    else:
                        for c in range(C):
                            v = row[c] * scale[c] + shift[c]
                            above = v > best[c]
                            best[c] = v if above else best[c]
                            place[c] = number if above else place[c]
            for c in range(C):
                peak[c] = x[t * a + place[c] // b, band * b + place[c] % b, c]
                best[c] = best[c] if best[c] > 0 else best[c] * leak


@inlined
def add_pooled_sums(d_pooled: Floats, pooled: Floats, peaks: Floats, first: Floats, second: Floats) -> None:
    """Adds the sums of the gradients at the maxima, plain and times x, to first and second (C,) float64.

    d_pooled, pooled and peaks (frames, bands, C).
    """
    frames, bands, C = pooled.shape
    real = pooled.dtype.type
    leak, one, zero, width = real(SLOPE), real(1), real(0), index(bands * C)
    above, out = d_pooled.reshape(frames, bands * C), pooled.reshape(frames, bands * C)
    x = peaks.reshape(frames, bands * C)
    sums, products = np.empty(bands * C, pooled.dtype), np.empty(bands * C, pooled.dtype)
    for start in range(0, frames, FRAMES):
        sums[:] = 0
        products[:] = 0
        for t in range(start, min(start + FRAMES, frames)):
            d_row, out_row, x_row = above[t], out[t], x[t]
            for q in range(width):
                d = d_row[q] * (one if out_row[q] > zero else leak)
                sums[q] += d
                products[q] += d * x_row[q]
        for band in range(bands):
            for c in range(C):
                first[c] += sums[band * C + c]
                second[c] += products[band * C + c]


@inlined
def spread_pairs(
    d_pooled: Floats, pooled: Floats, peaks: Floats, x: Floats, terms: Floats, d_x: Floats
) -> None:
    """d_x = A d + B + E x for terms (3, C) of A, B and E: d is the gradient at the maxima, 0 elsewhere.

    Shapes as in ``pool_pairs``; d_x like x.
    """
    frames, bands, C = x.shape
    real = x.dtype.type
    leak, one, zero, channels = real(SLOPE), real(1), real(0), index(C)
    rows, written = x.reshape(frames, -1), d_x.reshape(frames, -1)
    above, out, kept = d_pooled.reshape(frames, -1), pooled.reshape(frames, -1), peaks.reshape(frames, -1)
    scratch = np.empty(4 * ROW, x.dtype)  # A, B, E, a row of d_x
    for part in range(3):
        scratch[part * ROW : part * ROW + C] = terms[part]
    for t in range(frames):
        row, d_row, out_row, peak_row = rows[t], above[t], out[t], kept[t]
        for band in range(bands // 2):
            at, to = index(2 * band * C), index(band * C)
            for c in range(channels):
                A, B, E = scratch[c], scratch[BESIDE + c], scratch[TWO * BESIDE + c]
                low, high = row[at + c], row[at + channels + c]
                d = A * d_row[to + c] * (one if out_row[to + c] > zero else leak)
                is_low = low == peak_row[to + c]
                scratch[THREE * BESIDE + at + c] = (d if is_low else zero) + B + E * low
                scratch[THREE * BESIDE + at + channels + c] = (zero if is_low else d) + B + E * high
        for q in range(index(bands * C)):
            written[t, q] = scratch[THREE * BESIDE + q]


@inlined
def spread_windows(
    d_pooled: Floats, pooled: Floats, chosen: NDArray[np.int32], x: Floats, terms: Floats, d_x: Floats
) -> None:
    """As ``spread_pairs``, for the windows of ``pool_windows``."""
    frames, bands, C = d_pooled.shape
    a, b = x.shape[0] // frames, x.shape[1] // bands
    A, B, E = terms[0], terms[1], terms[2]
    leak, one, zero = x.dtype.type(SLOPE), x.dtype.type(1), x.dtype.type(0)
    d = np.empty(C, x.dtype)
    for t in range(frames):
        for band in range(bands):
            place = chosen[t, band]
            for c in range(C):
                d[c] = A[c] * d_pooled[t, band, c] * (one if pooled[t, band, c] > zero else leak)
            for i in range(a):
                for j in range(b):
                    row, d_row = x[t * a + i, band * b + j], d_x[t * a + i, band * b + j]
                    number = np.int32(i * b + j)
                    for c in range(C):
                        d_row[c] = (d[c] if place[c] == number else zero) + B[c] + E[c] * row[c]
