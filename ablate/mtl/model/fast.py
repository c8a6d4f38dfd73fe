"""The layers of ``layers`` for a CPU: the same outputs, gradients and running statistics, but faster.

What makes torch's own slow here, and what is done instead:

- autograd unrolls a GRU into 14,000 tiny operations a batch. Here it is one function: the inputs of all
  frames are projected in one matrix product, a compiled loop steps through time, and the gradients of the
  weights are one matrix product each at the end.
- a 3x3 convolution computed as defined takes three to four times the multiplications that it needs; see
  ``winograd``.
- leaky ReLU is monotone, so it commutes with max pooling: pool first. Normalising, pooling and the leaky ReLU
  then are one pass over the convolution's output.
- the first convolution has one input channel, so its output's mean and variance follow from the mean and the
  covariance of the 3x3 patches of the input (9 and 9 x 9 numbers). Its full-size output (C x 500 x 64 a clip)
  is never stored, and only one position in eight, the maximum, has a gradient.

Maps lie in memory channels last, (n_clips, frames, bands, channels), behind torch's usual order of axes.
On other devices and types, and where gradients are wanted in evaluation mode, the plain layers do the work.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ablate.mtl.model import blocks, norms, recurrence, winograd
from ablate.mtl.model.layers import BiGru, ConvBlock
from ablate.mtl.model.products import padded


class FastConvBlock(ConvBlock):
    """The block as one function."""

    def forward(self, x: Tensor) -> Tensor:
        channels = max(self.conv.in_channels, self.conv.out_channels)
        if not (self._applies(x) and winograd.applies(x.shape[3], channels)):
            return super().forward(x)
        return _applied(_Block, x, self.conv.weight, self.norm.weight, self.norm.bias, self)

    def window(self, x: Tensor) -> tuple[int, int]:
        """The window of the max pool, in frames and bands."""
        return self.pool or (x.shape[2], x.shape[3])

    def _applies(self, x: Tensor) -> bool:
        divides = self.pool is None or (x.shape[2] % self.pool[0] == 0 and x.shape[3] % self.pool[1] == 0)
        return divides and _compilable(x) and (self.training or not torch.is_grad_enabled())


class FastFirstBlock(FastConvBlock):
    """For the features themselves, which have one channel and want no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        expected = self.conv.in_channels == 1 and self.pool == (1, norms.WINDOW)
        narrow = self.conv.out_channels <= norms.WIDEST
        if not (expected and narrow and self._applies(x)) or x.requires_grad:
            return ConvBlock.forward(self, x)
        return _applied(_FirstBlock, x, self.conv.weight, self.norm.weight, self.norm.bias, self)


class FastBiGru(BiGru):
    """Both directions as one autograd function."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if not _compilable(x) or self.hidden_size > recurrence.UNITS:
            return super().forward(x)
        return _applied(_BiGru, x, *self.all_weights[0], *self.all_weights[1])


def _compilable(x: Tensor) -> bool:
    plain_types = (torch.float32, torch.float64)
    return x.device.type == "cpu" and x.dtype in plain_types and not torch.is_autocast_enabled("cpu")


def _applied(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    result: Tensor = function.apply(*inputs)  # type: ignore[no-untyped-call]
    return result


def _array(x: Tensor) -> NDArray[Any]:
    """The same memory as numpy sees it; copied only where it is not contiguous."""
    return x.detach().contiguous().numpy()


def _last(x: Tensor) -> Tensor:
    """(n_clips, channels, frames, bands) seen as (n_clips, frames, bands, channels)."""
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    """(n_clips, frames, bands, channels) seen as (n_clips, channels, frames, bands)."""
    return x.permute(0, 3, 1, 2)


# --- batch norm -------------------------------------------------------------------------------------------


class _Statistics(NamedTuple):
    """What batch norm normalises with: (channels,) float64, and the number of values behind them."""

    mean: Tensor
    variance: Tensor
    n: int

    def scale_and_shift(self, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        """Batch norm as scale * x + shift."""
        scale = norm.weight.detach().double() / self.deviation(norm)
        return scale, norm.bias.detach().double() - scale * self.mean

    def deviation(self, norm: nn.BatchNorm2d) -> Tensor:
        return (self.variance + norm.eps).sqrt()


def _running(norm: nn.BatchNorm2d) -> _Statistics:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return _Statistics(norm.running_mean.double(), norm.running_var.double(), 0)


def _track(norm: nn.BatchNorm2d, batch: _Statistics) -> None:
    """Moves the running statistics as torch does: the variance is the unbiased one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked += 1
    unbiased = batch.variance * (batch.n / (batch.n - 1))
    norm.running_mean += norm.momentum * (batch.mean.to(norm.running_mean.dtype) - norm.running_mean)
    norm.running_var += norm.momentum * (unbiased.to(norm.running_var.dtype) - norm.running_var)


def _sums(*shape: int) -> NDArray[np.float64]:
    return np.empty(shape, np.float64)


PAIR = (1, 2)


class _Block(torch.autograd.Function):
    """A whole block, from maps (n_clips, inputs, frames, bands)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, weight: Tensor, bias: Tensor, block: FastConvBlock
    ) -> Tensor:
        norm, window, C = block.norm, block.window(x), kernel.shape[0]
        _count(norm)
        x = _last(x).contiguous()
        n_clips, frames, bands, _ = x.shape
        maps = x.new_empty(n_clips, frames, bands, C)
        result, peaks = (x.new_empty(n_clips, frames // window[0], bands // window[1], C) for _ in range(2))
        chosen = torch.empty((0,) * 4 if window == PAIR else result.shape, dtype=torch.int32)
        statistics = torch.empty(2, C, dtype=torch.float64)
        blocks.block_forward(
            x.detach().numpy(),
            _array(kernel),
            _norm_arrays(norm),
            (norm.eps, norm.momentum),
            norm.training,
            maps.numpy(),
            (result.numpy(), peaks.numpy(), chosen.numpy()),
            statistics.numpy(),
        )
        ctx.save_for_backward(x, kernel, weight, maps, result, peaks, chosen, statistics)
        return _first(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        x, kernel, weight, maps, result, peaks, chosen, statistics = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0]
        d_x = x.new_empty(x.shape if wanted else (0,) * 4)
        d_kernel, d_weight, d_bias = (
            torch.empty_like(kernel),
            torch.empty_like(weight),
            torch.empty_like(weight),
        )
        blocks.block_backward(
            x.detach().numpy(),
            _array(kernel),
            _array(weight),
            maps.numpy(),
            (result.numpy(), peaks.numpy(), chosen.numpy()),
            statistics.numpy(),
            _array(_last(gradient)),
            d_x.numpy(),
            d_kernel.numpy(),
            d_weight.numpy(),
            d_bias.numpy(),
        )
        return _first(d_x) if wanted else None, d_kernel, d_weight, d_bias, None


def _norm_arrays(norm: nn.BatchNorm2d) -> blocks.Norm:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return _array(norm.weight), _array(norm.bias), norm.running_mean.numpy(), norm.running_var.numpy()


def _count(norm: nn.BatchNorm2d) -> None:
    if norm.training:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1


# --- the first block --------------------------------------------------------------------------------------


class _FirstBlock(torch.autograd.Function):
    """The whole first block, from features (n_clips, 1, frames, bands).

    A patch p (9,) has mean m and covariance S over the batch, so the convolution w.p has mean w.m and
    variance w.S w. With d the gradient at the maxima, x^ the normalised convolution and s its deviation,

        dw = weight / s * (sum(d p) - m sum(d) - S w / s * sum(d x^)),

    where only sum(d) and sum(d p) run over data, over the maxima alone; sum(d x^) follows from the two.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        kernel: Tensor,
        weight: Tensor,  # noqa: ARG004
        bias: Tensor,  # noqa: ARG004
        block: FastFirstBlock,
    ) -> Tensor:
        norm = block.norm
        padded = functional.pad(features[:, 0], (norms.BORDER,) * 4)
        taps = kernel.detach().double().reshape(-1, 9)  # (channels, 9)
        m, S, n = _patch_statistics(padded) if block.training else (taps[0], taps, 0)
        if block.training:
            statistics = _Statistics(taps @ m, ((taps @ S) * taps).sum(1).clamp(min=0), n)
            _track(norm, statistics)
        else:
            statistics = _running(norm)
        scale, shift = statistics.scale_and_shift(norm)
        scaled = (taps * scale[:, None]).T.to(features.dtype).contiguous()
        n_clips, _, frames, bands = features.shape
        pooled = features.new_empty(n_clips, frames, bands // norms.WINDOW, taps.shape[0])
        chosen = torch.empty(pooled.shape, dtype=torch.int32)
        norms.patch_forward(
            padded.numpy(),
            scaled.numpy(),
            shift.to(features.dtype).numpy(),
            norms.SLOPE,
            pooled.numpy(),
            chosen.numpy(),
        )
        ctx.save_for_backward(padded, kernel, pooled, chosen, scale, m, S)
        ctx.deviation = statistics.deviation(norm)
        return _first(pooled)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        padded, kernel, pooled, chosen, scale, m, S = ctx.saved_tensors
        taps = kernel.double().reshape(-1, 9)
        first, second = _sums(taps.shape[0]), _sums(9, taps.shape[0])
        norms.patch_backward(
            _array(_last(gradient)),
            pooled.numpy(),
            chosen.numpy(),
            padded.numpy(),
            norms.SLOPE,
            first,
            second,
        )
        d_bias, d_patches = torch.from_numpy(first), torch.from_numpy(second).T
        deviation = ctx.deviation
        d_weight = ((taps * d_patches).sum(1) - (taps @ m) * d_bias) / deviation
        d_taps = d_patches - d_bias[:, None] * m - (d_weight / deviation)[:, None] * (taps @ S)
        d_kernel = (scale[:, None] * d_taps).reshape(kernel.shape)
        return None, d_kernel.to(kernel.dtype), d_weight.to(kernel.dtype), d_bias.to(kernel.dtype), None


def _patch_statistics(padded: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean (9,), covariance (9, 9) and number of the 3x3 patches, in float64."""
    n_clips, rows, columns = padded.shape
    n = n_clips * (rows - 2 * norms.BORDER) * (columns - 2 * norms.BORDER)
    first, second = _sums(9), _sums(9, 9)
    norms.patch_moments(padded.numpy(), first, second)
    m = torch.from_numpy(first / n)
    return m, torch.from_numpy(second / n) - torch.outer(m, m), n


# --- the GRU ----------------------------------------------------------------------------------------------


class _BiGru(torch.autograd.Function):
    """With h the state before a frame, and the matrices of torch.nn.GRU,

        r = sigmoid(Wr x + Ur h),  z = sigmoid(Wz x + Uz h),  n = tanh(Wn x + r * m),  m = Un h + bn,
        h' = (1 - z) n + z h,

    so with d = dh':  dn~ = d (1 - z) (1 - n^2),  dr~ = dn~ m r (1 - r),  dz~ = d (h - n) z (1 - z) before the
    nonlinearities, and dh = z d + U' (dr~, dz~, r dn~). The loops over frames are in ``recurrence``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        """x (n_clips, frames, n_inputs) -> (n_clips, frames, 2H); weights as in nn.GRU.all_weights."""
        x, (n_clips, frames, _), H = x.contiguous(), x.shape, weights[1].shape[1]
        states = x.new_empty(n_clips, frames, 2, H)
        ahead, back = _directions(weights)
        saved = x.new_empty(n_clips, frames, 2, 4, padded(H, ahead[0].dtype))
        recurrence.gru_forward(_array(x), ahead, back, states.numpy(), saved.numpy())
        ctx.save_for_backward(x, states, saved, *weights)
        return states.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        x, states, saved, *weights = ctx.saved_tensors
        d_x, d_weights = torch.empty_like(x), tuple(map(torch.empty_like, weights))
        recurrence.gru_backward(
            _array(x),
            *_directions(weights),
            states.numpy(),
            saved.numpy(),
            _array(gradient).reshape(states.shape),
            d_x.numpy(),
            *_directions(d_weights),
        )
        return d_x, *d_weights


def _directions(weights: Sequence[Tensor]) -> tuple[recurrence.Weights, recurrence.Weights]:
    """Those of ``nn.GRU.all_weights``, forward and backward in time."""
    w, u, b, c, *back = map(_array, weights)
    return (w, u, b, c), (back[0], back[1], back[2], back[3])
