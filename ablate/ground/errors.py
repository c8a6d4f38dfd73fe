"""What can go wrong, as one tree. The library raises; only the command line exits.

AblateError                 anything the user can act on; exit code 2
├── ConfigError             a setting, factor or level is unknown or out of range
├── DataError               a recording, annotation or prepared data set is missing or malformed
├── StoreError              the store cannot be read or written
├── StudyError              a study, condition or run is unknown or contradicts itself
├── CalibrationFailed       this machine's speed cannot be measured (defined in ``calibration``)
├── ScriptFailed            a program did not end well, or did not say its scores (defined in ``subject``)
└── TrackingUnavailable     MLflow cannot be reached just now (defined in ``tracking``)
NotConverged                the loss is no longer a number; fails the run, not the study
"""

import re
from collections.abc import Iterator, Sequence

LONGEST_SHOWN = 120  # characters of a value in a message
LONGEST_WORD = 400  # longer than any path that is meant


class AblateError(Exception):
    """Something the user can mend: every problem at once, each a sentence that says what to do."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        found = [problems] if isinstance(problems, str) else problems
        self.problems: list[str] = [legible(problem) for problem in found]
        super().__init__("\n".join(self.problems))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came from, and so on: libraries wrap errors in their own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def legible(text: str) -> str:
    """``text`` without endless words, and with escapes for what a terminal would obey rather than show."""
    printable = text
    if not text.isprintable():
        printable = "".join(
            character
            if character.isprintable() or character == "\n"
            else character.encode("unicode_escape").decode("ascii")
            for character in text
        )
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: brief(word[0]), printable)


def shown(value: object) -> str:
    """A wrong value as a message shows it: as Python writes it, the middle left out if it is long."""
    try:
        return brief(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, thousands of nested lists
        return f"this {type(value).__name__}, which is too large to show,"


def brief(text: str) -> str:
    """A text in at most ``LONGEST_SHOWN`` characters, without its middle if it is longer."""
    half = LONGEST_SHOWN // 2 - 3
    return text if len(text) <= LONGEST_SHOWN else f"{text[:half]} ... {text[-half:]}"


class ConfigError(AblateError):
    """A setting, factor or level is unknown or out of range."""


class DataError(AblateError):
    """A recording, an annotation or a prepared data set is missing or malformed."""


class StoreError(AblateError):
    """The store cannot be read or written."""


class StudyError(AblateError):
    """A study, condition or run is unknown or contradicts itself."""


class NotConverged(Exception):
    """The training loss is no longer a finite number. Fails the run; the others go on."""
