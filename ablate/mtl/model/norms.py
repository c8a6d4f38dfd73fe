"""Batch norm, leaky ReLU, max pool, and the first block, compiled; ``fast`` derives the backward passes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.model.compiling import (
    EIGHT,
    FIVE,
    FOUR,
    NINE,
    ONE,
    SEVEN,
    SIX,
    THREE,
    TWO,
    Floats,
    compiled,
    index,
)

SLOPE = 0.01  # torch's default for leaky ReLU
FRAMES = 16  # summed in x's own type before they are added up in double precision

# --- batch norm -------------------------------------------------------------------------------------------


@compiled
def add_moments(x: Floats, origin: Floats, first: Floats, second: Floats) -> None:
    """Adds the sums of (x - origin) and of its square over frames and bands to first and second (C,) float64.

    x (frames, bands, C); origin (C,), somewhere near x, against cancellation.
    """
    frames, bands, C = x.shape
    width, real = index(bands * C), x.dtype.type
    rows = x.reshape(frames, bands * C)
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


@compiled
def track(running: Floats, batch: Floats, momentum: float) -> None:
    """Moves a running statistic (C,) towards that of the batch, as torch does."""
    for c in range(running.shape[0]):
        running[c] += momentum * (batch[c] - running[c])


# --- leaky ReLU and max pool ------------------------------------------------------------------------------

# A row of scratch memory; of constant length, so that the compiler sees what does not overlap.
ROW = 16 * 515
BESIDE = index(ROW)


@compiled
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


@compiled
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


@compiled
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


@compiled
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


@compiled
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


# --- the first block: one input channel -------------------------------------------------------------------

BORDER = 2  # zeros around the features: one for the convolution, one more for patch_moments
WIDEST = 1040  # channels at most: the distance between sums in ``patch_backward``
WIDE = index(WIDEST)
WINDOW = 8  # bands that the first max pool makes one of; a constant, so that its loop is unrolled


@compiled
def patch_moments(padded: Floats, first: Floats, second: Floats) -> None:
    """Sums of the 3x3 patches around every place, and of their products, over all clips, frames and bands.

    padded (n_clips, frames + 4, bands + 4): features within a border of zeros. Writes first (9,) and
    second (9, 9) float64.

    Summed over every place whose patch touches the features, the product of elements p and q is the
    features' autocorrelation at the lag from p to q, which is 15 numbers for 45 products. Places outside
    the features, a ring one wide, count among these; they are taken off again.
    """
    n_clips, rows, columns = padded.shape
    bands, total = columns - 2 * BORDER, 0.0
    correlation = np.zeros((3, 5))  # at lags of 0 to 2 frames and -2 to 2 bands
    outside, outside_products = np.zeros(9), np.zeros((9, 9))
    for clip in range(n_clips):
        for t in range(BORDER, rows - BORDER):
            row = padded[clip, t, BORDER : BORDER + bands]
            for f in range(bands):
                total += row[f]
            for lag in range(15):
                other = padded[clip, t + lag // 5, lag % 5 : lag % 5 + bands]
                product = padded.dtype.type(0)
                for f in range(bands):
                    product += row[f] * other[f]
                correlation[lag // 5, lag % 5] += product
        for t in range(rows - 2):
            for f in range(0, columns - 2, 1 if t in (0, rows - 3) else columns - 3):
                _add_patch(padded[clip, t : t + 3, f : f + 3], outside, outside_products)
    for p in range(9):
        first[p] = total - outside[p]
        for q in range(p, 9):
            second[p, q] = correlation[q // 3 - p // 3, q % 3 - p % 3 + 2] - outside_products[p, q]
            second[q, p] = second[p, q]


@compiled
def _add_patch(patch: Floats, first: Floats, second: Floats) -> None:
    """Adds a patch (3, 3) to first (9,) and its products, where p <= q, to second (9, 9)."""
    for p in range(9):
        v = patch[p // 3, p % 3]
        if v != 0:
            first[p] += v
            for q in range(p, 9):
                second[p, q] += v * patch[q // 3, q % 3]


@compiled
def patch_forward(
    padded: Floats, weights: Floats, shift: Floats, slope: float, pooled: Floats, chosen: NDArray[np.int32]
) -> None:
    """pooled = leaky(max over 8 bands of (patch @ weights) + shift); chosen = each maximum's place.

    padded as in ``patch_moments``; weights (9, C), shift (C,); pooled, chosen (n_clips, frames, windows, C).
    """
    n_clips, frames, windows, C = pooled.shape
    leak = padded.dtype.type(slope)
    x = np.empty((3, WINDOW + 2), padded.dtype)
    for clip in range(n_clips):
        for t in range(frames):
            for window in range(windows):
                out, place = pooled[clip, t, window], chosen[clip, t, window]
                for i in range(3):
                    for j in range(WINDOW + 2):
                        x[i, j] = padded[clip, t + 1 + i, window * WINDOW + 1 + j]
                for c in range(C):
                    k0, k1, k2 = weights[0, c], weights[1, c], weights[2, c]
                    k3, k4, k5 = weights[3, c], weights[4, c], weights[5, c]
                    k6, k7, k8 = weights[6, c], weights[7, c], weights[8, c]
                    best = x[0, 0] * k0 + x[0, 1] * k1 + x[0, 2] * k2
                    best += x[1, 0] * k3 + x[1, 1] * k4 + x[1, 2] * k5
                    best += x[2, 0] * k6 + x[2, 1] * k7 + x[2, 2] * k8
                    best_j = np.int32(0)
                    for j in range(1, WINDOW):
                        v = x[0, j] * k0 + x[0, j + 1] * k1 + x[0, j + 2] * k2
                        v += x[1, j] * k3 + x[1, j + 1] * k4 + x[1, j + 2] * k5
                        v += x[2, j] * k6 + x[2, j + 1] * k7 + x[2, j + 2] * k8
                        higher = v > best
                        best = v if higher else best
                        best_j = np.int32(j) if higher else best_j
                    best += shift[c]
                    out[c] = best if best > 0 else best * leak
                    place[c] = best_j


@compiled
def patch_backward(
    d_pooled: Floats,
    pooled: Floats,
    chosen: NDArray[np.int32],
    padded: Floats,
    slope: float,
    first: Floats,
    second: Floats,
) -> None:
    """Sums, over windows, of the gradient at the maximum, plain and times the maximum's patch.

    Shapes as in ``patch_forward``. Writes first (C,) and second (9, C) float64.
    """
    n_clips, frames, windows, C = pooled.shape
    leak, one, zero = padded.dtype.type(slope), padded.dtype.type(1), padded.dtype.type(0)
    channels = index(C)
    sums = np.empty(10 * WIDEST, padded.dtype)  # of the gradient, then of its products with the patch
    first[:] = 0
    second[:] = 0
    for clip in range(n_clips):
        for t in range(frames):
            for p in range(10):
                sums[p * WIDEST : p * WIDEST + C] = 0
            for window in range(windows):
                place, gradient, maximum = (
                    chosen[clip, t, window],
                    d_pooled[clip, t, window],
                    pooled[clip, t, window],
                )
                above = padded[clip, t + 1, window * WINDOW + 1 :]
                here = padded[clip, t + 2, window * WINDOW + 1 :]
                below = padded[clip, t + 3, window * WINDOW + 1 :]
                for c in range(channels):
                    d = gradient[c] * (one if maximum[c] > 0 else leak)
                    p0 = p1 = p2 = p3 = p4 = p5 = p6 = p7 = p8 = zero
                    for j in range(WINDOW):
                        e = d if place[c] == j else zero
                        p0 += e * above[j]
                        p1 += e * above[j + 1]
                        p2 += e * above[j + 2]
                        p3 += e * here[j]
                        p4 += e * here[j + 1]
                        p5 += e * here[j + 2]
                        p6 += e * below[j]
                        p7 += e * below[j + 1]
                        p8 += e * below[j + 2]
                    sums[c] += d
                    sums[ONE * WIDE + c] += p0
                    sums[TWO * WIDE + c] += p1
                    sums[THREE * WIDE + c] += p2
                    sums[FOUR * WIDE + c] += p3
                    sums[FIVE * WIDE + c] += p4
                    sums[SIX * WIDE + c] += p5
                    sums[SEVEN * WIDE + c] += p6
                    sums[EIGHT * WIDE + c] += p7
                    sums[NINE * WIDE + c] += p8
            for c in range(C):
                first[c] += sums[c]
                for p in range(9):
                    second[p, c] += sums[(p + 1) * WIDEST + c]
