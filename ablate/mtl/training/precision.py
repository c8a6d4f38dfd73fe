"""The arithmetic of ``config.precision``; this is the one place that knows what it means.

- float32: every product in float32. torch's own default would let a GPU's convolutions use TF32.
- tf32: matrix products and convolutions of a GPU round their inputs to 10 bits of mantissa. Elsewhere there
  is no such thing, and a run that is recorded as tf32 shall be it: ConfigError.
- bfloat16: torch's automatic mixed precision. Weights, optimiser, losses and the sums of batch norm stay
  float32. It works on a CPU too, where the plain layers do the work, and is of no use there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ablate.ground.errors import ConfigError
from ablate.mtl.config import Precision
from ablate.mtl.model.mtl import Mtl, Output


def check(precision: Precision, device: torch.device) -> None:
    """Raises ConfigError where the device does not have this arithmetic."""
    if precision == "tf32" and device.type != "cuda":
        raise ConfigError(
            f"precision = tf32 is an arithmetic of NVIDIA GPUs, and this is a {device.type}; "
            "set it to float32 or bfloat16"
        )


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside, the device's products are as ``precision`` says, forward and backward."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    _allow_tf32(precision == "tf32", precision == "tf32")
    try:
        yield
    finally:
        _allow_tf32(*before)


def logits(model: Mtl, features: Tensor, precision: Precision) -> Output:
    """The network's output, in float32 also where it was computed in less: losses are in float32."""
    if precision != "bfloat16":
        output: Output = model(features)
        return output
    # Not around the backward pass, whose operations take the types of the forward ones.
    with torch.autocast(features.device.type, dtype=torch.bfloat16):
        output = model(features)
    return Output(*(part if part is None else part.float() for part in output))


def _allow_tf32(products: bool, convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
