"""Conditions side by side: means over seeds, and differences from the baseline paired by seed.

A seed that was planned but has not finished is named, never averaged over in silence.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from ablate.analysis.cells import score
from ablate.analysis.folds import Folding, folding, pooled
from ablate.analysis.intervals import (
    Difference,
    Interval,
    Summary,
    holm,
    interval_method,
    paired_difference,
    summarise,
)
from ablate.analysis.query import RunRecord, check_names, known_metrics, stored_metrics, units_of
from ablate.analysis.units import Scale
from ablate.design.conditions import BASELINE, show
from ablate.ground.errors import StudyError
from ablate.ground.wording import some, suggest
from ablate.record.rundir import State
from ablate.subject.metrics import Metrics

if TYPE_CHECKING:  # whoever compares over items has imported numpy and scipy
    from ablate.analysis.byitem import Crossed
    from ablate.analysis.crossed import Over

MOST_NAMED = 8  # conditions in one sentence


@dataclass(frozen=True)
class Missing:
    """A planned seed without a result, and why."""

    seed: int
    state: State


@dataclass(frozen=True)
class MetricCell:
    """One metric of one condition. ``summary`` is over the seeds where the metric is defined.

    ``difference`` is None for the baseline itself, without a baseline, and without a seed in common;
    ``p_holm`` is adjusted over all differences of the comparison. ``crossed`` is the difference by seed and
    item, in a comparison over items, where the runs' counts say that.
    """

    summary: Summary
    difference: Difference | None
    p_holm: float | None
    undefined: tuple[int, ...]
    crossed: "Crossed | None" = None


@dataclass(frozen=True)
class ConditionRow:
    """One condition. ``seeds`` have finished, ``missing`` were planned as well.

    ``run_ids`` are those of ``seeds``, in the same order; those of a seed's folds are joined by ``+``.
    ``baseline`` names the row that this one is compared with; the baseline names itself. ``unpaired`` are
    finished seeds that the baseline has not finished. ``identical`` is True when every metric of every
    paired seed equals the baseline's: a hint that the ablation changed nothing.
    """

    name: str
    condition: Mapping[str, Any]
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    missing: tuple[Missing, ...]
    baseline: str | None
    unpaired: tuple[int, ...]
    identical: bool
    metrics: dict[str, MetricCell | None]

    @property
    def is_baseline(self) -> bool:
        return self.name == self.baseline

    @property
    def n_planned(self) -> int:
        return len(self.seeds) + len(self.missing)


class Remark(Protocol):
    """What is to be said of verdicts and differences that were looked at before, with fewer seeds."""

    @property
    def note(self) -> str: ...
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Comparison:
    """A study's conditions. Rows of one baseline stand together, the baseline first, in planning order.

    ``interval`` names the method of all intervals; p-values are those of the paired t test whatever it is.
    ``units`` say how the numbers of each metric are written. ``suspects`` are sentences on what makes one
    doubt that a change took effect. ``looked`` is set where this is not the first look at the study,
    ``folding`` where the scores of a seed are those of its folds.

    ``over`` says of what else than these runs the intervals and p-values of differences speak: other seeds,
    other items, or both. ``gaps`` are sentences on differences that have none, as the counts do not say.
    """

    study: str
    baseline: str | None
    metrics: tuple[str, ...]
    conditions: tuple[ConditionRow, ...]
    units: Metrics
    interval: str = "t"
    suspects: tuple[str, ...] = ()
    looked: Remark | None = None
    folding: Folding | None = None
    over: "Over" = "seeds"
    gaps: tuple[str, ...] = ()

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """How the numbers of each metric are written."""
        means: dict[str, list[float]] = {metric: [] for metric in self.metrics}
        for row in self.conditions:
            for metric, cell in row.metrics.items():
                means[metric] += [] if cell is None else [cell.summary.mean]
        return {metric: Scale.of(self.units.of(metric), values) for metric, values in means.items()}


@dataclass(frozen=True)
class Group:
    """The replicates of one condition, a record for each seed, in the order of planning."""

    name: str
    runs: tuple[RunRecord, ...]

    @property
    def first(self) -> RunRecord:
        return self.runs[0]

    def finished(self) -> Sequence[RunRecord]:
        return self._finished

    @cached_property
    def _finished(self) -> tuple[RunRecord, ...]:
        return tuple(run for run in self.runs if run.state is State.FINISHED)

    @cached_property
    def _scores(self) -> dict[str, Mapping[int, float]]:
        """Those that were asked for: a baseline's are, once for each condition."""
        return {}

    def run_ids(self) -> dict[int, str]:
        """The run of each finished seed, or its runs joined by ``+``."""
        return {run.seed: run.run_id for run in sorted(self.finished(), key=lambda run: run.seed)}

    def of_seeds(self, seeds: Iterable[int]) -> dict[int, RunRecord]:
        """The finished runs of these seeds."""
        runs = {run.seed: run for run in self.finished()}
        return {seed: runs[seed] for seed in seeds}

    def missing(self) -> tuple[Missing, ...]:
        """The planned seeds that have not finished."""
        lacking = sorted((run.seed, run.state) for run in self.runs if run.state is not State.FINISHED)
        return tuple(Missing(seed, state) for seed, state in lacking)

    def undefined(self, scores: Mapping[int, float]) -> tuple[int, ...]:
        """The finished seeds that are not among ``scores``."""
        return tuple(sorted(run.seed for run in self.finished() if run.seed not in scores))

    def scores(self, metric: str) -> Mapping[int, float]:
        """The metric by seed, where it is defined. Names that no run stores are derived from its counts."""
        if metric not in self._scores:
            values = {run.seed: score(run, metric) for run in self.finished()}
            self._scores[metric] = {
                seed: value for seed, value in sorted(values.items()) if value is not None
            }
        return self._scores[metric]


def compare(
    records: Sequence[RunRecord],
    study: str,
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
    interval: str = "t",
    interval_seed: int = 0,
) -> Comparison:
    """Compare the conditions of a study's runs.

    ``baseline`` is a condition's name. Without it, the condition called "baseline" serves; where there is
    none, there are no differences. Without ``metrics``, those that the subject compares. ``interval`` is a
    name of ``INTERVALS``; with a bootstrap, ``interval_seed`` decides what it draws.

    Raises StudyError when no run has finished or the baseline is unknown, ConfigError for an unknown metric.
    """
    records = pooled(records)
    require_finished(records, study)
    groups = group_runs(records)
    chosen = choose_metrics(records, study, metrics)
    candidates = _baselines(groups, study, baseline)
    pairs = _in_blocks([(group, nearest_group(group, candidates)) for group in groups], candidates)
    method = interval_method(interval, interval_seed)
    differences = [_differences(group, base, chosen, method) for group, base in pairs]
    adjusted = iter(holm([d.p if d else None for row in differences for d in row.values()]))
    rows = [
        _row(group, base, row, {metric: next(adjusted) for metric in row}, method)
        for (group, base), row in zip(pairs, differences, strict=True)
    ]
    units = units_of(records)
    return Comparison(
        study,
        _shown_baseline(candidates, baseline),
        tuple(chosen),
        tuple(rows),
        units,
        interval,
        tuple(suspects(groups)),
        folding=folding_of(groups, chosen),
    )


def group_runs(records: Sequence[RunRecord]) -> list[Group]:
    """The replicates of each condition, in planning order, under names that differ; folds are put together.

    Conditions of the same name, as when a study holds runs of two profiles or data sets, have the settings
    in which they differ appended: ``baseline [model.width=0.125]`` or ``baseline [profile=quick]``.
    """
    by_condition: dict[str, list[RunRecord]] = {}
    for record in pooled(records):
        by_condition.setdefault(record.condition_id, []).append(record)
    namesakes: dict[str, list[RunRecord]] = {}
    for runs in by_condition.values():
        namesakes.setdefault(runs[0].name, []).append(runs[0])
    return [
        Group(_distinct_name(runs[0], namesakes[runs[0].name]), tuple(runs)) for runs in by_condition.values()
    ]


def folding_of(groups: Sequence[Group], metrics: Sequence[str]) -> Folding | None:
    """What is to be said of these metrics where the scores of a seed are those of its folds."""
    return folding([run for group in groups for run in group.runs], metrics)


def distinct_names(records: Sequence[RunRecord]) -> dict[str, str]:
    """Condition id -> a name that no other condition of the study has."""
    return {group.first.condition_id: group.name for group in group_runs(records)}


def _distinct_name(run: RunRecord, namesakes: Sequence[RunRecord]) -> str:
    if len(namesakes) == 1:
        return run.name
    fields = [
        field
        for field, value in run.config.items()
        if field != "seed" and any(other.config[field] != value for other in namesakes)
    ]
    parts = _profile(run, fields) or [f"{field}={show(run.config[field])}" for field in fields]
    if any(other.dataset_digest != run.dataset_digest for other in namesakes):
        ambiguous = len({other.dataset_name for other in namesakes}) == 1
        digest = f"@{run.dataset_digest[:8]}" if ambiguous else ""
        parts.append(f"data={run.dataset_name}{digest}")
    return f"{run.name} [{' '.join(parts)}]"


def _profile(run: RunRecord, fields: Sequence[str]) -> list[str]:
    """Several settings in one word, when they are those of a profile."""
    if len(fields) < 2:
        return []
    profiles = {name: {**run.subject.default, **changes} for name, changes in run.subject.profiles.items()}
    names = [
        name
        for name, settings in profiles.items()
        if all(settings.get(field) == run.config[field] for field in fields)
    ]
    return [f"profile={name}" for name in names[:1]]


def require_finished(records: Sequence[RunRecord], study: str) -> None:
    if any(record.state is State.FINISHED for record in records):
        return
    if not records:
        raise StudyError(f"study '{study}' has no runs; plan some with `ablate grid`")
    states = Counter(str(record.state) for record in records)
    tally = ", ".join(f"{count} {state}" for state, count in states.items())
    what = "no seed has finished with all of its folds" if records[0].folds else "no run has finished"
    raise StudyError(f"study '{study}': {what} yet ({tally}); `ablate runs` lists them with their logs")


def choose_metrics(records: Sequence[RunRecord], study: str, asked: Sequence[str] | None) -> list[str]:
    """The metrics asked for, or those headline metrics that have a value anywhere."""
    if asked is not None:
        check_names(asked, known_metrics(records), "metric")
        return list(dict.fromkeys(asked))
    metrics = records[0].subject.metrics
    chosen = metrics.headline(measured(records))
    if not chosen:
        named = f" of {', '.join(metrics.headline(metrics.names))}" if metrics.names else ""
        raise StudyError(f"study '{study}': no finished run has a value{named}; choose others with --metrics")
    return chosen


def measured(records: Sequence[RunRecord]) -> list[str]:
    """The metrics that have a value in any run."""
    return [
        name
        for name in stored_metrics(records)
        if any(record.metrics.get(name) is not None for record in records)
    ]


def _baselines(groups: Sequence[Group], study: str, asked: str | None) -> list[Group]:
    wanted = BASELINE if asked is None else asked
    found = named(groups, wanted)
    if not found and asked is not None:
        known = [group.name for group in groups]
        raise StudyError(f"study '{study}' has no condition '{asked}'{suggest(asked, known)}")
    return found


def named(groups: Sequence[Group], name: str) -> list[Group]:
    """The conditions of that name: several, when namesakes differ in profile or data set."""
    return [group for group in groups if name in (group.name, group.first.name)]


def _shown_baseline(candidates: Sequence[Group], asked: str | None) -> str | None:
    if not candidates:
        return None
    return BASELINE if asked is None else asked


def nearest_group(group: Group, candidates: Sequence[Group]) -> Group | None:
    """The candidate on the same data with the fewest settings that differ; the first of equals."""
    same_data = [base for base in candidates if base.first.dataset_digest == group.first.dataset_digest]
    return min(same_data, key=lambda base: _distance(group, base), default=None)


def _distance(group: Group, base: Group) -> int:
    """In how many settings two conditions differ. Their seeds are no part of a condition."""
    ours, theirs = group.first.config, base.first.config
    return sum(ours[field] != theirs[field] for field in ours if field != "seed")


def _in_blocks(
    pairs: Sequence[tuple[Group, Group | None]], candidates: Sequence[Group]
) -> list[tuple[Group, Group | None]]:
    """Each baseline, then what is compared with it; at the end, what is compared with nothing."""
    order = {base.name: place for place, base in enumerate(candidates)}

    def place(pair: tuple[Group, Group | None]) -> tuple[int, bool]:
        group, base = pair
        return (len(order) if base is None else order[base.name], group is not base)

    return sorted(pairs, key=place)


def _differences(
    group: Group, base: Group | None, metrics: Sequence[str], method: Interval
) -> dict[str, Difference | None]:
    if base is None or base is group:
        return dict.fromkeys(metrics)
    return {
        metric: paired_difference(group.scores(metric), base.scores(metric), method) for metric in metrics
    }


def _row(
    group: Group,
    base: Group | None,
    differences: Mapping[str, Difference | None],
    p_holm: Mapping[str, float | None],
    method: Interval,
) -> ConditionRow:
    finished = {run.seed for run in group.finished()}
    in_base = finished if base is None else {run.seed for run in base.finished()}
    return ConditionRow(
        name=group.name,
        condition=group.first.condition,
        seeds=tuple(sorted(finished)),
        run_ids=tuple(group.run_ids().values()),
        missing=group.missing(),
        baseline=None if base is None else base.name,
        unpaired=tuple(sorted(finished - in_base)),
        identical=base is not None and base is not group and _is_identical(group, base),
        metrics={
            metric: _cell(group, metric, difference, p_holm[metric], method)
            for metric, difference in differences.items()
        },
    )


def _cell(
    group: Group, metric: str, difference: Difference | None, p_holm: float | None, method: Interval
) -> MetricCell | None:
    """None when the metric has no value in any finished seed."""
    scores = group.scores(metric)
    if not scores:
        return None
    return MetricCell(summarise(list(scores.values()), method), difference, p_holm, group.undefined(scores))


def _is_identical(group: Group, base: Group) -> bool:
    ours = {run.seed: run.metrics for run in group.finished()}
    theirs = {run.seed: run.metrics for run in base.finished()}
    paired = ours.keys() & theirs.keys()
    return bool(paired) and all(ours[seed] == theirs[seed] for seed in paired)


# Whether what was varied had any effect.


def suspects(groups: Sequence[Group]) -> list[str]:
    """Sentences on varied settings that no training read, and on conditions whose numbers are the same."""
    return [*_unread(groups), *_unread_folds(groups), *_alike(groups)]


def _unread(groups: Sequence[Group]) -> list[str]:
    """Settings in which conditions differ and which some of their trainings never read."""
    unread = {group.name: {name for run in group.finished() for name in run.unread} for group in groups}
    names = sorted({name for each in unread.values() for name in each})
    sentences = []
    for name in (name for name in names if _is_varied(name, groups)):
        conditions = [condition for condition, each in unread.items() if name in each]
        where = some(conditions, MOST_NAMED)
        sentences.append(f"The training never read {name} in {where}: it cannot have had an effect there.")
    return sentences


def _unread_folds(groups: Sequence[Group]) -> list[str]:
    """Where the training never read which fold to hold out: then it was scored on what it was trained on."""
    names = {
        group.name: run.subject.folds[1]
        for group in groups
        for run in group.finished()
        if run.folds and run.subject.folds and run.subject.folds[1] in run.unread
    }
    if not names:
        return []
    setting, where = next(iter(names.values())), some(list(names), MOST_NAMED)
    return [f"The training never read {setting} in {where}: nothing can have been held out there."]


def _is_varied(setting: str, groups: Sequence[Group]) -> bool:
    return any(group.first.config.get(setting) != groups[0].first.config.get(setting) for group in groups[1:])


def _alike(groups: Sequence[Group]) -> list[str]:
    """Groups of conditions that agree in every metric of every seed that they have in common."""
    by_numbers: dict[object, list[Group]] = {}  # those that agree in some seed, as far as a few numbers tell
    for group in groups:
        for run in group.finished():
            numbers = [run.metrics[name] for name in islice(run.metrics, 4)]
            by_numbers.setdefault((run.seed, *numbers), []).append(group)
    sentences: dict[str, None] = {}
    told: set[str] = set()
    for first, *others in by_numbers.values():
        twins = [group for group in others if group.name not in told and _is_identical(group, first)]
        if twins and first.name not in told:
            names = [first.name, *(group.name for group in twins)]
            told.update(names)
            same = f"Every metric of every seed is the same in {some(names, MOST_NAMED)}"
            sentences[f"{same}: did the change take effect?"] = None
    return list(sentences)
