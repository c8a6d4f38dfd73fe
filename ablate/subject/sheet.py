"""A table of runs that were trained elsewhere, as it was found: named columns, and cells as they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_PLACES = 6  # named in one message


@dataclass(frozen=True)
class Line:
    """A run's line. ``place`` is where to look for it: ``row 5``, ``run calm-owl (1a2b3c4d)``.

    ``cells`` maps columns to text, numbers, or None where nothing is; a column that is not there is empty.
    ``seconds`` is what the training took, where that is known.
    """

    place: str
    cells: Mapping[str, Any]
    seconds: float | None = None


@dataclass(frozen=True)
class Sheet:
    """The lines of a file, or the runs of another tool's experiment.

    ``source`` is what the user typed, ``name`` what messages call it. ``notes`` are sentences on what was
    left out of it.
    """

    source: str
    name: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> Iterator[Any]:
        """The cells of a column that are not empty."""
        return (cell for line in self.lines if (cell := line.cells.get(name)) is not None)


def places(found: Sequence[str]) -> str:
    """Where something is, in a few words: ``rows 3, 7 and 9``, ``rows 2, 3, 4, 5, 6, 7 and 34 more``.

    >>> places(["row 3", "row 7"]), places(["row 3"]), places(["run a", "row 2"])
    ('rows 3 and 7', 'row 3', 'run a and row 2')
    """
    shown, n_more = list(found[:MOST_PLACES]), len(found) - MOST_PLACES
    for noun in ("row ", "run "):
        if len(found) > 1 and all(place.startswith(noun) for place in found):
            shown = [place.removeprefix(noun) for place in shown]
            shown[0] = f"{noun.strip()}s {shown[0]}"
    if n_more > 0:
        return f"{', '.join(shown)} and {n_more} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
