"""A block of convolution, batch norm, leaky ReLU and max pool, compiled: its outputs, and its gradients.

Maps go through clip by clip, those of short clips several at a time, so that what one part writes is still in
the cache when the next reads it. Only batch norm's statistics want all clips before any can go on.
"""

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.model.compiling import Floats, compiled
from ablate.mtl.model.norms import (
    Norm,
    add_moments,
    add_pooled_sums,
    pool_pairs,
    pool_windows,
    spread_pairs,
    spread_windows,
    track,
)
from ablate.mtl.model.products import aligned, padded
from ablate.mtl.model.winograd import (
    add_filter_gradient,
    clips_together,
    convolve,
    filters_of,
    kernel_gradient,
    planes_of,
    tile_bands,
)

Pooled = tuple[Floats, Floats, NDArray[np.int32]]


@compiled
def block_forward(
    x: Floats,
    kernel: Floats,
    norm: Norm,
    numbers: tuple[float, float],
    training: bool,
    maps: Floats,
    pooled: Pooled,
    statistics: Floats,
) -> None:
    """The block of x (n_clips, frames, bands, inputs) and kernel (outputs, inputs, 3, 3).

    ``numbers`` are batch norm's epsilon and momentum. Writes maps (n_clips, frames, bands, outputs), the
    convolution; ``pooled``: the result, maps at the maxima, and the maxima's places, all of the pooled shape,
    the last without elements where windows are pairs of bands; statistics (2, outputs) float64: mean and
    deviation. In training, moves the running statistics.
    """
    n_clips, frames, bands, _ = x.shape
    n, C = tile_bands(bands), maps.shape[3]
    filters, planes = filters_of(kernel, n, False), planes_of(n, x)
    first, second, together = np.zeros(C), np.zeros(C), clips_together(frames, bands)
    for start in range(0, n_clips, together):
        end = min(start + together, n_clips)
        convolve(x[start:end], filters, planes, maps[start:end])
        if training:
            for clip in range(start, end):
                add_moments(maps[clip], maps[0, 0, 0], first, second)
    weight, bias, running_mean, running_variance = norm
    eps, momentum = numbers
    mean, variance = running_mean.astype(np.float64), running_variance.astype(np.float64)
    if training:
        count = maps.size // C
        offset = first / count
        mean, variance = maps[0, 0, 0] + offset, np.maximum(second / count - offset**2, 0)
        track(running_mean, mean, momentum)
        track(running_variance, variance * (count / max(count - 1, 1)), momentum)
    statistics[0], statistics[1] = mean, np.sqrt(variance + eps)
    scale = np.empty(C, x.dtype)
    shift = np.empty(C, x.dtype)
    for c in range(C):
        factor = weight[c] / statistics[1, c]
        scale[c], shift[c] = factor, bias[c] - factor * mean[c]
    result, peaks, chosen = pooled
    for clip in range(n_clips):
        if chosen.size == 0:
            pool_pairs(maps[clip], scale, shift, result[clip], peaks[clip])
        else:
            pool_windows(maps[clip], scale, shift, result[clip], peaks[clip], chosen[clip])


@compiled
def block_backward(
    x: Floats,
    kernel: Floats,
    weight: Floats,
    maps: Floats,
    pooled: Pooled,
    statistics: Floats,
    d_result: Floats,
    d_x: Floats,
    d_kernel: Floats,
    d_weight: Floats,
    d_bias: Floats,
) -> None:
    """Writes the gradients to x, unless d_x has no elements, to the kernel and to batch norm's parameters.

    With d the gradient at the maxima (0 elsewhere), x^ the normalised maps, n values a channel and s the
    deviation, batch norm's gradient is

        dmaps = weight / s * (d - sum(d) / n - x^ sum(d x^) / n),

    which is A d + B + E maps with numbers A, B and E for each channel.
    """
    n_clips, frames, bands, n_inputs = x.shape
    n, C = tile_bands(bands), maps.shape[3]
    result, peaks, chosen = pooled
    first, second = np.zeros(C), np.zeros(C)
    for clip in range(n_clips):
        add_pooled_sums(d_result[clip], result[clip], peaks[clip], first, second)
    mean, deviation, count = statistics[0], statistics[1], maps.size // C
    terms = np.empty((3, C), x.dtype)
    for c in range(C):
        product = (second[c] - mean[c] * first[c]) / deviation[c]  # sum(d x^)
        A = weight[c] / deviation[c]
        E = -A * product / (count * deviation[c])
        terms[0, c], terms[1, c], terms[2, c] = A, -A * first[c] / count - E * mean[c], E
        d_weight[c], d_bias[c] = product, first[c]
    back, inputs, outputs = filters_of(kernel, n, True), planes_of(n, x), planes_of(n, x)
    together = min(clips_together(frames, bands), n_clips)
    d_maps = np.empty((together, frames, bands, C), x.dtype)
    d_filters = aligned(6 * (n + 2) * n_inputs * padded(C, x), x)
    d_filters[:] = 0
    d_points = d_filters.reshape(6 * (n + 2), n_inputs, padded(C, x))
    for start in range(0, n_clips, together):
        end = min(start + together, n_clips)
        for clip in range(start, end):
            spread = d_maps[clip - start]
            if chosen.size == 0:
                spread_pairs(d_result[clip], result[clip], peaks[clip], maps[clip], terms, spread)
            else:
                spread_windows(d_result[clip], result[clip], chosen[clip], maps[clip], terms, spread)
        arriving = d_maps[: end - start]
        add_filter_gradient(x[start:end], arriving, inputs, outputs, d_points)
        if d_x.size > 0:
            convolve(arriving, back, inputs, d_x[start:end])
    kernel_gradient(d_points, d_kernel)
