"""The layers of Table 1 in torch's own operations: the definition of the network.

``fast`` holds layers that compute the same with the operations reordered. They subclass these, so names and
shapes of the parameters are the same, and weights trained with one load into the other. ``kit`` chooses.
"""

from torch import Tensor, nn
from torch.nn import functional

FC_UNITS = 32


class ConvBlock(nn.Module):
    """3x3 convolution, batch norm, leaky ReLU, max pool.

    (n_clips, n_inputs, frames, bands) -> (n_clips, n_outputs, frames / pool[0], bands / pool[1]); without
    ``pool`` the maximum is over the whole map. The convolution has no bias: batch norm would take it away.
    """

    def __init__(self, n_inputs: int, n_outputs: int, pool: tuple[int, int] | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_outputs)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.conv(x)))
        return functional.max_pool2d(x, self.pool or x.shape[2:])


class BiGru(nn.GRU):
    """Bidirectional GRU: (n_clips, frames, n_inputs) -> (n_clips, frames, 2 x n_hidden)."""

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__(n_inputs, n_hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        states: Tensor = super().forward(x)[0]
        return states


class Head(nn.Sequential):
    """The end of a branch: FC 32, leaky ReLU, FC n_outputs. (..., n_inputs) -> (..., n_outputs)."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(nn.Linear(n_inputs, FC_UNITS), nn.LeakyReLU(), nn.Linear(FC_UNITS, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return y


def cross_entropy(logits: Tensor, events: Tensor, mask: Tensor) -> Tensor:
    """The sum of the binary cross entropies of sigmoid(logits) over the frames that the mask leaves.

    ``logits``, ``events``: (n_clips, frames, n_events); ``mask``: (n_clips, frames).
    """
    valid = mask.to(logits.dtype).unsqueeze(2)
    return functional.binary_cross_entropy_with_logits(
        logits, events.to(logits.dtype), weight=valid, reduction="sum"
    )
