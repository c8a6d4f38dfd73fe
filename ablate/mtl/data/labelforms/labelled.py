"""What is written of a recording, in any form."""

from dataclasses import dataclass

from ablate.mtl.data.annotations import Event

DECIMALS = 6  # of the times in label files
RESOLUTION_S = 10.0**-DECIMALS


@dataclass(frozen=True, slots=True)
class Labelled:
    """The events of one recording, which is ``duration_s`` seconds long.

    ``path`` is that of its audio, relative to some folder, where ``/`` separates.
    """

    path: str
    duration_s: float
    events: tuple[Event, ...]


def time_text(seconds: float) -> str:
    """A time as label files have it, to the microsecond."""
    return f"{seconds:.{DECIMALS}f}"
