"""The first block, compiled: features have one channel, and want no gradient.

A 3x3 patch p (9,) of the features has mean m and covariance S over the batch, so the convolution w.p has mean
w.m and variance w.S w. Its full-size output (C x frames x bands a clip) is never stored, and only one place
in eight, the maximum, has a gradient. With d that gradient, x^ the normalised convolution, s its deviation,

    dw = weight / s * (sum(d p) - m sum(d) - S w / s * sum(d x^)),

where only sum(d) and sum(d p) run over data, over the maxima alone; sum(d x^) follows from the two.
"""

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
    inlined,
)
from ablate.mtl.model.norms import SLOPE, Norm, track

BORDER = 2  # zeros around the features: one for the convolution, one more for patch_moments
WIDEST = 1040  # channels at most: the distance between sums in ``patch_backward``
WIDE = index(WIDEST)
WINDOW = 8  # bands that the first max pool makes one of; a constant, so that its loop is unrolled

# Of the patches, mean (9,) and covariance (9, 9); of the convolution, (2, C): deviation and scale; float64.
Statistics = tuple[Floats, Floats, Floats]


@compiled
def first_forward(
    features: Floats,
    kernel: Floats,
    norm: Norm,
    numbers: tuple[float, float],
    training: bool,
    padded: Floats,
    pooled: Floats,
    chosen: NDArray[np.int32],
    statistics: Statistics,
) -> None:
    """The block of features (n_clips, frames, bands) and kernel (C, 1, 3, 3).

    norm and numbers are as in ``blocks``. Writes padded (n_clips, frames + 4, bands + 4), the features within
    a border of zeros; pooled and chosen (n_clips, frames, bands / WINDOW, C), the result and each maximum's
    place in its window; and statistics. In training, moves the running statistics.
    """
    _, frames, bands = features.shape
    padded[:] = 0
    padded[:, BORDER : BORDER + frames, BORDER : BORDER + bands] = features
    taps = kernel.reshape(-1, 9).astype(np.float64)
    weight, bias, running_mean, running_variance = norm
    eps, momentum = numbers
    mean, variance = running_mean.astype(np.float64), running_variance.astype(np.float64)
    m, S, of_channels = statistics
    if training:
        patch_moments(padded, m, S)
        _normalise(m, S, features.size)
        for c in range(len(taps)):
            mean[c], variance[c] = _of_convolution(taps[c], m, S)
        track(running_mean, mean, momentum)
        track(running_variance, variance * (features.size / max(features.size - 1, 1)), momentum)
    weights, shift = np.empty((9, len(taps)), features.dtype), np.empty(len(taps), features.dtype)
    for c in range(len(taps)):
        deviation = np.sqrt(variance[c] + eps)
        scale = weight[c] / deviation
        of_channels[0, c], of_channels[1, c] = deviation, scale
        shift[c] = bias[c] - scale * mean[c]
        for tap in range(9):
            weights[tap, c] = scale * taps[c, tap]
    patch_forward(padded, weights, shift, pooled, chosen)


@compiled
def first_backward(
    d_pooled: Floats,
    padded: Floats,
    kernel: Floats,
    pooled: Floats,
    chosen: NDArray[np.int32],
    statistics: Statistics,
    d_kernel: Floats,
    d_weight: Floats,
    d_bias: Floats,
) -> None:
    """Writes the gradients to the kernel and to batch norm's parameters; arguments of ``first_forward``."""
    C = kernel.shape[0]
    taps, d_taps = kernel.reshape(C, 9).astype(np.float64), d_kernel.reshape(C, 9)
    first, second = np.empty(C), np.empty((9, C))
    patch_backward(d_pooled, pooled, chosen, padded, first, second)
    m, S, of_channels = statistics
    for c in range(C):
        deviation, scale = of_channels[0, c], of_channels[1, c]
        product = 0.0  # sum(d x^)
        for tap in range(9):
            product += taps[c, tap] * (second[tap, c] - m[tap] * first[c]) / deviation
        for tap in range(9):
            spread = 0.0
            for other in range(9):
                spread += S[tap, other] * taps[c, other]
            d_taps[c, tap] = scale * (second[tap, c] - m[tap] * first[c] - spread * product / deviation)
        d_weight[c], d_bias[c] = product, first[c]


@inlined
def _normalise(m: Floats, S: Floats, count: int) -> None:
    """From sums of patches and of their products to mean and covariance."""
    for p in range(9):
        m[p] /= count
    for p in range(9):
        for q in range(9):
            S[p, q] = S[p, q] / count - m[p] * m[q]


@inlined
def _of_convolution(taps: Floats, m: Floats, S: Floats) -> tuple[float, float]:
    """Mean and variance of the convolution with taps (9,)."""
    mean, variance = 0.0, 0.0
    for p in range(9):
        mean += taps[p] * m[p]
        for q in range(9):
            variance += taps[p] * S[p, q] * taps[q]
    return mean, max(variance, 0.0)


@inlined
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


@inlined
def _add_patch(patch: Floats, first: Floats, second: Floats) -> None:
    """Adds a patch (3, 3) to first (9,) and its products, where p <= q, to second (9, 9)."""
    for p in range(9):
        v = patch[p // 3, p % 3]
        if v != 0:
            first[p] += v
            for q in range(p, 9):
                second[p, q] += v * patch[q // 3, q % 3]


@inlined
def patch_forward(
    padded: Floats, weights: Floats, shift: Floats, pooled: Floats, chosen: NDArray[np.int32]
) -> None:
    """pooled = leaky(max over 8 bands of (patch @ weights) + shift); chosen = each maximum's place.

    padded as in ``patch_moments``; weights (9, C), shift (C,); pooled, chosen (n_clips, frames, windows, C).
    """
    n_clips, frames, windows, C = pooled.shape
    leak = padded.dtype.type(SLOPE)
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


@inlined
def patch_backward(
    d_pooled: Floats,
    pooled: Floats,
    chosen: NDArray[np.int32],
    padded: Floats,
    first: Floats,
    second: Floats,
) -> None:
    """Sums, over windows, of the gradient at the maximum, plain and times the maximum's patch.

    Shapes as in ``patch_forward``. Writes first (C,) and second (9, C) float64.
    """
    n_clips, frames, windows, C = pooled.shape
    leak, one, zero = padded.dtype.type(SLOPE), padded.dtype.type(1), padded.dtype.type(0)
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
