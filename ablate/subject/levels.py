"""Levels and numbers from the cells of tables that others wrote."""

import math
import re
from typing import Any

from ablate.subject.settings import Level

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
PERCENT = re.compile(r"(.*\S)\s*%")
MISSING = frozenset({"n/a", "na", "#n/a", "nan", "null", "-", "--", "?", "inf", "-inf", "+inf", "infinity"})

LARGEST_INTEGER = 10**15  # beyond it not every integer is a float


def number_of(cell: Any) -> float | None:
    """A cell as a number; None where it is text. A number with a comma or a percent sign is text.

    >>> number_of("0.81"), number_of(" 1e-3 "), number_of("0,81"), number_of(True)
    (0.81, 0.001, None, 1.0)
    """
    if isinstance(cell, (bool, int, float)):
        return float(cell)
    text = str(cell).strip()
    return float(text) if NUMBER.fullmatch(text) else None


def level_of(cell: Any) -> Level:
    """A cell as the level of a factor: a number, true or false, or text.

    What a cell is, it is alone: ``1`` and ``1.0`` are the same level whatever stands in other rows, so that
    a run keeps its identity when rows are added.

    >>> level_of("1.0"), level_of("0.50"), level_of("True"), level_of("adam"), level_of("007")
    (1, 0.5, True, 'adam', '007')
    """
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, (int, float)):
        return _number(float(cell)) if abs(cell) <= LARGEST_INTEGER else str(cell)
    text = str(cell).strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if NUMBER.fullmatch(text) and not re.match(r"[+-]?0\d", text):
        value = float(text)
        if abs(value) <= LARGEST_INTEGER:
            return _number(value)
    return text


def _number(value: float) -> Level:
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() else value


def trouble_with(text: str) -> str:
    """What to do about a text where a number should be, as the end of a sentence."""
    percent = PERCENT.fullmatch(text)
    if percent is not None:
        value = number_of(percent[1].replace(",", "."))
        if value is None:
            return "write the number without the percent sign"
        return (
            f"write {value:g} and leave the percent sign out, or {value / 100:g} and --unit NAME=% "
            "for fractions that are shown times 100"
        )
    if COMMA_NUMBER.fullmatch(text):
        return f"write {text.replace(',', '.')}, or say --decimal , if the whole table has decimal commas"
    if text.lower() in MISSING:
        return "leave the cell empty where the metric is undefined"
    return "write a number, or leave the cell empty where the metric is undefined"
