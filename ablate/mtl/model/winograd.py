"""3x3 convolutions as matrix products, by Winograd's minimal filtering (Lavin and Gray 2016, F(m, 3)).

A tile of 4 frames by n bands of the output (n = 2 or 4) depends on 6 by n + 2 places of the input. Both are
transformed so that the convolution is one product for each of p = 6 (n + 2) points, and all tiles together
are p matrix products of (tiles, inputs) and (inputs, outputs), which run at nearly the machine's peak:

    y = A' ((B' x B) * (G w G')) A

with 6 (n + 2) products for 4n outputs where the definition has 36n: a quarter (n = 4) or a third. The
gradient to the weights has the same two factors in other roles, dw = G' sum((B' x B) * (A dy A')) G over all
tiles, and the gradient to the input is the convolution of dy with the weights turned round.

Tiles are taken so many at a time that they stay in the processor's cache between transform and product.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ablate.mtl.model.transforms import (
    FRAMES,
    PLANE,
    ROW,
    spread_outputs,
    transform_inputs,
    transform_outputs,
)

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


def applies(x: Tensor, kernel: Tensor) -> bool:
    """Whether ``convolve`` takes these: an even number of bands, a row of tiles within scratch memory."""
    bands, channels = x.shape[3], max(kernel.shape[:2])
    return bands % 2 == 0 and (bands + 2) * channels <= ROW


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """``conv2d(x, kernel, padding=1)``, with maps that lie in memory channels last.

    x (n_clips, inputs, frames, bands), kernel (outputs, inputs, 3, 3).
    """
    y: Tensor = _Convolution.apply(x, kernel)  # type: ignore[no-untyped-call]
    return y


class _Convolution(torch.autograd.Function):
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
        turned = kernel.flip(2, 3).transpose(0, 1)
        return _convolved(dy, turned).permute(0, 3, 1, 2), d_kernel


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """(n_clips, frames, bands, inputs) -> (n_clips, frames, bands, outputs)."""
    n_outputs, n_inputs = kernel.shape[:2]
    n = _tile_bands(x)
    G = _filter_points(n, x.dtype)
    filters = (G @ kernel.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, n_inputs, n_outputs)
    y = x.new_empty(*x.shape[:3], n_outputs)
    inputs, outputs = (x.new_empty(len(G), PLANE) for _ in range(2))
    for start, rows, n_tiles in _blocks(x, max(n_inputs, n_outputs)):
        transform_inputs(x.numpy(), n, start, rows, inputs.numpy())
        torch.bmm(_tiles(inputs, n_tiles, n_inputs), filters, out=_tiles(outputs, n_tiles, n_outputs))
        transform_outputs(outputs.numpy(), n, start, rows, y.numpy())
    return y


def _gradient_to_kernel(x: Tensor, dy: Tensor) -> Tensor:
    """(outputs, inputs, 3, 3)."""
    n_inputs, n_outputs = x.shape[3], dy.shape[3]
    n = _tile_bands(x)
    G = _filter_points(n, x.dtype)
    d_filters = x.new_zeros(len(G), n_inputs, n_outputs)
    inputs, outputs = (x.new_empty(len(G), PLANE) for _ in range(2))
    for start, rows, n_tiles in _blocks(x, max(n_inputs, n_outputs)):
        transform_inputs(x.numpy(), n, start, rows, inputs.numpy())
        spread_outputs(dy.numpy(), n, start, rows, outputs.numpy())
        tiles = _tiles(inputs, n_tiles, n_inputs).transpose(1, 2)
        d_filters.baddbmm_(tiles, _tiles(outputs, n_tiles, n_outputs))
    return (G.T @ d_filters.flatten(1)).view(3, 3, n_inputs, n_outputs).permute(3, 2, 0, 1)


def _tile_bands(x: Tensor) -> int:
    """n for maps (n_clips, frames, bands, channels)."""
    return 4 if x.shape[2] % 4 == 0 else 2


@cache
def _filter_points(n: int, dtype: torch.dtype) -> Tensor:
    """(p, 9): the points of a filter from its taps."""
    frames, bands = (torch.tensor(FILTER_POINTS[size], dtype=torch.float64) for size in (FRAMES, n))
    return torch.kron(frames, bands).to(dtype)


def _blocks(x: Tensor, channels: int) -> Iterator[tuple[int, int, int]]:
    """First row of tiles, number of rows and of tiles: as many rows at a time as fit into a plane."""
    n_clips, frames, bands, _ = x.shape
    total, tiles_a_row = n_clips * -(-frames // FRAMES), bands // _tile_bands(x)
    most = PLANE // (tiles_a_row * channels)
    for start in range(0, total, most):
        rows = min(most, total - start)
        yield start, rows, rows * tiles_a_row


def _tiles(planes: Tensor, n_tiles: int, channels: int) -> Tensor:
    """The part of the planes that is in use: (p, n_tiles, channels)."""
    return planes.as_strided((len(planes), n_tiles, channels), (PLANE, channels, 1))
