"""How numbers of a metric are written: fractions in per cent, others in their own unit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ablate.subject.metrics import Metric, Metrics, decimals

IN_PERCENT = 2  # decimals of a score in per cent, as papers print them
NOTHING = "-"


@dataclass(frozen=True)
class Scale:
    """A metric's numbers as text, with as many decimals in all cells of a column."""

    metric: Metric
    decimals: int

    @classmethod
    def of(cls, metric: Metric, values: Iterable[float | None]) -> "Scale":
        """The scale on which these values are told apart."""
        if metric.is_fraction:
            return cls(metric, IN_PERCENT)
        return cls(metric, decimals(value for value in values if value is not None))

    def value(self, value: float | None) -> str:
        """``44.63`` for the fraction 0.4463; ``-`` for none."""
        return NOTHING if value is None else f"{self._factor * value:.{self.decimals}f}"

    def difference(self, value: float) -> str:
        """With its sign, such as ``+4.55``; nothing is ``+0.00``."""
        return f"{round(self._factor * value, self.decimals) + 0.0:+.{self.decimals}f}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Of a difference: ``[+3.20, +5.90]``; empty where there is none."""
        if low is None or high is None:
            return ""
        return f"[{self.difference(low)}, {self.difference(high)}]"

    @property
    def _factor(self) -> int:
        return 100 if self.metric.is_fraction else 1

    @property
    def suffix(self) -> str:
        """What stands behind a metric's title: `` (%)``, `` (dB)`` or nothing."""
        return f" ({self.metric.unit})" if self.metric.unit else ""


def heading(metrics: Metrics, shown: Sequence[str]) -> str:
    """What a table of these metrics is a table of."""
    return "scores in %" if all_fractions(metrics, shown) else "scores"


def all_fractions(metrics: Metrics, shown: Sequence[str]) -> bool:
    return all(metrics.of(name).is_fraction for name in shown)


def title_unit(metrics: Metrics, shown: Sequence[str], name: str) -> str:
    """What a column's title says of its unit where the heading does not."""
    unit = metrics.of(name).unit
    return "" if not unit or all_fractions(metrics, shown) else f" ({unit})"
