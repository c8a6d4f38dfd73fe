"""What a run's scores are made of, item by item: such as the recordings that a network was tried on.

A score over many items says how well a model does on *these*. What it would do on others can only be
estimated from how the items differ, so a run may keep, of each item, the counts that its scores are made of.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FILE = "items.npz"  # in a run's folder
SCHEMA = 1


class ItemsError(ValueError):
    """A file that holds no items, or items whose arrays do not fit."""


@dataclass(frozen=True, eq=False)
class Ratios:
    """Counts whose ratios are scores: over any items, part p's score is sum(above) / sum(below).

    ``parts`` are names, such as the slugs of classes. The arrays are (n_items, n_parts) and not negative. A
    part has a score only where ``occurs`` has a sum above 0; ``occurs`` is ``below`` where it is not given.
    So F over frames has 2 TP, 2 TP + FP + FN and TP + FN.
    """

    parts: Sequence[str]
    above: Any
    below: Any
    occurs: Any = None


@dataclass(frozen=True)
class Overall:
    """A score over the parts of a family, but for those ``without``.

    ``micro`` is the ratio of the parts' sums, ``macro`` the mean of the ratios of the parts that occur.
    """

    family: str
    average: Literal["micro", "macro"]
    without: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Terms:
    """A metric by items: the mean over columns of sum(above) / sum(below); arrays (n_items, n_columns)."""

    above: "npt.NDArray[np.float64]"
    below: "npt.NDArray[np.float64]"
    occurs: "npt.NDArray[np.float64]"

    def score(self, weights: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
        """(n_draws,): the metric where each item counts as often as ``weights`` (n_draws, n_items) say.

        NaN where no column occurs.
        """
        return _mean_ratios(weights @ self.above, weights @ self.below, weights @ self.occurs)

    def alone(self) -> "npt.NDArray[np.float64]":
        """(n_items,): the metric on each item alone, NaN where no column occurs."""
        return _mean_ratios(self.above, self.below, self.occurs)

    def without_each(self) -> "npt.NDArray[np.float64]":
        """(n_items,): the metric on all items but one, for each, NaN where no column occurs."""
        above, below, occurs = (count.sum(axis=0) - count for count in (self.above, self.below, self.occurs))
        return _mean_ratios(above, below, occurs)

    def exposure(self) -> "npt.NDArray[np.float64]":
        """(n_items,): the share of what the metric divides by that is in each item; they sum to 1.

        The mean over the columns that occur; all 0 where none does.
        """
        import numpy as np

        occurs = (self.occurs.sum(axis=0) > 0) & (self.below.sum(axis=0) > 0)
        if not occurs.any():
            return np.zeros(len(self.below))
        below = self.below[:, occurs]
        shares: npt.NDArray[np.float64] = (below / below.sum(axis=0)).mean(axis=1)
        return shares


@dataclass(frozen=True, eq=False)
class Items:
    """The items that a run was scored on, and the counts of each.

    ``names`` tell the items apart, and other runs have the same names for the same items; ``kind`` is what
    one is called ("recording"). ``ratios`` are families by name: ``{"event_f": Ratios(...)}`` has the scores
    ``event_f/car`` and so on. ``overall`` are scores over a family, by the metric's name.
    """

    names: Sequence[str]
    ratios: Mapping[str, Ratios]
    overall: Mapping[str, Overall]
    kind: str = "item"

    def __post_init__(self) -> None:
        import numpy as np

        if len(set(self.names)) < len(self.names):
            raise ItemsError("two items have one name")
        for name, ratios in self.ratios.items():
            wanted = (len(self.names), len(ratios.parts))
            for array in (ratios.above, ratios.below, *([] if ratios.occurs is None else [ratios.occurs])):
                if np.shape(array) != wanted:
                    raise ItemsError(f"'{name}' has counts of shape {np.shape(array)}, not {wanted}")
        unknown = [each.family for each in self.overall.values() if each.family not in self.ratios]
        if unknown:
            raise ItemsError(f"there is no '{unknown[0]}' among the ratios")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all scores that follow: those over families, then those of parts."""
        parts = [f"{name}/{part}" for name, ratios in self.ratios.items() for part in ratios.parts]
        return (*self.overall, *parts)

    def terms(self, metric: str) -> Terms | None:
        """What a metric is made of; None where the items do not say."""
        if metric in self.overall:
            overall = self.overall[metric]
            ratios = self.ratios[overall.family]
            columns = [place for place, part in enumerate(ratios.parts) if part not in overall.without]
            return _terms(ratios, columns, summed=overall.average == "micro")
        family, _, part = metric.partition("/")
        if family in self.ratios and part in self.ratios[family].parts:
            return _terms(self.ratios[family], [list(self.ratios[family].parts).index(part)], summed=False)
        return None

    def score(self, metric: str) -> float | None:
        """The metric over all items, each counting once; None where it is undefined or unknown."""
        import numpy as np

        terms = self.terms(metric)
        if terms is None:
            return None
        value = float(terms.score(np.ones((1, len(self))))[0])
        return None if np.isnan(value) else value

    def joined(self, other: "Items") -> "Items":
        """These and more counts of the same items; what both say is said by ``other``.

        Raises ItemsError for other items.
        """
        if (tuple(self.names), self.kind) != (tuple(other.names), other.kind):
            raise ItemsError("these are counts of other items")
        return Items(
            self.names, {**self.ratios, **other.ratios}, {**self.overall, **other.overall}, self.kind
        )

    def to_bytes(self) -> bytes:
        """The content of ``FILE``; equal items give equal bytes."""
        import numpy as np

        header = {
            "schema": SCHEMA,
            "kind": self.kind,
            "names": list(self.names),
            "ratios": {name: list(ratios.parts) for name, ratios in self.ratios.items()},
            "overall": {
                name: vars(each) | {"without": list(each.without)} for name, each in self.overall.items()
            },
        }
        arrays = {"header": np.frombuffer(json.dumps(header).encode("utf-8"), np.uint8)}
        for place, ratios in enumerate(self.ratios.values()):
            arrays[f"above_{place}"] = _small(ratios.above)
            arrays[f"below_{place}"] = _small(ratios.below)
            if ratios.occurs is not None:
                arrays[f"occurs_{place}"] = _small(ratios.occurs)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Items":
        """Raises ItemsError for anything that ``to_bytes`` has not written."""
        import numpy as np

        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["schema"] != SCHEMA:
                    raise ItemsError(f"schema {header['schema']}, this version reads {SCHEMA}")
                ratios = {
                    name: Ratios(
                        parts,
                        arrays[f"above_{place}"],
                        arrays[f"below_{place}"],
                        arrays.get(f"occurs_{place}"),
                    )
                    for place, (name, parts) in enumerate(header["ratios"].items())
                }
                overall = {
                    name: Overall(each["family"], each["average"], tuple(each["without"]))
                    for name, each in header["overall"].items()
                }
                return cls(header["names"], ratios, overall, header["kind"])
        except ItemsError:
            raise
        except Exception as error:  # a damaged archive makes zipfile and numpy raise nearly anything
            raise ItemsError(f"{type(error).__name__}: {error}") from error


def union(parts: Sequence[Items]) -> Items:
    """The items of runs that were scored on different ones, with the counts that all of them have.

    Raises ItemsError when two of them were scored on the same item.
    """
    first = parts[0]
    common = {
        name: ratios
        for name, ratios in first.ratios.items()
        if all(name in each.ratios and list(each.ratios[name].parts) == list(ratios.parts) for each in parts)
    }
    return Items(
        [name for each in parts for name in each.names],
        {name: _appended([each.ratios[name] for each in parts]) for name in common},
        {
            name: overall
            for name, overall in first.overall.items()
            if overall.family in common and all(each.overall.get(name) == overall for each in parts)
        },
        first.kind,
    )


def _appended(parts: Sequence[Ratios]) -> Ratios:
    """Counts of the same things, one run's items below another's."""
    import numpy as np

    return Ratios(
        parts[0].parts,
        np.concatenate([np.asarray(each.above) for each in parts]),
        np.concatenate([np.asarray(each.below) for each in parts]),
        np.concatenate([np.asarray(each.below if each.occurs is None else each.occurs) for each in parts]),
    )


def _mean_ratios(
    above: "npt.NDArray[np.float64]", below: "npt.NDArray[np.float64]", occurs: "npt.NDArray[np.float64]"
) -> "npt.NDArray[np.float64]":
    """The mean of each row's ratios over the columns that occur in it; NaN where none does."""
    import numpy as np

    defined = (occurs > 0) & (below > 0)
    ratios = np.divide(above, below, out=np.zeros_like(above), where=defined)
    n_defined = defined.sum(axis=1)
    total = np.where(defined, ratios, 0.0).sum(axis=1)
    scores = np.full(len(total), np.nan)
    np.divide(total, n_defined, out=scores, where=n_defined > 0)
    return scores


def _terms(ratios: Ratios, columns: Sequence[int], *, summed: bool) -> Terms:
    import numpy as np

    occurs = ratios.below if ratios.occurs is None else ratios.occurs
    arrays = [np.asarray(array, np.float64)[:, columns] for array in (ratios.above, ratios.below, occurs)]
    if summed:
        arrays = [array.sum(axis=1, keepdims=True) for array in arrays]
    return Terms(*arrays)


def _small(counts: Any) -> "npt.NDArray[Any]":
    """Whole numbers in the smallest type that holds them, others as they are."""
    import numpy as np

    array = np.asarray(counts)
    if array.dtype.kind in "iu" and array.size:
        return array.astype(np.min_scalar_type(int(array.max())))
    return array
