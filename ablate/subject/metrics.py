"""Metrics as a subject declares them: their unit, and which way is better."""

import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ablate.ground.errors import ConfigError

Best = Literal["max", "min"]
FRACTION = "%"  # the unit of fractions, which are shown times 100
DIGITS = 4  # significant ones, of a metric in any other unit


@dataclass(frozen=True)
class Metric:
    """A metric, or with a name such as ``event_f/*`` a family of them: one for each class.

    ``unit`` is ``"%"`` for a fraction, or what the numbers are in. ``label`` is what tables call it, and
    ``short`` what a line of progress does. ``headline`` metrics are compared when none is named, and
    ``closing`` ones are shown when a study ends; without any, all that are no family are both; a family among
    the headline ones has a picture. Of a family, ``chart`` says whether each class has a chart in MLflow; a
    page of a hundred charts shows nothing. ``select``: it is measured on data that nothing else is judged
    on, so that conditions may be chosen by it.
    """

    name: str
    best: Best = "max"
    unit: str = ""
    label: str = ""
    short: str = ""
    headline: bool = False
    closing: bool = False
    chart: bool = True
    select: bool = False

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return 1 if self.best == "max" else -1

    @property
    def is_fraction(self) -> bool:
        return self.unit == FRACTION

    @property
    def is_family(self) -> bool:
        return self.name.endswith("/*")


# What a run has taken, where that was asked for: the harness measures it, whatever the subject.
ENERGY = Metric("energy_kwh", "min", "kWh", "energy")


def energy_in(facts: Mapping[str, Any]) -> dict[str, float | None]:
    """``ENERGY`` by its name, among what is known of a run; empty where it was not measured."""
    kwh = facts.get(ENERGY.name)
    return {ENERGY.name: float(kwh)} if isinstance(kwh, int | float) and not isinstance(kwh, bool) else {}


class Metrics:
    """The metrics of a subject, and ``ENERGY``. Any other name is one without a unit, more of it better.

    ``fractions`` are names that are fractions where nothing else is declared of them.
    """

    def __init__(self, declared: Iterable[Metric] = (), fractions: Container[str] = ()) -> None:
        self.declared = tuple(declared)
        self._fractions = fractions
        self._by_name = {metric.name: metric for metric in (ENERGY, *self.declared)}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self.declared)

    @property
    def names(self) -> list[str]:
        """Those that are no family."""
        return [metric.name for metric in self.declared if not metric.is_family]

    def of(self, name: str) -> Metric:
        """The metric of a name, of which a family may be told, or what it is a variant of.

        ``event_f/car`` is of the family ``event_f/*``, and ``psds1.median_0.5s`` a variant of ``psds1``.
        """
        head, _, part = name.partition("/")
        for stem in (head, head.partition(".")[0]):
            declared = self._by_name.get(f"{stem}/*" if part else stem) or self._by_name.get(name)
            if declared is not None:
                return declared
        return Metric(name, unit=FRACTION if name in self._fractions else "")

    def headline(self, found: Sequence[str]) -> list[str]:
        """Of the metrics that runs have, those to compare when none is named, as declared."""
        return self._chosen(found, [metric.name for metric in self.declared if metric.headline])

    def closing(self, found: Sequence[str]) -> list[str]:
        """Of the metrics that runs have, those to close a study with."""
        chosen = [metric.name for metric in self.declared if metric.closing]
        return self._chosen(found, chosen) if chosen else self.headline(found)

    def _chosen(self, found: Sequence[str], chosen: Sequence[str]) -> list[str]:
        for names in (chosen, self.names):
            present = [name for name in names if name in found]
            if present:
                return present
        return [name for name in found if "/" not in name and name != ENERGY.name]

    def label(self, name: str) -> str:
        """``event_f/car`` -> ``event F car``; ``confusion/a/b`` -> ``confusion a as b``."""
        metric = self._by_name.get(name)
        if metric is not None and metric.label:
            return metric.label
        if name.count("/") > 1 or "+" in name:
            name = name.replace("+", " with ").replace("/", " ", 1).replace("/", " as ")
        return re.sub(r"\bf\b", "F", re.sub("[_/]", " ", name))


def parse_metric(text: str) -> tuple[Metric, str | None]:
    """``accuracy:max``, ``loss:min=train loss ([0-9.]+)``: a metric, and the pattern that finds it in a log.

    ``val_loss:min:select`` is fit to choose conditions by.

    Raises ConfigError.
    """
    head, equals, pattern = text.partition("=")
    name, _, words = head.strip().partition(":")
    best, _, select = words.partition(":")
    if (
        not re.fullmatch(r"[\w.\-/ ]*[\w*]", name)
        or best not in ("", "max", "min")
        or select not in ("", "select")
    ):
        raise ConfigError(
            f"--metric '{text}': write NAME, NAME:max or NAME:min, and =PATTERN to find it in the output, "
            "such as 'loss:min=train loss ([0-9.]+)'"
        )
    if equals:
        _check_pattern(text, pattern)
    direction: Best = "min" if best == "min" else "max"
    return Metric(name, direction, select=bool(select)), pattern if equals else None


def _check_pattern(text: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"--metric '{text}': not a regular expression ({error})") from None
    if groups != 1:
        raise ConfigError(
            f"--metric '{text}': put the number in brackets, once, such as ([0-9.]+); brackets that only "
            "group are written (?:...)"
        )


def brief_value(metric: Metric, value: float) -> str:
    """A value for a line of text: ``81.2 %``, ``0.123``, ``4.2 dB``."""
    if metric.is_fraction:
        return f"{100 * value:.1f} %"
    return f"{value:.4g} {metric.unit}".rstrip()


def decimals(values: Iterable[float]) -> int:
    """How many decimals show ``DIGITS`` significant digits of the largest of the values.

    >>> decimals([0.0123, 0.5]), decimals([1234.5])
    (4, 0)
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0.0:
        return 2
    return min(12, max(0, DIGITS - 1 - math.floor(math.log10(largest))))
