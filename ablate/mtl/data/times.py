"""Times of a table, in seconds: decimal numbers, whose comma may be the decimal sign.

``1,5`` can only be one and a half. ``1,500`` can also be fifteen hundred, so that it is read only where
another time of the same table shows that its commas are decimal signs.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ablate.ground.errors import brief

LONGEST_S = 1e7  # of any time: four months, which only a mistake exceeds

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)  # or a number with three decimals


@dataclass(frozen=True, slots=True)
class Times:
    """How the times of one table are written."""

    has_points: bool
    has_commas: bool  # as decimal signs, beyond doubt

    def seconds(self, text: str) -> float | None:
        """A time of a recording, not negative; None if it is none. Python would read ``1_0`` and ``٣``."""
        if self.reads_comma(text):
            text = text.replace(",", ".")
        if not _NUMBER.fullmatch(text):
            return None
        value = float(text)
        return value + 0.0 if 0 <= value <= LONGEST_S else None

    def reads_comma(self, text: str) -> bool:
        """Whether the comma of this time is read as a decimal sign."""
        return self.has_commas and not self.has_points and _WITH_COMMA.fullmatch(text) is not None

    def problem(self, text: str) -> str:
        """Why ``text`` is no time, where it is none."""
        sentence = f"'{brief(text)}' is not a time in seconds"
        if not _WITH_COMMA.fullmatch(text):
            return sentence
        if self.has_points:
            return f"{sentence}; other times have a decimal point, so write this one with a point too"
        if not self.has_commas:
            return f"{sentence} beyond doubt: its comma may separate thousands; write a decimal point"
        return sentence


def times_of(texts: Iterable[str]) -> Times:
    """How a table writes its times, of which ``texts`` are all."""
    texts = [text for text in texts if text]
    return Times(
        has_points=any("." in text and _NUMBER.fullmatch(text) for text in texts),
        has_commas=any(_WITH_COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text) for text in texts),
    )
