"""Which layers a network is built of: the one place that chooses."""

from typing import NamedTuple

from ablate.model.layers import BiGru, ConvBlock


class Kit(NamedTuple):
    """The classes that a network is built of."""

    first_block: type[ConvBlock]  # on the features themselves: one input channel, no gradient to them
    block: type[ConvBlock]
    bigru: type[BiGru]


def kit(kernels: str) -> Kit:
    """The layers that ``config.kernels`` names."""
    if kernels == "plain":
        return Kit(ConvBlock, ConvBlock, BiGru)
    from ablate.model import fast  # numba takes a second to import

    return Kit(fast.FastFirstBlock, fast.FastConvBlock, fast.FastBiGru)
