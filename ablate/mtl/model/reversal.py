"""The gradient reversal layer (GRL), and the proof that it reverses.

Equation (4): forward, the identity. Equation (5): backward, the gradient times -lambda. With lambda = 0 it
stops the gradient, which is the control between "no reversal" and "reversal".
"""

import math
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
    the one that is handed to the layers below; ``reading`` compares them. Where nobody may wait for the
    device, ``products`` gives what ``compare`` makes a reading of later.
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

    def products(self) -> Tensor:
        """[below . below, above . above, below . above] of the gradients that were kept, (3,) float64.

        They stay on their device, which nobody waits for. Lets go of the gradients and ends the measuring.
        """
        self.measuring = False
        below, above = (self._gradients.pop(side).double() for side in ("below", "above"))
        return torch.stack([(below * below).sum(), (above * above).sum(), (below * above).sum()])

    def reading(self) -> Reading:
        """Compares the gradients that were kept, lets go of them, and ends the measuring."""
        return compare(*self.products().tolist())

    def _keep(self, side: str, gradient: Tensor) -> None:
        self._gradients[side] = gradient.detach()

    def extra_repr(self) -> str:
        return f"strength={self.strength}"


def compare(below_below: float, above_above: float, below_above: float) -> Reading:
    """The reading that follows from ``GradientReversal.products``."""
    below, above = math.sqrt(below_below), math.sqrt(above_above)
    if above == 0:
        return Reading(None, None)
    if below == 0:
        return Reading(None, 0.0)
    # Without the rounding noise, which a chart of the cosine would blow up to its full height.
    return Reading(round(below_above / (below * above), 12), round(below / above, 12))


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
