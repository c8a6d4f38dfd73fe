"""Winograd's convolution is torch's, over shapes with and without whole tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ablate.mtl.model import winograd
from ablate.mtl.model.products import padded
from ablate.mtl.model.transforms import PLANE

Shape = tuple[int, int, int, int, int]  # clips, inputs, outputs, frames, bands

EXAMPLES: dict[str, Shape] = {
    "whole tiles of 4 x 4": (2, 3, 5, 8, 8),
    "outputs in a panel and a half": (2, 3, 48, 8, 8),
    "whole tiles of 4 x 2": (2, 3, 5, 8, 6),
    "frames left over": (2, 3, 5, 7, 4),
    "one frame, two bands": (1, 1, 1, 1, 2),
    "one clip of a study, full width": (1, 128, 128, 500, 8),
    "scene branch, full width": (2, 128, 256, 100, 2),
}
shapes = st.tuples(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 14), st.sampled_from([2, 4, 6, 8])
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_single_precision_is_exact_to_rounding(name: str) -> None:
    """Within 1e-4 of the largest value; torch's own, in single precision, is within 1e-5."""
    assert worst_difference(EXAMPLES[name], torch.float32) < 1e-4


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_double_precision_equals_the_definition(shape: Shape) -> None:
    assert worst_difference(shape, torch.float64) < 1e-9


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 2**32 - 1))
def test_the_three_passes_are_one_bilinear_form(shape: Shape, seed: int) -> None:
    """sum(y dy) = sum(x dx) = sum(k dk), which holds for the exact gradients of a bilinear map only."""
    x, kernel, dy = arguments(shape, torch.float64, seed)
    y, dx, d_kernel = compiled_passes(x, kernel, dy)
    expected = (y * dy).sum()
    torch.testing.assert_close((x * dx).sum(), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close((kernel * d_kernel).sum(), expected, rtol=1e-9, atol=1e-9)


def test_tiles_are_taken_in_equal_parts_that_fit_a_plane() -> None:
    """Of clips of 25 rows of 2 tiles; a plane has room for 96 tiles of 128 channels, or 24 of 512."""
    assert winograd._rows(17, 100, 8, 128) == (425, 48)  # 9 parts of at most 96 tiles
    assert winograd._rows(1, 100, 8, 128) == (25, 25)
    assert winograd._rows(1, 100, 8, 512) == (25, 9)
    assert 9 * 2 * 512 <= PLANE < 13 * 2 * 512
    assert worst_difference((1, 512, 2, 100, 8), torch.float64) < 1e-9


@pytest.mark.parametrize(("frames", "bands", "clips"), [(500, 8, 1), (20, 2, 19), (3, 2, 96)])
def test_short_clips_are_taken_together(frames: int, bands: int, clips: int) -> None:
    assert winograd.clips_together(frames, bands) == clips


@pytest.mark.parametrize(("bands", "channels"), [(3, 4), (8, 1024)])
def test_odd_bands_and_very_wide_maps_are_left_to_torch(bands: int, channels: int) -> None:
    assert not winograd.applies(bands, channels)
    assert winograd.applies(8, 256)


def test_the_same_input_gives_the_same_bits() -> None:
    x, kernel, dy = arguments((2, 16, 16, 50, 8), torch.float32, 0)
    once, again = (compiled_passes(x, kernel, dy) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


# --- helpers ----------------------------------------------------------------------------------------------


def worst_difference(shape: Shape, dtype: torch.dtype) -> float:
    """Of the output and both gradients from the definition in double precision, relative to the largest."""
    x, kernel, dy = arguments(shape, torch.float64, 0)
    expected = defined_passes(x, kernel, dy)
    actual = compiled_passes(x.to(dtype), kernel.to(dtype), dy.to(dtype))
    pairs = zip(actual, expected, strict=True)
    return max(float((a - e).abs().max() / e.abs().max()) for a, e in pairs)


def arguments(shape: Shape, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    n_clips, n_inputs, n_outputs, frames, bands = shape
    random = torch.Generator().manual_seed(seed)
    sizes = (
        (n_clips, n_inputs, frames, bands),
        (n_outputs, n_inputs, 3, 3),
        (n_clips, n_outputs, frames, bands),
    )
    x, kernel, dy = (torch.randn(size, generator=random, dtype=dtype) for size in sizes)
    return x, kernel, dy


Passes = tuple[Tensor, Tensor, Tensor]  # output, gradient to the input, gradient to the kernel


def defined_passes(x: Tensor, kernel: Tensor, dy: Tensor) -> Passes:
    x, kernel = x.clone().requires_grad_(), kernel.clone().requires_grad_()
    y = functional.conv2d(x, kernel, padding=1)
    dx, d_kernel = torch.autograd.grad(y, (x, kernel), dy)
    return y.detach(), dx, d_kernel


def compiled_passes(x: Tensor, kernel: Tensor, dy: Tensor) -> Passes:
    weights, n = kernel.numpy(), winograd.tile_bands(x.shape[3])
    ahead, back = (winograd.filters_of(weights, n, turned) for turned in (False, True))
    planes = [winograd.planes_of(n, weights) for _ in range(2)]
    maps, arriving = (tensor.permute(0, 2, 3, 1).contiguous().numpy() for tensor in (x, dy))
    y, dx, d_kernel = map(np.empty_like, (arriving, maps, weights))
    d_filters = np.zeros((len(ahead), maps.shape[3], padded(y.shape[3], weights.dtype)), weights.dtype)
    winograd.convolve(maps, ahead, planes[0], y)
    winograd.convolve(arriving, back, planes[0], dx)
    winograd.add_filter_gradient(maps, arriving, *planes, d_filters)
    winograd.kernel_gradient(d_filters, d_kernel)
    first, second = (torch.from_numpy(array).permute(0, 3, 1, 2) for array in (y, dx))
    return first, second, torch.from_numpy(d_kernel)
