"""A comparison that speaks of other items than those that the runs were scored on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ablate.analysis.byitem import Counts, Crossed, NotByItem, cross, over_items
from ablate.analysis.compare import Comparison, ConditionRow, Group, MetricCell, group_runs
from ablate.analysis.crossed import Over
from ablate.analysis.intervals import Difference, holm
from ablate.analysis.query import RunRecord
from ablate.ground.errors import ConfigError, StudyError
from ablate.ground.wording import some

MOST_NAMED = 8  # conditions in one sentence
METHODS = ("t", "percentile")

Place = tuple[str, str]  # a condition and a metric


def over_others(
    comparison: Comparison, records: Sequence[RunRecord], over: Over, interval_seed: int = 0
) -> Comparison:
    """The same comparison with the differences' intervals and p-values over items, or over seeds and items.

    ``records`` are those that were compared. An interval "percentile" is that of the crossed bootstrap, which
    draws by ``interval_seed``; p-values are those of the t interval, adjusted by Holm.

    Raises ConfigError for another interval, StudyError when no difference can be told by item.
    """
    if comparison.interval not in METHODS:
        raise ConfigError(f"--ci {comparison.interval} is over seeds; leave it out with --over {over}")
    found, why = _by_item(comparison, group_runs(records))
    if not found:
        reason = next(iter(why.values()), "there is nothing to compare with the baseline")
        raise StudyError(f"study '{comparison.study}': --over {over} has nothing to go by: {reason}")
    changed = {
        place: _difference(cell, found.get(place), comparison, over, interval_seed)
        for place, cell in _compared(comparison)
    }
    places = list(changed)
    p_holm = dict(zip(places, holm([changed[place].p for place in places]), strict=True))
    rows = tuple(_row(row, changed, p_holm, found) for row in comparison.conditions)
    return replace(comparison, conditions=rows, over=over, gaps=tuple(_gaps(comparison, why)))


def _compared(comparison: Comparison) -> Iterator[tuple[Place, MetricCell]]:
    """The cells that have a difference."""
    for row in comparison.conditions:
        for metric, cell in row.metrics.items():
            if cell is not None and cell.difference is not None:
                yield (row.name, metric), cell


def _by_item(
    comparison: Comparison, groups: Sequence[Group]
) -> tuple[dict[Place, Crossed], dict[Place, str]]:
    """The differences by seed and item, and why there is none of the others."""
    by_name = {group.name: group for group in groups}
    baselines = {row.name: row.baseline for row in comparison.conditions}
    counts, found, why = Counts(), dict[Place, Crossed](), dict[Place, str]()
    for (name, metric), _ in _compared(comparison):
        base = baselines[name]
        assert base is not None, "a difference is from a baseline"
        try:
            sign = comparison.units.of(metric).sign
            found[name, metric] = crossing(by_name[name], by_name[base], (metric, metric), sign, counts)
        except NotByItem as error:
            why[name, metric] = str(error)
    return found, why


def crossing(ours: Group, theirs: Group, metrics: tuple[str, str], sign: int, counts: Counts) -> Crossed:
    """Two conditions by item, over the seeds that both have a score of. Raises NotByItem."""
    seeds = sorted(ours.scores(metrics[0]).keys() & theirs.scores(metrics[1]).keys())
    return cross(ours.of_seeds(seeds), theirs.of_seeds(seeds), metrics, sign, counts)


def _difference(
    cell: MetricCell, crossed: Crossed | None, comparison: Comparison, over: Over, seed: int
) -> Difference:
    assert cell.difference is not None
    if crossed is None:
        return replace(cell.difference, ci_low=None, ci_high=None, p=None)
    found = over_items(cell.difference, crossed, over)
    if comparison.interval == "percentile":
        low, high = crossed.percentile(over, seed) or (None, None)
        return replace(found, ci_low=low, ci_high=high)
    return found


def _row(
    row: ConditionRow,
    changed: Mapping[Place, Difference],
    p_holm: Mapping[Place, float | None],
    found: Mapping[Place, Crossed],
) -> ConditionRow:
    cells = dict(row.metrics)
    for metric, cell in row.metrics.items():
        place = (row.name, metric)
        if cell is not None and place in changed:
            cells[metric] = replace(
                cell, difference=changed[place], p_holm=p_holm[place], crossed=found.get(place)
            )
    return replace(row, metrics=cells)


def _gaps(comparison: Comparison, why: Mapping[Place, str]) -> Iterator[str]:
    """A sentence for each reason and metric, with the conditions that it holds for."""
    names: dict[tuple[str, str], list[str]] = {}
    for (name, metric), reason in why.items():
        names.setdefault((metric, reason), []).append(name)
    for (metric, reason), conditions in names.items():
        label = comparison.units.label(metric)
        yield f"No interval of {label} in {some(conditions, MOST_NAMED)}: {reason}."
