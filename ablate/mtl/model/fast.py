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

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ablate.mtl.model import blocks, entropy, first_block, heads, layers, recurrence, winograd
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
            result: Tensor = super().forward(x)
            return result
        first, _, second = self
        rows = x.flatten(0, -2)
        return _applied(_Head, rows, first.weight, first.bias, second.weight, second.bias).unflatten(
            0, x.shape[:-1]
        )


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
    return x.detach().contiguous().numpy()


def _arrays(tensors: Sequence[Tensor]) -> tuple[NDArray[Any], ...]:
    return tuple(map(_array, tensors))


def _last(x: Tensor) -> Tensor:
    """(n_clips, channels, frames, bands) seen as (n_clips, frames, bands, channels)."""
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    """(n_clips, frames, bands, channels) seen as (n_clips, channels, frames, bands)."""
    return x.permute(0, 3, 1, 2)


# --- blocks -------------------------------------------------------------------------------------------------

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


class _FirstBlock(torch.autograd.Function):
    """The whole first block, from features (n_clips, 1, frames, bands)."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        kernel: Tensor,
        weight: Tensor,
        bias: Tensor,
        block: FastFirstBlock,  # noqa: ARG004
    ) -> Tensor:
        norm, C = block.norm, kernel.shape[0]
        _count(norm)
        n_clips, _, frames, bands = features.shape
        padded = features.new_empty(n_clips, frames + 2 * first_block.BORDER, bands + 2 * first_block.BORDER)
        pooled = features.new_empty(n_clips, frames, bands // first_block.WINDOW, C)
        chosen = torch.empty(pooled.shape, dtype=torch.int32)
        statistics = tuple(torch.empty(shape, dtype=torch.float64) for shape in ((9,), (9, 9), (2, C)))
        first_block.first_forward(
            _array(features[:, 0]),
            _array(kernel),
            _norm_arrays(norm),
            (norm.eps, norm.momentum),
            norm.training,
            padded.numpy(),
            pooled.numpy(),
            chosen.numpy(),
            _arrays(statistics),
        )
        ctx.save_for_backward(kernel, weight, padded, pooled, chosen, *statistics)
        return _first(pooled)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        kernel, weight, padded, pooled, chosen, *statistics = ctx.saved_tensors
        d_kernel, d_weight, d_bias = map(torch.empty_like, (kernel, weight, weight))
        first_block.first_backward(
            _array(_last(gradient)),
            padded.numpy(),
            _array(kernel),
            pooled.numpy(),
            chosen.numpy(),
            _arrays(statistics),
            d_kernel.numpy(),
            d_weight.numpy(),
            d_bias.numpy(),
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
        ahead, back = _directions(weights)
        columns, wide = (padded(n, ahead[0].dtype) for n in (H, n_inputs))
        x = functional.pad(x, (0, wide - n_inputs)).contiguous()
        states = x.new_empty(n_clips, frames, 2, columns)
        saved = x.new_empty(n_clips, frames, 2, 4, columns)
        recurrence.gru_forward(_array(x), ahead, back, states.numpy(), saved.numpy())
        ctx.save_for_backward(x, states, saved, *weights)
        return states[..., :H].flatten(2)

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
            _array(gradient).reshape(*states.shape[:3], -1),
            d_x.numpy(),
            *_directions(d_weights),
        )
        return d_x[..., : weights[0].shape[1]], *d_weights


def _directions(weights: Sequence[Tensor]) -> tuple[recurrence.Weights, recurrence.Weights]:
    """Those of ``nn.GRU.all_weights``, forward and backward in time."""
    w, u, b, c, *back = map(_array, weights)
    return (w, u, b, c), (back[0], back[1], back[2], back[3])


# --- heads ------------------------------------------------------------------------------------------------


class _Head(torch.autograd.Function):
    """FC, leaky ReLU, FC of rows (n, n_inputs)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        x = x.contiguous()
        hidden = x.new_empty(len(x), padded(len(weights[1]), _array(x).dtype))
        y = x.new_empty(len(x), len(weights[3]))
        heads.head_forward(_array(x), _four(weights), hidden.numpy(), y.numpy())
        ctx.save_for_backward(x, hidden, *weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        x, hidden, *weights = ctx.saved_tensors
        d_x, d_weights = torch.empty_like(x), tuple(map(torch.empty_like, weights))
        heads.head_backward(
            _array(x), _four(weights), hidden.numpy(), _array(gradient), d_x.numpy(), _four(d_weights)
        )
        return d_x, *d_weights


def _four(weights: Sequence[Tensor]) -> heads.Weights:
    a, b, c, d = map(_array, weights)
    return a, b, c, d


class _CrossEntropy(torch.autograd.Function):
    """``layers.cross_entropy`` of logits (n_clips, frames, n_events)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, events: Tensor, mask: Tensor) -> Tensor:
        gradient = logits.new_empty(logits.shape)
        arrays = (_array(tensor.flatten(0, 1)) for tensor in (logits, events, mask))
        total = entropy.cross_entropy(*arrays, gradient.flatten(0, 1).numpy())
        ctx.save_for_backward(gradient)
        return logits.new_tensor(total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * d_total, None, None
