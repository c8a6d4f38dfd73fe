"""The gradient reversal layer (GRL), and the proof that it reverses.

Equation (4): forward, the identity. Equation (5): backward, the gradient times -lambda. With lambda = 0 it
stops the gradient, which is the control between "no reversal" and "reversal".
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Reading(NamedTuple):
    """What a reversal did to the gradient in one backward pass."""

    cosine: float | None  # of the gradients above and below: -1; None where one of them is zero
    ratio: float | None  # norm below / norm above: lambda; None where nothing arrived from above


class GradientReversal(nn.Module):
    """Identity forward; backward, the gradient times ``-strength``. Any shape.

    With ``measuring`` set, the next backward pass keeps the gradient that arrives from the layers above and
    the one that is handed to the layers below; ``reading`` compares them.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.measuring = False
        self._gradients: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if not (self.measuring and x.requires_grad):
            return reverse_gradient(x, self.strength)
        # x may feed another branch too. Its view feeds only the reversal, so that the view's gradient is
        # what this branch sends down and nothing else.
        below = x.view_as(x)
        above = reverse_gradient(below, self.strength)
        below.register_hook(partial(self._keep, "below"))  # type: ignore[no-untyped-call]
        above.register_hook(partial(self._keep, "above"))  # type: ignore[no-untyped-call]
        return above

    def reading(self) -> Reading:
        """Compares the gradients that were kept, lets go of them, and ends the measuring."""
        self.measuring = False
        below, above = self._gradients.pop("below"), self._gradients.pop("above")
        below, above = below.double(), above.double()
        norms = [float(below.norm()), float(above.norm())]
        if norms[1] == 0:
            return Reading(None, None)
        if norms[0] == 0:
            return Reading(None, 0.0)
        cosine, ratio = float((below * above).sum()) / (norms[0] * norms[1]), norms[0] / norms[1]
        # Without the rounding noise, which a chart of the cosine would blow up to its full height.
        return Reading(round(cosine, 12), round(ratio, 12))

    def _keep(self, side: str, gradient: Tensor) -> None:
        self._gradients[side] = gradient.detach()

    def extra_repr(self) -> str:
        return f"strength={self.strength}"


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """``x`` itself; backward, the gradient times ``-strength``."""
    reversed_: Tensor = _Reverse.apply(x, strength)  # type: ignore[no-untyped-call]
    return reversed_


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * -ctx.strength, None
