"""RAdam (Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020) as torch computes it.

The classes of ``torch.optim`` load torch's compiler at their first step, which nothing here uses: a second of
every worker's start. So state is kept here, and a step is torch's own function on it or the same in one pass.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.radam import radam

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class RAdam:
    """The same numbers as ``torch.optim.RAdam(parameters, lr, foreach=True, capturable=capturable)``.

    ``capturable``: the count of steps lies beside the parameters, so that a GPU can record and repeat a step.
    ``compiled``: one pass over parameters that lie on a CPU and are of one type (see ``moving``).
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, *, capturable: bool, compiled: bool = False
    ) -> None:
        self._parameters = list(parameters)
        self._lr = lr
        self._capturable = capturable
        self._compiled = compiled
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Moves the parameters that have a gradient."""
        moved = [parameter for parameter in self._parameters if parameter.grad is not None]
        states = [self._state_of(parameter) for parameter in moved]
        if self._compiled and moved:
            self._move(moved, states)
            return
        radam(
            moved,
            [parameter.grad for parameter in moved if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["step"] for state in states],
            foreach=True,
            capturable=self._capturable,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._lr,
            weight_decay=0.0,
            eps=EPSILON,
        )

    def _move(self, moved: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        from ablate.mtl.model.moving import move  # numba takes a second to import

        rows = [
            (parameter, parameter.grad.contiguous(), state["exp_avg"], state["exp_avg_sq"], state["step"])
            for parameter, state in zip(moved, states, strict=True)
            if parameter.grad is not None
        ]
        addresses = np.array([[tensor.data_ptr() for tensor in row] for row in rows])
        sizes = np.array([parameter.numel() for parameter in moved])
        move(addresses, sizes, moved[0].new_empty(0).numpy(), self._lr, BETAS, EPSILON)

    def state_dict(self) -> dict[str, Any]:
        """The state of each parameter, by its place among them, as in a state of ``torch.optim``."""
        places = enumerate(self._parameters)
        return {"state": {place: self.state[p] for place, p in places if p in self.state}}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """A copy of a saved state, wherever it was saved: on a CPU or on a GPU, by this class or torch's."""
        self.state.clear()
        for place, values in saved["state"].items():
            parameter = self._parameters[place]
            self.state[parameter] = {
                name: value.to(
                    self._home_of_steps(parameter) if name == "step" else parameter.device, copy=True
                )
                for name, value in values.items()
            }

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=self._home_of_steps(parameter))
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state

    def _home_of_steps(self, parameter: Tensor) -> torch.device:
        return parameter.device if self._capturable else torch.device("cpu")
