"""A budget of time, as an option."""

import re
from typing import Annotated

import typer

from ablate.ground.errors import ConfigError

SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", metavar="TIME", help="Begin nothing after that time: 90s, 30m, 2h, 1d."),
]


def seconds_of(text: str | None) -> float | None:
    """``2h`` -> 7200.0; None for none. Raises ConfigError."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*(s|min|m|h|d)\s*", text)
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"--budget {text}: write a time such as 90s, 30m, 2h or 1d")
    return float(found[1]) * SECONDS[found[2]]
