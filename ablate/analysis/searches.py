"""What a search has found: its trials by their scores, and how much of that was luck.

The best of many trials was chosen for its score, and so for whatever chance has added to it. What it is worth
is seen when it is trained anew, with other seeds, and scored on data that had no part in the choice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from ablate.analysis.cells import means
from ablate.analysis.compare import Comparison, compare
from ablate.analysis.intervals import Difference
from ablate.analysis.layout import Column, filled, text_table
from ablate.analysis.query import RunRecord, load_runs
from ablate.analysis.units import NOTHING, Scale
from ablate.ground.errors import StoreError
from ablate.record.rundir import State
from ablate.record.searches import Plan, SearchFolder, Trial, origin
from ablate.record.store import Store
from ablate.subject.interface import Card
from ablate.subject.metrics import Metrics

MOST_OF_FRONT = 20  # conditions in a table

TrialState = Literal["scored", "pruned", "failed", "under way"]


@dataclass(frozen=True)
class Tried:
    """A trial and what came of it. ``values`` are the means over its seeds, one for each objective."""

    trial: Trial
    state: TrialState
    values: tuple[float, ...] | None = None

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def name(self) -> str:
        return self.trial.name


@dataclass(frozen=True)
class Search:
    """A search as it stands. ``tried`` are its trials in the order in which they were asked."""

    study: str
    plan: Plan
    card: Card
    tried: tuple[Tried, ...]

    @property
    def metrics(self) -> Metrics:
        return self.card.metrics

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.plan.objectives)

    @cached_property
    def signs(self) -> tuple[int, ...]:
        """1 for an objective to be maximised, -1 for one to be minimised."""
        return tuple(1 if best == "max" else -1 for best in self.plan.objectives.values())

    @cached_property
    def scored(self) -> tuple[Tried, ...]:
        """Each condition that has scores, once."""
        return tuple(
            tried for tried in self.tried if tried.values is not None and tried.trial.same_as is None
        )

    @property
    def baseline(self) -> Tried | None:
        """The trial of the base as it is, which is the first one, if it has scores."""
        return next((tried for tried in self.scored if tried.number == 0), None)

    def gain(self, tried: Tried, place: int = 0) -> float | None:
        """How much higher an objective is than the baseline's."""
        if self.baseline is None or self.baseline.values is None or tried.values is None:
            return None
        return tried.values[place] - self.baseline.values[place]


def read_search(store: Store, study: str) -> Search | None:
    """The search of a study; None when the study is none. Raises StoreError for damage."""
    folder = SearchFolder.of(store, study)
    if not folder.exists():
        return None
    plan = folder.plan()
    records = {record.run_id: record for record in load_runs(store, study)}
    tried = tuple(_tried(trial, plan, records) for trial in folder.trials())
    return Search(study, plan, store.study_card(study), tried)


def _tried(trial: Trial, plan: Plan, records: dict[str, RunRecord]) -> Tried:
    if trial.refused is not None:
        return Tried(trial, "failed")
    runs = [records[run_id] for run_id in trial.runs if run_id in records]
    states = {run.state for run in runs}
    if states & {State.FAILED, State.DAMAGED}:
        return Tried(trial, "failed")
    if State.PRUNED in states:
        return Tried(trial, "pruned")
    if states != {State.FINISHED} or len(runs) < len(trial.runs):
        return Tried(trial, "under way")
    found = means(runs, plan.objectives)
    values = tuple(value for value in found.values() if value is not None)
    return Tried(trial, "scored", values) if len(values) == len(found) else Tried(trial, "failed")


# ------------------------------------------------------------------------------------------- the best of it


def best(search: Search, n: int) -> list[Tried]:
    """The ``n`` best conditions beside the baseline: by one objective, or spread over the Pareto front."""
    others = [tried for tried in search.scored if tried.number != 0]
    if len(search.objectives) == 1:
        return sorted(others, key=lambda tried: _rank(search, tried))[:n]
    line = [tried for tried in front(search) if tried.number != 0]
    if len(line) <= n:
        return line
    places = [round(place * (len(line) - 1) / max(1, n - 1)) for place in range(n)]
    return [line[place] for place in dict.fromkeys(places)]


def front(search: Search) -> list[Tried]:
    """The Pareto front: conditions that no other one beats in both objectives; the best first one first."""
    found: list[Tried] = []
    for tried in sorted(search.scored, key=lambda tried: _rank(search, tried)):
        if not found or _rank(search, tried)[1:] < _rank(search, found[-1])[1:]:
            found.append(tried)
    return found


def _rank(search: Search, tried: Tried) -> tuple[float, ...]:
    """Less is better; of equals the earlier one."""
    values = tried.values or ()
    return tuple(-sign * value for sign, value in zip(search.signs, values, strict=True))


def hypervolumes(search: Search) -> list[float]:
    """After each trial, the area of pairs of scores that some condition so far beats in both objectives.

    It is measured from the worst value of each objective that any trial has had, and as a share of the area
    between these and the best ones; it never falls. Zitzler and Thiele 1998, "Multiobjective Optimization
    Using Evolutionary Algorithms".
    """
    points = [_rank(search, tried) for tried in search.scored]
    if not points:
        return [0.0] * len(search.tried)
    worst = tuple(max(each) for each in zip(*points, strict=True))
    ideal = tuple(min(each) for each in zip(*points, strict=True))
    whole = (worst[0] - ideal[0]) * (worst[1] - ideal[1])
    found: list[float] = []
    so_far: list[tuple[float, ...]] = []
    for tried in search.tried:
        if tried.values is not None:
            so_far.append(_rank(search, tried))
        found.append(_area(so_far, worst) / whole if whole else 0.0)
    return found


def _area(points: Sequence[tuple[float, ...]], worst: tuple[float, ...]) -> float:
    """Of the union of the rectangles between each point and the worst one; less is better."""
    area, ceiling = 0.0, worst[1]
    for x, y in sorted(points):
        if y < ceiling:
            area += (worst[0] - x) * (ceiling - y)
            ceiling = y
    return area


def rows_of_best(search: Search, n: int) -> list[Tried]:
    """What a table shows: the baseline, then the ``n`` best, or ``MOST_OF_FRONT`` of the Pareto front."""
    first = [] if search.baseline is None else [search.baseline]
    found = best(search, n if len(search.objectives) == 1 else MOST_OF_FRONT)
    return [*first, *found]


# --------------------------------------------------------------------------------------------------- luck


@dataclass(frozen=True)
class Luck:
    """How a condition had differed from the baseline in the search, and how it does when trained anew.

    ``sign``: 1 where higher is better, -1 where lower is.
    """

    name: str
    metric: str
    sign: int
    in_search: float | None
    anew: Difference | None

    @property
    def luck(self) -> float | None:
        """How much better it had looked than it is; less than 0 where it had looked worse."""
        if self.in_search is None or self.anew is None:
            return None
        return self.sign * (self.in_search - self.anew.mean)


def lucks(search: Search, anew: Comparison) -> list[Luck]:
    """For each condition that was trained anew, and each objective."""
    tried = {each.name: each for each in search.scored}
    return [
        Luck(row.name, metric, search.signs[place], search.gain(tried[row.name], place), cell.difference)
        for row in anew.conditions
        if not row.is_baseline and row.name in tried
        for place, metric in enumerate(search.objectives)
        if (cell := row.metrics.get(metric)) is not None
    ]


def anew_of(study: str) -> str:
    """The study in which the best of a search are trained anew."""
    return f"{study}.best"


def lucks_of(search: Search, store: Store) -> list[Luck]:
    """As ``lucks``, by the study that trains the best anew; none before a run of it has finished."""
    name = anew_of(search.study)
    if store.study_card_of(name) is None:
        return []
    records = load_runs(store, name)
    if not any(record.state is State.FINISHED for record in records):
        return []
    return lucks(search, compare(records, name, metrics=list(search.objectives)))


# ------------------------------------------------------------------------------------------------ in words


def tally(search: Search) -> str:
    """``60 trials: 41 scored, 17 pruned, 2 the same as others``."""
    counts = Counter[str](
        "the same as others" if tried.trial.same_as is not None else tried.state for tried in search.tried
    )
    parts = ", ".join(f"{number} {state}" for state, number in counts.items())
    n = len(search.tried)
    return f"{n} trial{'s' * (n != 1)}: {parts}" if parts else "no trials yet"


def method(search: Search) -> str:
    """Sampler, pruner and what the trials were scored by."""
    plan = search.plan
    pruning = f", pruned by {plan.pruner}" if plan.pruner != "none" else ""
    seeds = f"{plan.seeds} seed{'s' * (plan.seeds > 1)} a trial"
    return f"sampler {plan.sampler} (search seed {plan.seed}){pruning}; {seeds}, scored on {scored_on(plan)}"


def scored_on(plan: Plan) -> str:
    if plan.on_evaluation:
        return "the EVALUATION data, so that every score is biased by the choice"
    if plan.validation:
        return f"{100 * plan.validation:g} % of the training data, held out by the subject"
    return "a metric that the subject declares fit for selection"


def remark(store: Store, study: str) -> str | None:
    """What a reader of any table of a study must know of the search behind it; None where there is none."""
    searched = origin(store, study)
    folder = SearchFolder.of(store, searched or study)
    if not folder.exists():
        return None
    try:
        plan = folder.plan()
    except StoreError as error:
        return f"The record of the search cannot be read, and with it how these were chosen: {error}"
    if plan.on_evaluation:
        whose = f"Found by the search {searched}" if searched else "The trials of a search"
        return (
            f"{whose} ON THE EVALUATION DATA: scores and differences are better than they would be on other "
            "data, and p-values mean nothing."
        )
    if searched:
        return None
    return (
        f"The trials of a search, scored on {scored_on(plan)}: the best were chosen for their scores, so "
        f"that neither differences nor p-values are to be believed; those of '{anew_of(study)}' are."
    )


def marked(comparison: Comparison, store: Store) -> Comparison:
    """The comparison with the remark on a search among the doubts below it."""
    found = remark(store, comparison.study)
    return comparison if found is None else replace(comparison, suspects=(found, *comparison.suspects))


def table_of_best(search: Search, n: int, width: int | None) -> str:
    """The baseline and the best conditions, or the Pareto front, a row each."""
    rows = rows_of_best(search, n)
    label = Column(("condition",), tuple(tried.name for tried in rows), text=True)
    trial = Column(("trial",), tuple(str(tried.number) for tried in rows))
    groups = [_columns(search, rows, place) for place in range(len(search.objectives))]
    return text_table(label, [trial], groups, width)


def _columns(search: Search, rows: Sequence[Tried], place: int) -> list[Column]:
    metric = search.objectives[place]
    values = [tried.values[place] for tried in rows if tried.values is not None]
    gains = [search.gain(tried, place) for tried in rows]
    scale = Scale.of(search.metrics.of(metric), values)
    title = search.metrics.label(metric) + (scale.suffix if len(search.objectives) > 1 else "")
    return [
        Column((title,), tuple(map(scale.value, values))),
        Column(
            ("from baseline",),
            tuple(
                "" if tried.number == 0 or gain is None else scale.difference(gain)
                for tried, gain in zip(rows, gains, strict=True)
            ),
        ),
    ]


def table_of_luck(search: Search, found: Sequence[Luck], width: int | None) -> str:
    """What the best conditions gain anew, beside what they had gained in the search."""
    label = Column(("condition",), tuple(luck.name for luck in found), text=True)
    fixed = []
    if len(search.objectives) > 1:
        names = tuple(search.metrics.label(luck.metric) for luck in found)
        fixed = [Column(("metric",), names, text=True)]
    scales = {
        metric: Scale.of(
            search.metrics.of(metric),
            [luck.anew.mean for luck in found if luck.metric == metric and luck.anew is not None],
        )
        for metric in search.objectives
    }

    def shown(luck: Luck, value: float | None) -> str:
        return NOTHING if value is None else scales[luck.metric].difference(value)

    columns = [
        Column(("from baseline", "in the search"), tuple(shown(luck, luck.in_search) for luck in found)),
        Column(("anew",), tuple(shown(luck, luck.anew.mean if luck.anew else None) for luck in found)),
        Column(("95 % CI",), tuple(_interval(luck, scales[luck.metric]) for luck in found)),
        Column(("luck",), tuple(shown(luck, luck.luck) for luck in found)),
    ]
    return text_table(label, fixed, [[column] for column in columns], width)


def _interval(luck: Luck, scale: Scale) -> str:
    found = luck.anew
    return (scale.interval(found.ci_low, found.ci_high) if found else "") or NOTHING


def terminal(search: Search, n: int, width: int | None) -> str:
    """The search in a few lines and a table."""
    lines = [filled(f"search {search.study}: {tally(search)}", width), filled(f"  {method(search)}", width)]
    if not search.scored:
        return "\n".join([*lines, "  no trial has a score yet"]) + "\n"
    if len(search.objectives) > 1:
        area = f"{100 * hypervolumes(search)[-1]:.0f} %"
        line = (
            f"  Pareto front: {len(front(search))} conditions that none beats in both; hypervolume {area} of "
            "the area between the worst and the best scores"
        )
        lines.append(filled(line, width))
    return "\n".join([*lines, "", table_of_best(search, n, width)]) + "\n"


def as_json(search: Search) -> dict[str, Any]:
    """Everything, for other programs."""
    content = {
        "schema": "ablate.search/1",
        "study": search.study,
        "plan": asdict(search.plan),
        "trials": [
            {**tried.trial.to_json(), "state": tried.state, "values": tried.values} for tried in search.tried
        ],
        "best": [tried.number for tried in best(search, len(search.scored))],
    }
    if len(search.objectives) > 1:
        content["front"] = [tried.number for tried in front(search)]
        content["hypervolume"] = hypervolumes(search)
    return content
