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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ablate.mtl.model import blocks, entropy, first_block, heads, layers, norms, recurrence, winograd
from ablate.mtl.model.layers import BiGru, ConvBlock, Head
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
        expected = self.conv.in_channels == 1 and self.pool == (1, first_block.WINDOW)
        narrow = self.conv.out_channels <= first_block.WIDEST
        if not (expected and narrow and self._applies(x)) or x.requires_grad:
            return ConvBlock.forward(self, x)
        return _applied(_FirstBlock, x, self.conv.weight, self.norm.weight, self.norm.bias, self)


class FastBiGru(BiGru):
    """Both directions as one autograd function."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if not _compilable(x):
            return super().forward(x)
        return _applied(_BiGru, x, *self.all_weights[0], *self.all_weights[1])


class FastHead(Head):
    """Both fully connected layers as one autograd function."""

    def forward(self, x: Tensor) -> Tensor:
        if not _compilable(x):
            return super().forward(x)
        first, _, second = self
        y = _applied(_Head, x.flatten(0, -2), first.weight, first.bias, second.weight, second.bias)
        return y.view(*x.shape[:-1], -1)


def cross_entropy(logits: Tensor, events: Tensor, mask: Tensor) -> Tensor:
    """As ``layers.cross_entropy``, value and gradient in one pass."""
    if not (_compilable(logits) and events.dtype == mask.dtype == torch.uint8):
        return layers.cross_entropy(logits, events, mask)
    return _applied(_CrossEntropy, logits, events, mask)


def _compilable(x: Tensor) -> bool:
    plain_types = (torch.float32, torch.float64)
    return x.device.type == "cpu" and x.dtype in plain_types and not torch.is_autocast_enabled("cpu")


def _applied(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    result: Tensor = function.apply(*inputs)  # type: ignore[no-untyped-call]
    return result


def _array(x: Tensor) -> NDArray[Any]:
    """The same memory as numpy sees it; copied only where it is not contiguous."""
    return (x if x.is_contiguous() else x.contiguous()).detach().numpy()


def _empty(like: Tensor, *shape: int) -> NDArray[Any]:
    """Memory that no tensor needs to know."""
    array: NDArray[Any] = like.new_empty(shape).numpy()
    return array


def _gradients(like: Tensor, *arrays: NDArray[Any]) -> tuple[Tensor, ...]:
    """A tensor for the gradient to each array."""
    return tuple(like.new_empty(array.shape) for array in arrays)


def _last(x: Tensor) -> Tensor:
    """(n_clips, channels, frames, bands) seen as (n_clips, frames, bands, channels)."""
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    """(n_clips, frames, bands, channels) seen as (n_clips, channels, frames, bands)."""
    return x.permute(0, 3, 1, 2)


# --- blocks -----------------------------------------------------------------------------------------------

PAIR = (1, 2)


class _Block(torch.autograd.Function):
    """A whole block, from maps (n_clips, inputs, frames, bands)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, weight: Tensor, bias: Tensor, block: FastConvBlock
    ) -> Tensor:
        norm, (a, b), C = block.norm, block.window(x), kernel.shape[0]
        features, filters = _array(_last(x)), _array(kernel)
        n_clips, frames, bands, _ = features.shape
        maps = _empty(x, n_clips, frames, bands, C)
        result = x.new_empty(n_clips, frames // a, bands // b, C)
        places = (0, 0, 0, 0) if (a, b) == PAIR else result.shape
        pooled = result.numpy(), _empty(x, *result.shape), np.empty(places, np.int32)
        statistics, arrays = np.empty((2, C)), _norm_arrays(norm, weight, bias)
        blocks.block_forward(
            features, filters, arrays, _numbers(norm), norm.training, maps, pooled, statistics
        )
        ctx.arrays = features, filters, arrays[0], maps, pooled, statistics
        return _first(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        features, filters, weight, maps, pooled, statistics = ctx.arrays
        d_x = gradient.new_empty(features.shape if ctx.needs_input_grad[0] else (0, 0, 0, 0))
        d_kernel, d_weight, d_bias = gradients = _gradients(gradient, filters, weight, weight)
        blocks.block_backward(
            features,
            filters,
            weight,
            maps,
            pooled,
            statistics,
            _array(_last(gradient)),
            d_x.numpy(),
            *(tensor.numpy() for tensor in gradients),
        )
        return _first(d_x) if ctx.needs_input_grad[0] else None, d_kernel, d_weight, d_bias, None


def _norm_arrays(norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> norms.Norm:
    """What the kernels want of batch norm, whose batch is counted."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    if norm.training:
        norm.num_batches_tracked += 1
    return _array(weight), _array(bias), norm.running_mean.numpy(), norm.running_var.numpy()


def _numbers(norm: nn.BatchNorm2d) -> tuple[float, float]:
    """Epsilon and momentum."""
    assert norm.momentum is not None
    return norm.eps, norm.momentum


class _FirstBlock(torch.autograd.Function):
    """The whole first block, from features (n_clips, 1, frames, bands)."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, kernel: Tensor, weight: Tensor, bias: Tensor, block: FastFirstBlock
    ) -> Tensor:
        norm, C, border = block.norm, kernel.shape[0], 2 * first_block.BORDER
        n_clips, _, frames, bands = features.shape
        filters, padded = _array(kernel), _empty(features, n_clips, frames + border, bands + border)
        result = features.new_empty(n_clips, frames, bands // first_block.WINDOW, C)
        pooled, chosen = result.numpy(), np.empty(result.shape, np.int32)
        statistics = np.empty(9), np.empty((9, 9)), np.empty((2, C))
        arrays, numbers = _norm_arrays(norm, weight, bias), _numbers(norm)
        first_block.first_forward(
            _array(features[:, 0]),
            filters,
            arrays,
            numbers,
            norm.training,
            padded,
            pooled,
            chosen,
            statistics,
        )
        ctx.arrays = filters, arrays[0], padded, pooled, chosen, statistics
        return _first(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        filters, weight, padded, pooled, chosen, statistics = ctx.arrays
        d_kernel, d_weight, d_bias = gradients = _gradients(gradient, filters, weight, weight)
        first_block.first_backward(
            _array(_last(gradient)),
            padded,
            filters,
            pooled,
            chosen,
            statistics,
            *(tensor.numpy() for tensor in gradients),
        )
        return None, d_kernel, d_weight, d_bias, None


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
        (n_clips, frames, n_inputs), H = x.shape, weights[1].shape[1]
        ahead, back = _fours(weights)
        columns, wide = (padded(n, ahead[0].dtype) for n in (H, n_inputs))
        inputs = _array(x if wide == n_inputs else functional.pad(x, (0, wide - n_inputs)))
        states = x.new_empty(n_clips, frames, 2, columns)
        kept = states.numpy(), _empty(x, n_clips, frames, 2, 4, columns)
        recurrence.gru_forward(inputs, ahead, back, *kept)
        ctx.arrays = inputs, ahead, back, *kept
        return states[..., :H].flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, ahead, back, states, saved = ctx.arrays
        d_x, *d_weights = _gradients(gradient, inputs, *ahead, *back)
        d_states = _array(gradient).reshape(*states.shape[:3], -1)
        recurrence.gru_backward(inputs, ahead, back, states, saved, d_states, d_x.numpy(), *_fours(d_weights))
        return d_x[..., : ahead[0].shape[1]], *d_weights


def _fours(weights: Sequence[Tensor]) -> tuple[recurrence.Weights, recurrence.Weights]:
    """Those of ``nn.GRU.all_weights``, forward and backward in time."""
    a, b, c, d, e, f, g, h = map(_array, weights)
    return (a, b, c, d), (e, f, g, h)


# --- heads ------------------------------------------------------------------------------------------------


class _Head(torch.autograd.Function):
    """FC, leaky ReLU, FC of rows (n, n_inputs)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        a, b, c, d = map(_array, weights)
        inputs, hidden = _array(x), _empty(x, len(x), padded(len(b), b.dtype))
        y = x.new_empty(len(x), len(d))
        heads.head_forward(inputs, (a, b, c, d), hidden, y.numpy())
        ctx.arrays = inputs, (a, b, c, d), hidden
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, weights, hidden = ctx.arrays
        d_x, *d_weights = _gradients(gradient, inputs, *weights)
        a, b, c, d = map(_array, d_weights)
        heads.head_backward(inputs, weights, hidden, _array(gradient), d_x.numpy(), (a, b, c, d))
        return d_x, *d_weights


class _CrossEntropy(torch.autograd.Function):
    """``layers.cross_entropy`` of logits (n_clips, frames, n_events)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, events: Tensor, mask: Tensor) -> Tensor:
        gradient = logits.new_empty(logits.shape)
        rows = gradient.flatten(0, 1).numpy()
        x, truth, valid = (_array(tensor.flatten(0, 1)) for tensor in (logits, events, mask))
        total = entropy.cross_entropy(x, truth, valid, rows)
        ctx.save_for_backward(gradient)
        return logits.new_tensor(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * d_total, None, None
