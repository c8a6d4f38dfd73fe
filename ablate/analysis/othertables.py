"""How often a condition is the better one on other items, and what the difference varies by, as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.analysis.compare import Comparison
from ablate.analysis.units import NOTHING
from ablate.ground.wording import joined

if TYPE_CHECKING:
    from ablate.analysis.byitem import Crossed

BETTER, INTERVAL, VARIANCE = "better", "95 % CI", "variance"
TITLES = (BETTER, INTERVAL, VARIANCE)


@dataclass(frozen=True)
class OtherRow:
    """One condition: the texts of ``TITLES`` for each metric."""

    name: str
    cells: tuple[tuple[str, str, str], ...]


def other_rows(comparison: Comparison) -> list[OtherRow]:
    """A row for each condition that is compared by item; none for a comparison over seeds."""
    return [
        OtherRow(row.name, tuple(_cells(cell.crossed if cell else None) for cell in row.metrics.values()))
        for row in comparison.conditions
        if any(cell and cell.crossed for cell in row.metrics.values())
    ]


def _cells(crossed: "Crossed | None") -> tuple[str, str, str]:
    if crossed is None:
        return "", "", ""
    chance, shares = crossed.chance, crossed.spread.shares
    better = NOTHING if chance is None else _percent(chance.value)
    interval = ""
    if chance is not None and chance.ci_low is not None and chance.ci_high is not None:
        interval = f"[{_percent(chance.ci_low)}, {_percent(chance.ci_high)}]"
    parts = NOTHING if shares is None else " / ".join(f"{100 * share:.0f}" for share in shares.values())
    return better, interval, parts


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def titles(comparison: Comparison) -> list[str]:
    """A title for each text of a row, with the metric in the first of each metric's."""
    return [
        f"{comparison.units.label(metric)}: {title}" if title == BETTER else title
        for metric in comparison.metrics
        for title in TITLES
    ]


def kinds(comparison: Comparison) -> str:
    """What the items are called: ``recordings``."""
    found = dict.fromkeys(f"{crossed.kind}s" for crossed in _crossed(comparison))
    return joined(list(found)) if found else "items"


def _crossed(comparison: Comparison) -> Iterator["Crossed"]:
    for row in comparison.conditions:
        for cell in row.metrics.values():
            if cell is not None and cell.crossed is not None:
                yield cell.crossed


def what_over(comparison: Comparison) -> str:
    """Of what the intervals speak: ``seeds and 136 recordings``."""
    numbers = dict.fromkeys(crossed.spread.n_items for crossed in _crossed(comparison))
    items = f"{joined(list(numbers))} {kinds(comparison)}"
    return f"seeds and {items}" if comparison.over == "both" else items


def title(comparison: Comparison) -> str:
    """What the second table is of."""
    return f"on another {_kind(comparison)} with another seed, in %"


def _kind(comparison: Comparison) -> str:
    return kinds(comparison).removesuffix("s")


def legend(comparison: Comparison, baseline: str) -> list[str]:
    """How to read the second table."""
    if not other_rows(comparison):
        return []
    kind = _kind(comparison)
    return [
        f"{BETTER}: how often it is better than {baseline}, by the score of one {kind} that both are tried "
        f"on, trained with one seed; ties count half. {VARIANCE}: of such differences, what is the seed's / "
        f"the {kind}'s / neither's."
    ]


def content(crossed: "Crossed") -> dict[str, Any]:
    """As JSON; shares and variances as they are."""
    spread, chance = crossed.spread, crossed.chance
    return {
        "n_items": spread.n_items,
        "effective_items": spread.effective_items,
        "better": None
        if chance is None
        else {
            "chance": chance.value,
            "ci_low": chance.ci_low,
            "ci_high": chance.ci_high,
            "n_items": chance.n_items,
        },
        "shares": spread.shares,
        "variances": {"seeds": spread.over_seeds, "items": spread.over_items, "rest": spread.rest},
    }


def csv_content(crossed: "Crossed | None") -> dict[str, Any]:
    """As columns of CSV; empty where there is nothing."""
    chance = crossed.chance if crossed else None
    shares = (crossed.spread.shares if crossed else None) or {}
    return {
        "n_items": crossed.spread.n_items if crossed else None,
        "effective_items": crossed.spread.effective_items if crossed else None,
        "better": chance.value if chance else None,
        "better_ci_low": chance.ci_low if chance else None,
        "better_ci_high": chance.ci_high if chance else None,
        **{f"share_{name}": shares.get(name) for name in ("seeds", "items", "rest")},
    }
