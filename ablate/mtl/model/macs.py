"""The multiply-accumulates of one clip, counted from the layers of the network."""

from collections.abc import Iterable

from torch import nn

from ablate.mtl.model.layers import BiGru, ConvBlock
from ablate.mtl.model.mtl import BANDS, Mtl

GATES = 3  # of a GRU: reset, update, new


def multiply_accumulates(model: Mtl, frames: int) -> int:
    """Of the forward pass over one clip of so many frames and 64 bands.

    Counted are the convolutions (their zero padding too), the GRU's products with weights, and the fully
    connected layers, as they are defined: kernels that find the same with fewer products change nothing. Not
    counted are what is added (biases), batch norm, activations, pooling, and the gates' products of states.
    """
    shared, (height, width) = _of_blocks(_blocks(model.shared), frames, BANDS)
    total = shared
    if model.has_scene:
        total += _of_blocks(_blocks(model.scene_convs), height, width)[0] + _of_head(model.scene_head)
    if model.has_event:
        total += frames * (_of_gru(model.event_gru) + _of_head(model.event_head))
    return total


def _blocks(layers: nn.Sequential) -> list[ConvBlock]:
    return [layer for layer in layers if isinstance(layer, ConvBlock)]


def _of_blocks(blocks: Iterable[ConvBlock], height: int, width: int) -> tuple[int, tuple[int, int]]:
    """The multiply-accumulates of blocks in a row, and the shape of the map that they end with."""
    total = 0
    for block in blocks:
        total += height * width * block.conv.weight.numel()
        pool = block.pool or (height, width)
        height, width = height // pool[0], width // pool[1]
    return total, (height, width)


def _of_gru(gru: BiGru) -> int:
    """Of one frame, in both directions."""
    return 2 * GATES * gru.hidden_size * (gru.input_size + gru.hidden_size)


def _of_head(head: nn.Sequential) -> int:
    return sum(layer.weight.numel() for layer in head if isinstance(layer, nn.Linear))
