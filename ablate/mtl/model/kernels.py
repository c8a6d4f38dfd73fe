"""Inner loops of the fast layers, compiled by numba: plain arrays in, plain arrays out, one thread.

Innermost loops run over channels or units, which lie next to each other in memory, so that the compiler
turns them into vector instructions. Every kernel works in float32 and in float64; ``fast`` says what each
is for and derives the backward passes.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[Any]  # float32 or float64

# Sums may be reordered and multiply-adds fused; NaN and infinity keep their meaning, so that a training
# that diverges is seen to diverge.
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": FAST_MATH}


# For indices that are computed. In numba a negative index counts from the end, and a loop in which the
# compiler cannot exclude that is not turned into vector instructions.
index = np.uint64
ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE = (index(i) for i in range(1, 10))


def compiled(function: Function) -> Function:
    """Compiles at the first call, and keeps the machine code on disk where some cache folder is writable.

    numba tries NUMBA_CACHE_DIR, ``__pycache__`` beside the source, then the user's cache folder; with none of
    them it refuses, and each process compiles for itself.
    """
    try:
        kernel: Any = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        kernel = njit(**OPTIONS)(function)
    return cast(Function, kernel)


# --- the logistic function, so that it vectorises ---------------------------------------------------------

LIMIT = 80  # exp(80) is finite in float32
LOG2_E = math.log2(math.e)
LN2_HIGH = 0.693359375  # ln 2 in two parts: the first has few bits, so that n * LN2_HIGH is exact
LN2_LOW = math.log(2) - LN2_HIGH


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x)), with |x| beyond LIMIT counted as it; NaN stays NaN.

    In float32: exp(x) = 2^n exp(r) with n = round(x / ln 2), so |r| < 0.35, where Taylor's series to r^7 is
    exact to rounding; 2^n is made of a float's exponent bits. In float64: the C library's exp.
    """
    raise NotImplementedError("compiled code only")


@overload(logistic)
def _logistic(x: Any) -> Any:
    return _logistic_float64 if x == types.float64 else _logistic_float32


def _logistic_float64(x: Any) -> Any:
    x = -LIMIT if x < -LIMIT else x
    x = LIMIT if x > LIMIT else x
    return 1 / (1 + math.exp(-x))


def _logistic_float32(x: Any) -> Any:
    one, limit = np.float32(1), np.float32(LIMIT)
    v = -x
    v = -limit if v < -limit else v
    v = limit if v > limit else v
    n = np.floor(v * np.float32(LOG2_E) + np.float32(0.5))
    r = (v - n * np.float32(LN2_HIGH)) - n * np.float32(LN2_LOW)
    series = np.float32(1 / 5040)
    series = series * r + np.float32(1 / 720)
    series = series * r + np.float32(1 / 120)
    series = series * r + np.float32(1 / 24)
    series = series * r + np.float32(1 / 6)
    series = series * r + np.float32(1 / 2)
    series = series * r + one
    series = series * r + one
    power = np.int32((np.int32(n) + 127) << 23).view(np.float32)
    return one / (one + series * power)


# --- the bidirectional GRU --------------------------------------------------------------------------------

CLIPS = 4  # taken through time together, so that a weight is loaded once for all of them
UNITS = 128  # of one direction, at most
# Scratch memory has a row for each clip, of eight sections. The distances are constants, so that the compiler
# sees what does not overlap; and no power of two, since addresses that far apart share places in the cache.
SECTION = index(144)
PITCH = index(8 * 144)


@compiled
def gru_forward(
    projected: Floats, recurrent: Floats, biases: Floats, states: Floats, before: Floats, saved: Floats
) -> None:
    """Steps both directions through time.

    projected (n_clips, frames, 2, 3H): W x of r, z and n; recurrent (2, H, 3H): the transposed recurrent
    weights; biases (2, 4H): of r, z, n, and of n's recurrent part; H is UNITS at most. Writes states and
    before (n_clips, frames, 2, H), the states after and before each frame, and saved (n_clips, frames, 2,
    4H): r, z, n and the recurrent part of n, for the backward pass.

    Clips that are missing to a multiple of CLIPS are the last one again, which writes the same values.
    """
    n_clips, frames, _, n_gates = projected.shape
    H = n_gates // 3
    units, real = index(H), projected.dtype.type
    two, one = real(2), real(1)
    scratch = np.empty(CLIPS * PITCH, real)  # sections: three gates' sums; r, z, n and n's part; the state
    for first in range(0, n_clips, CLIPS):
        for direction in range(2):
            weights, bias = recurrent[direction].reshape(-1), biases[direction]
            scratch[:] = 0
            for step in range(frames):
                t = step if direction == 0 else frames - 1 - step
                for gate in range(THREE):
                    _add_products(
                        scratch,
                        gate * SECTION,
                        SEVEN * SECTION,
                        weights[gate * units :],
                        THREE * units,
                        units,
                    )
                for k in range(CLIPS):
                    clip = min(first + k, n_clips - 1)
                    inputs, s = projected[clip, t, direction], scratch[index(k) * PITCH :]
                    for j in range(units):
                        before[clip, t, direction, j] = s[SEVEN * SECTION + j]
                    for j in range(units):
                        r = logistic(inputs[j] + bias[j] + s[j])
                        z = logistic(inputs[units + j] + bias[units + j] + s[SECTION + j])
                        m = s[TWO * SECTION + j] + bias[THREE * units + j]
                        # The hyperbolic tangent of n's sum.
                        n = (
                            two * logistic(two * (inputs[TWO * units + j] + bias[TWO * units + j] + r * m))
                            - one
                        )
                        s[THREE * SECTION + j] = r
                        s[FOUR * SECTION + j] = z
                        s[FIVE * SECTION + j] = n
                        s[SIX * SECTION + j] = m
                        s[SEVEN * SECTION + j] = n + z * (s[SEVEN * SECTION + j] - n)
                        s[j] = 0
                        s[SECTION + j] = 0
                        s[TWO * SECTION + j] = 0
                    for j in range(units):
                        states[clip, t, direction, j] = s[SEVEN * SECTION + j]
                    kept = saved[clip, t, direction]
                    for part in range(FOUR):
                        for j in range(units):
                            kept[part * units + j] = s[(THREE + part) * SECTION + j]


@compiled
def gru_backward(
    d_states: Floats, before: Floats, saved: Floats, weights: Floats, d_inputs: Floats, d_recurrent: Floats
) -> None:
    """Steps both directions back through time.

    d_states, before (n_clips, frames, 2, H); before and saved as ``gru_forward`` left them; weights
    (2, 3H, H): the recurrent weights. Writes the gradients of the gates' sums: d_inputs (n_clips, frames, 2,
    3H) and, where it differs on the recurrent side, in n, d_recurrent (n_clips, frames, 2, H).
    """
    n_clips, frames, _, H = before.shape
    units, real = index(H), before.dtype.type
    one = real(1)
    scratch = np.empty(CLIPS * PITCH, real)  # sections: r, z, n, n's part; the state
    for first in range(0, n_clips, CLIPS):
        for direction in range(2):
            matrix = weights[direction].reshape(-1)
            scratch[:] = 0
            for step in range(frames - 1, -1, -1):
                t = step if direction == 0 else frames - 1 - step
                for k in range(CLIPS):
                    clip = min(first + k, n_clips - 1)
                    h, arriving = before[clip, t, direction], d_states[clip, t, direction]
                    kept, s = saved[clip, t, direction], scratch[index(k) * PITCH :]
                    for j in range(units):
                        r, z = kept[j], kept[units + j]
                        n, m = kept[TWO * units + j], kept[THREE * units + j]
                        d = s[FOUR * SECTION + j] + arriving[j]
                        d_n = d * (one - z) * (one - n * n)
                        s[j] = d_n * m * r * (one - r)
                        s[SECTION + j] = d * (h[j] - n) * z * (one - z)
                        s[TWO * SECTION + j] = d_n * r
                        s[THREE * SECTION + j] = d_n
                        s[FOUR * SECTION + j] = d * z
                    outside, inside = d_inputs[clip, t, direction], d_recurrent[clip, t, direction]
                    for j in range(units):
                        outside[j] = s[j]
                    for j in range(units):
                        outside[units + j] = s[SECTION + j]
                    for j in range(units):
                        outside[TWO * units + j] = s[THREE * SECTION + j]
                    for j in range(units):
                        inside[j] = s[TWO * SECTION + j]
                for gate in range(THREE):
                    _add_products(
                        scratch, FOUR * SECTION, gate * SECTION, matrix[gate * units * units :], units, units
                    )


@compiled
def _add_products(scratch: Floats, to: Any, at: Any, weights: Floats, step: Any, n: Any) -> None:
    """For each clip's row s of scratch: s[to : to + n] += s[at : at + n] @ W.

    W is (n, n), its rows ``step`` apart in weights. Four rows at a time, to load the sums a quarter as often.
    """
    s0, s1 = scratch, scratch[PITCH:]
    s2, s3 = scratch[TWO * PITCH :], scratch[THREE * PITCH :]
    whole = n - n % FOUR
    for i in range(index(0), whole, FOUR):
        a = at + i
        a0, a1, a2, a3 = s0[a], s1[a], s2[a], s3[a]
        b0, b1, b2, b3 = s0[a + ONE], s1[a + ONE], s2[a + ONE], s3[a + ONE]
        c0, c1, c2, c3 = s0[a + TWO], s1[a + TWO], s2[a + TWO], s3[a + TWO]
        d0, d1, d2, d3 = s0[a + THREE], s1[a + THREE], s2[a + THREE], s3[a + THREE]
        row = i * step
        for j in range(n):
            w0, w1 = weights[row + j], weights[row + step + j]
            w2, w3 = weights[row + TWO * step + j], weights[row + THREE * step + j]
            s0[to + j] += a0 * w0 + b0 * w1 + c0 * w2 + d0 * w3
            s1[to + j] += a1 * w0 + b1 * w1 + c1 * w2 + d1 * w3
            s2[to + j] += a2 * w0 + b2 * w1 + c2 * w2 + d2 * w3
            s3[to + j] += a3 * w0 + b3 * w1 + c3 * w2 + d3 * w3
    for i in range(whole, n):
        for k in range(index(CLIPS)):
            x = scratch[k * PITCH + at + i]
            for j in range(n):
                scratch[k * PITCH + to + j] += x * weights[i * step + j]


# --- batch norm, leaky ReLU and max pool ------------------------------------------------------------------


@compiled
def channel_moments(x: Floats, origin: Floats, first: Floats, second: Floats) -> None:
    """Sums of (x - origin) and of its square over clips, frames and bands.

    x (n_clips, frames, bands, C); origin (C,), somewhere near x, against cancellation. Writes first and
    second (C,) float64: partial sums of one frame are of x's type, their totals in double precision.
    """
    n_clips, frames, bands, C = x.shape
    sums, squares = np.empty(C, x.dtype), np.empty(C, x.dtype)
    first[:] = 0
    second[:] = 0
    for clip in range(n_clips):
        for t in range(frames):
            sums[:] = 0
            squares[:] = 0
            for band in range(bands):
                for c in range(C):
                    d = x[clip, t, band, c] - origin[c]
                    sums[c] += d
                    squares[c] += d * d
            for c in range(C):
                first[c] += sums[c]
                second[c] += squares[c]


@compiled
def pool_forward(
    x: Floats, scale: Floats, shift: Floats, slope: float, pooled: Floats, chosen: NDArray[np.int32]
) -> None:
    """pooled = leaky(max over windows of (scale x + shift)); chosen = each maximum's place in its window.

    x (n_clips, frames, bands, C); scale, shift (C,); pooled, chosen (n_clips, frames / a, bands / b, C) for
    windows of a x b, whose places count row by row.
    """
    n_clips, frames, bands, C = pooled.shape
    a, b = x.shape[1] // frames, x.shape[2] // bands
    leak = x.dtype.type(slope)
    for clip in range(n_clips):
        for t in range(frames):
            for band in range(bands):
                best, place = pooled[clip, t, band], chosen[clip, t, band]
                for i in range(a):
                    for j in range(b):
                        row = x[clip, t * a + i, band * b + j]
                        index = np.int32(i * b + j)
                        if index == 0:
                            for c in range(C):
                                best[c] = row[c] * scale[c] + shift[c]
                                place[c] = 0
                        else:
                            for c in range(C):
                                v = row[c] * scale[c] + shift[c]
                                above = v > best[c]
                                best[c] = v if above else best[c]
                                place[c] = index if above else place[c]
                for c in range(C):
                    best[c] = best[c] if best[c] > 0 else best[c] * leak


@compiled
def pool_backward_sums(
    d_pooled: Floats,
    pooled: Floats,
    chosen: NDArray[np.int32],
    x: Floats,
    slope: float,
    d_chosen: Floats,
    first: Floats,
    second: Floats,
) -> None:
    """The gradient at each window's maximum, d_chosen, and its sums, plain and times x.

    Shapes as in ``pool_forward``. Writes d_chosen (shape of pooled), first and second (C,) float64.
    """
    n_clips, frames, bands, C = pooled.shape
    a, b = x.shape[1] // frames, x.shape[2] // bands
    leak, one, zero = x.dtype.type(slope), x.dtype.type(1), x.dtype.type(0)
    sums, products = np.empty(C, x.dtype), np.empty(C, x.dtype)
    first[:] = 0
    second[:] = 0
    for clip in range(n_clips):
        for t in range(frames):
            sums[:] = 0
            products[:] = 0
            for band in range(bands):
                d, place = d_chosen[clip, t, band], chosen[clip, t, band]
                for c in range(C):
                    d[c] = d_pooled[clip, t, band, c] * (one if pooled[clip, t, band, c] > 0 else leak)
                    sums[c] += d[c]
                for i in range(a):
                    for j in range(b):
                        row = x[clip, t * a + i, band * b + j]
                        index = np.int32(i * b + j)
                        for c in range(C):
                            products[c] += (d[c] if place[c] == index else zero) * row[c]
            for c in range(C):
                first[c] += sums[c]
                second[c] += products[c]


@compiled
def pool_backward(
    d_chosen: Floats, chosen: NDArray[np.int32], x: Floats, terms: tuple[Floats, Floats, Floats], d_x: Floats
) -> None:
    """d_x = A d + B + E x for terms A, B, E (C,): d is d_chosen at the maxima and 0 elsewhere."""
    n_clips, frames, bands, C = d_chosen.shape
    a, b = x.shape[1] // frames, x.shape[2] // bands
    A, B, E = terms
    zero = x.dtype.type(0)
    for clip in range(n_clips):
        for t in range(frames):
            for band in range(bands):
                d, place = d_chosen[clip, t, band], chosen[clip, t, band]
                for i in range(a):
                    for j in range(b):
                        row = x[clip, t * a + i, band * b + j]
                        d_row = d_x[clip, t * a + i, band * b + j]
                        index = np.int32(i * b + j)
                        for c in range(C):
                            d_row[c] = A[c] * (d[c] if place[c] == index else zero) + B[c] + E[c] * row[c]


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
