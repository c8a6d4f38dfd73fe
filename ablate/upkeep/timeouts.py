"""Questions to what may never answer."""

from collections.abc import Callable
from typing import TypeVar

from ablate.ground.threads import in_background

Answer = TypeVar("Answer")


def within(seconds: float, ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` returns or raises; TimeoutError when it takes longer, and is then left to itself."""
    return in_background(ask, "asking").result(timeout=seconds)
