"""Numbers as one says them."""

import re

from ablate.ground.errors import ConfigError, shown

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 365 * UNITS_S["d"]


def duration(seconds: float) -> str:
    """A time to wait: ``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def parse_duration(text: str, option: str) -> float:
    """Seconds of a time such as ``90s``, ``30m``, ``1.5h`` or ``2d``. Raises ConfigError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", text.strip())
    seconds = float(found[1]) * UNITS_S[found[2]] if found else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise ConfigError(
            f"{option} {shown(text)}: write a time above 0 with its unit, such as 90s, 30m, 4h or 2d"
        )
    return seconds
