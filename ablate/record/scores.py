"""Scores of many runs in little room: names that runs share, and 8 bytes a score."""

from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView


class Scores(Mapping[str, float | None]):
    """A run's scores by name. ``places`` are those of the names; a NaN among ``values`` is undefined."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: "array[float]") -> None:
        self._places = places
        self._values = values

    def __getitem__(self, name: str) -> float | None:
        return _defined(self._values[self._places[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Scores) and self._places is other._places:
            return all(map(_are_same, self._values, other._values))
        return isinstance(other, Mapping) and self._all() == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())

    def items(self) -> ItemsView[str, float | None]:
        return self._all().items()

    def values(self) -> ValuesView[float | None]:
        return self._all().values()

    def _all(self) -> dict[str, float | None]:
        return dict(zip(self._places, map(_defined, self._values), strict=True))


def distinct_names(found: Iterable[Mapping[str, float | None]]) -> Iterator[Iterable[str]]:
    """The names of all these scores; those that many runs share at least once, and not once for each run."""
    shared: dict[int, Mapping[str, int]] = {}
    for scores in found:
        if not isinstance(scores, Scores):
            yield scores
        elif id(scores._places) not in shared:
            shared[id(scores._places)] = scores._places
            yield scores._places


def _are_same(ours: float, theirs: float) -> bool:
    return ours == theirs or (ours != ours and theirs != theirs)


def _defined(value: float) -> float | None:
    return value if value == value else None
