"""How much a baseline's scores differ between seeds, and so what a study of so many seeds can tell apart.

A condition that changes nothing differs from the baseline as two trainings with other random numbers do:
where seeds have nothing in common, by sqrt(2) times the baseline's standard deviation. Where a seed moves
conditions alike, pairing makes that less; how much is known once another condition has been trained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import chdtri

from ablate.analysis.compare import Group, group_runs, nearest_group
from ablate.analysis.intervals import CONFIDENCE, moments, power, seeds_needed
from ablate.analysis.layout import Column, filled, text_table
from ablate.analysis.query import RunRecord
from ablate.analysis.units import Scale, all_fractions, title_unit
from ablate.subject.metrics import Metric, Metrics

SEEDS = (3, 5, 10, 20)  # for which it is said what they tell apart
WANTED_POWER = 0.8
ONE_SIDED = (1 - CONFIDENCE) / 2
POINT = 0.01  # of a fraction


@dataclass(frozen=True)
class Noise:
    """The spread of one metric over the ``n`` seeds of a baseline.

    ``sd_low`` and ``sd_high`` are the 95 % interval of the standard deviation; ``sd_of_difference`` is that
    of a difference between two conditions, seen in the study's own differences where it ``is_paired``.
    ``unit_step`` is a point of a fraction, else one standard deviation of the baseline.
    """

    metric: str
    n: int
    mean: float
    sd: float
    sd_low: float
    sd_high: float
    lowest: float
    highest: float
    sd_of_difference: float
    is_paired: bool
    unit_step: float

    def least_difference(self, seeds: int) -> float:
        """The least difference that a two-sided paired t test finds with a chance of 80 %."""
        return least_effect(seeds) * self.sd_of_difference

    @property
    def seeds_of_a_step(self) -> int | None:
        """How many seeds find a difference of ``unit_step``; None when too many."""
        return seeds_needed([self.unit_step / self.sd_of_difference], ONE_SIDED, WANTED_POWER)


def least_effect(seeds: int) -> float:
    """The least effect, in standard deviations of the differences, that is found with a chance of 80 %."""
    low, high = 0.0, 0.1
    while power(high, seeds, ONE_SIDED) < WANTED_POWER:  # far beyond it, the noncentral t overflows
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, seeds, ONE_SIDED) >= WANTED_POWER else (middle, high)
    return high


def noise_of(
    metric: Metric, name: str, scores: Sequence[float], differences: Sequence[Sequence[float]] = ()
) -> Noise | None:
    """The noise of a baseline's scores, one a seed; None without any spread, or for a single seed.

    ``differences`` are those of other conditions from the baseline, paired by seed.
    """
    if len(scores) < 2:
        return None
    mean, sd = moments(scores)
    if not sd:
        return None
    pooled, v = pooled_sd(differences), len(scores) - 1
    return Noise(
        metric=name,
        n=len(scores),
        mean=mean,
        sd=sd,
        sd_low=sd * math.sqrt(v / float(chdtri(v, ONE_SIDED))),
        sd_high=sd * math.sqrt(v / float(chdtri(v, 1 - ONE_SIDED))),
        lowest=min(scores),
        highest=max(scores),
        sd_of_difference=math.sqrt(2) * sd if pooled is None else pooled,
        is_paired=pooled is not None,
        unit_step=POINT if metric.is_fraction else sd,
    )


def pooled_sd(samples: Sequence[Sequence[float]]) -> float | None:
    """The standard deviation that samples share, each around its own mean; None where they have no spread."""
    squares = freedom = 0.0
    for sample in samples:
        if len(sample) > 1:
            squares += (len(sample) - 1) * (moments(sample)[1] or 0.0) ** 2
            freedom += len(sample) - 1
    return math.sqrt(squares / freedom) if squares else None


def noise_of_group(
    baseline: Group, others: Sequence[Group], units: Metrics, metrics: Sequence[str]
) -> list[Noise]:
    """The noise of each metric that has any; ``others`` are compared with the baseline."""
    found = []
    for name in metrics:
        scores = baseline.scores(name)
        differences = [_differences(other.scores(name), scores) for other in others]
        noise = noise_of(units.of(name), name, list(scores.values()), differences)
        found += [noise] if noise else []
    return found


def noise_of_groups(
    records: Sequence[RunRecord], baselines: Sequence[Group], units: Metrics, metrics: Sequence[str]
) -> dict[str, list[Noise]]:
    """Of each baseline by its name, beside the conditions that are compared with it."""
    nearest = [(group, nearest_group(group, baselines)) for group in group_runs(records)]
    names = {group.name for group in baselines}
    others = {
        name: [group for group, base in nearest if base and base.name == name and group.name not in names]
        for name in names
    }
    return {group.name: noise_of_group(group, others[group.name], units, metrics) for group in baselines}


def _differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    return [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]


# --------------------------------------------------------------------------------------------- as text


def table(found: Sequence[Noise], units: Metrics, width: int | None = None) -> str:
    """A line a metric: its spread, what numbers of seeds tell apart, and the seeds that one step needs."""
    titles, rows = titles_of(found, units), rows_of(found, units)
    columns = [
        Column((title,), tuple(row[place] for row in rows), text=place == 0)
        for place, title in enumerate(titles)
    ]
    return text_table(columns[0], [], [[column] for column in columns[1:]], width)


def titles_of(found: Sequence[Noise], units: Metrics) -> list[str]:
    """Of the table's columns; the step of each metric is named once."""
    steps = dict.fromkeys(_step(units.of(noise.metric)) for noise in found)
    mean = "mean (%)" if all_fractions(units, [noise.metric for noise in found]) else "mean"
    seeds = [f"{seeds} seeds" for seeds in SEEDS]
    return ["metric", "n", mean, "SD", "95 % CI of SD", "range", *seeds, f"seeds for {' or '.join(steps)}"]


def rows_of(found: Sequence[Noise], units: Metrics) -> list[list[str]]:
    """The table's cells, a row for each metric."""
    shown = [noise.metric for noise in found]
    return [_row(noise, units, title_unit(units, shown, noise.metric)) for noise in found]


def _step(metric: Metric) -> str:
    return "1 point" if metric.is_fraction else "1 SD"


def _row(noise: Noise, units: Metrics, unit: str) -> list[str]:
    metric = units.of(noise.metric)
    scale = Scale.of(metric, [noise.mean, noise.sd])
    narrow = scale if metric.is_fraction else Scale.of(metric, [noise.sd])
    needed = noise.seeds_of_a_step
    return [
        units.label(noise.metric),
        str(noise.n),
        scale.value(noise.mean) + unit,
        narrow.value(noise.sd),
        f"[{narrow.value(noise.sd_low)}, {narrow.value(noise.sd_high)}]",
        f"{scale.value(noise.lowest)} to {scale.value(noise.highest)}",
        *(narrow.value(noise.least_difference(seeds)) for seeds in SEEDS),
        "> 1000" if needed is None else str(needed),
    ]


def notes(found: Sequence[Noise], baseline: str) -> list[str]:
    """How to read the table."""
    lines = [
        f"The columns of seeds say which difference from {baseline} so many seeds tell apart, with a chance "
        f"of {100 * WANTED_POWER:.0f} % (two-sided paired t test at 5 %).",
    ]
    if all(noise.is_paired for noise in found):
        return [*lines, "The spread of a difference is that of this study's own, paired by seed."]
    return [
        *lines,
        "The spread of a difference is taken for sqrt(2) times the SD. Where a seed moves conditions alike, "
        "pairing makes it less; how much, other conditions will show.",
    ]


def terminal(found: Sequence[Noise], baseline: str, units: Metrics, width: int | None = None) -> str:
    return f"{table(found, units, width)}\n\n" + filled("\n".join(notes(found, baseline)), width)


def in_a_line(noise: Noise, units: Metrics, seeds: int) -> str:
    """``event micro F SD 0.80 points over 10 seeds; 3 seeds tell apart 3.70 points, with ...``."""
    metric = units.of(noise.metric)
    scale = Scale.of(metric, [noise.sd])
    unit = " points" if metric.is_fraction else f" {metric.unit}".rstrip()
    told = ""
    if seeds > 1:
        least = scale.value(noise.least_difference(seeds))
        told = (
            f"; {seeds} seeds tell apart {least}{unit} or less, with a chance of {100 * WANTED_POWER:.0f} %"
        )
    return f"{units.label(noise.metric)} SD {scale.value(noise.sd)}{unit} over {noise.n} seeds{told}"


def content(noise: Noise) -> dict[str, object]:
    """For JSON, in the metric's own unit."""
    return {
        **vars(noise),
        "least_difference": {str(seeds): noise.least_difference(seeds) for seeds in SEEDS},
        "seeds_for_a_step": noise.seeds_of_a_step,
        "power": WANTED_POWER,
    }
