"""A comparison as text: for a terminal, Markdown, LaTeX, CSV and JSON.

The same comparison gives the same bytes. People read fractions in percent with two decimals, as papers print
them, and other numbers in their own unit; CSV and JSON keep what is stored.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Protocol

from ablate.analysis import othertables
from ablate.analysis.compare import Comparison, ConditionRow, MetricCell, Missing
from ablate.analysis.intervals import Difference, seeds_needed
from ablate.analysis.layout import Column, csv_rows, filled, text_table
from ablate.analysis.units import NOTHING, Scale, heading, title_unit
from ablate.ground.jsontext import as_json
from ablate.subject.metrics import Metrics

UP, DOWN, SIGNIFICANT = "▲", "▼", "*"
ALPHA = 0.05


# A comparison's cells.


class Replicated(Protocol):
    """A row over seeds, of which some may be missing."""

    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def missing(self) -> tuple[Missing, ...]: ...
    @property
    def n_planned(self) -> int: ...


def _mean(cell: MetricCell | None, scale: Scale) -> str:
    if cell is None:
        return NOTHING
    spread = "" if cell.summary.sd is None else f" ± {scale.value(cell.summary.sd)}"
    return scale.value(cell.summary.mean) + spread


def _delta(cell: MetricCell | None, scale: Scale) -> str:
    if cell is None or cell.difference is None:
        return ""
    return f"{scale.difference(cell.difference.mean)}{_marks(cell)}"


def _marks(cell: MetricCell) -> str:
    arrow = {1: UP, -1: DOWN, 0: ""}[cell.difference.direction if cell.difference else 0]
    return arrow + (SIGNIFICANT if cell.p_holm is not None and cell.p_holm < ALPHA else "")


def _interval(difference: Difference | None, scale: Scale) -> str:
    return scale.interval(difference.ci_low, difference.ci_high) if difference else ""


def seed_count(row: Replicated) -> str:
    """``3``, or ``2/3`` when a planned seed is missing."""
    return str(len(row.seeds)) if not row.missing else f"{len(row.seeds)}/{row.n_planned}"


def _has_differences(comparison: Comparison) -> bool:
    return any(cell and cell.difference for row in comparison.conditions for cell in row.metrics.values())


# The formats.


def terminal(comparison: Comparison, width: int | None = None) -> str:
    """The table and its notes in plain text of at most ``width`` characters."""
    rows = comparison.conditions
    label = Column(("condition",), tuple(row.name for row in rows), text=True)
    n = Column(("n",), tuple(seed_count(row) for row in rows))
    groups = [_metric_columns(comparison, metric) for metric in comparison.metrics]
    breaks = [place for place in range(1, len(rows)) if rows[place].baseline != rows[place - 1].baseline]
    table = text_table(label, [n], groups, width, breaks)
    title = filled(f"study {comparison.study}: {heading(comparison.units, comparison.metrics)}", width)
    remarks = filled("\n".join(notes(comparison)), width)
    return f"{title}\n\n{table}\n\n{_others(comparison, width)}{remarks}\n"


def _others(comparison: Comparison, width: int | None) -> str:
    """The second table of a comparison over items."""
    rows = othertables.other_rows(comparison)
    if not rows:
        return ""
    label = Column(("condition",), tuple(row.name for row in rows), text=True)
    groups = [
        _other_columns(comparison, metric, [row.cells[place] for row in rows])
        for place, metric in enumerate(comparison.metrics)
    ]
    title = filled(othertables.title(comparison), width)
    return f"{title}\n\n{text_table(label, [], groups, width)}\n\n"


def _other_columns(
    comparison: Comparison, metric: str, texts: Sequence[tuple[str, str, str]]
) -> list[Column]:
    better, interval, variance = zip(*texts, strict=True)
    return [
        Column((*metric_title(comparison.units, metric), othertables.BETTER), better),
        Column((othertables.INTERVAL,), interval, gap=1),
        Column((othertables.VARIANCE,), variance),
    ]


def _metric_columns(comparison: Comparison, metric: str) -> list[Column]:
    cells, scale = [row.metrics[metric] for row in comparison.conditions], comparison.scales[metric]
    titles = metric_title(comparison.units, metric)
    titles[-1] += title_unit(comparison.units, comparison.metrics, metric)
    columns = [Column((*titles, "mean ± SD"), tuple(_mean(cell, scale) for cell in cells))]
    if _has_differences(comparison):
        intervals = tuple(_interval(cell.difference if cell else None, scale) for cell in cells)
        columns.append(Column(("Δ",), _aligned(cells, scale), gap=1))
        columns.append(Column(("95 % CI of Δ",), intervals, gap=1))
    return columns


def metric_title(units: Metrics, metric: str) -> list[str]:
    """``event_micro_f`` -> ``event`` above ``micro F``."""
    return units.label(metric).split(" ", 1)


def _aligned(cells: Sequence[MetricCell | None], scale: Scale) -> tuple[str, ...]:
    """Differences with their marks, padded so that the digits stand below each other."""
    marks = max((len(_marks(cell)) for cell in cells if cell), default=0)
    return tuple(_delta(cell, scale) + " " * (marks - len(_marks(cell))) if cell else "" for cell in cells)


def markdown(comparison: Comparison) -> str:
    """One table, then the notes as a list."""
    header, rows = as_read(comparison)
    lines = [pipes(header), pipes(["---", *["---:"] * (len(header) - 1)])]
    for name, *cells in rows:
        lines.append(pipes([name.replace("|", "\\|"), *(cell.replace(SIGNIFICANT, "\\*") for cell in cells)]))
    lines += _markdown_others(comparison)
    return "\n".join([*lines, "", *(f"- {line}" for line in notes(comparison))]) + "\n"


def as_read(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """The titles of the table and a row for each condition, rounded as people read them."""
    paired = _has_differences(comparison)
    header = ["condition", "n"]
    for metric in comparison.metrics:
        header.append(f"{comparison.units.label(metric)}{comparison.scales[metric].suffix}")
        header += ["Δ [95 % CI]"] * paired
    rows = []
    for row in comparison.conditions:
        cells = [row.name, seed_count(row)]
        for metric, cell in row.metrics.items():
            cells.append(_mean(cell, comparison.scales[metric]))
            if paired:
                cells.append(_joined(cell, comparison.scales[metric]))
        rows.append(cells)
    return header, rows


def _markdown_others(comparison: Comparison) -> list[str]:
    rows = othertables.other_rows(comparison)
    if not rows:
        return []
    header = [othertables.title(comparison), *othertables.titles(comparison)]
    lines = ["", pipes(header), pipes(["---", *["---:"] * (len(header) - 1)])]
    for row in rows:
        name = row.name.replace("|", "\\|")
        lines.append(pipes([name, *(text for cells in row.cells for text in cells)]))
    return lines


def pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _joined(cell: MetricCell | None, scale: Scale) -> str:
    return f"{_delta(cell, scale)} {_interval(cell.difference if cell else None, scale)}".strip()


def latex(comparison: Comparison) -> str:
    """A ``tabular`` for the booktabs package; the notes are comments below it."""
    paired = _has_differences(comparison)
    metrics = comparison.metrics
    lines = [rf"\begin{{tabular}}{{lr{'rl' * len(metrics) if paired else 'r' * len(metrics)}}}", r"\toprule"]
    titles = [tex(comparison.units.label(metric)) for metric in metrics]
    if paired:
        titles = [rf"\multicolumn{{2}}{{c}}{{{title}}}" for title in titles]
    lines.append(" & ".join(["condition", "$n$", *titles]) + r" \\")
    lines.append(r"\midrule")
    for row in comparison.conditions:
        cells = [tex(row.name), seed_count(row)]
        for metric, cell in row.metrics.items():
            cells.append(_tex_mean(cell, comparison.scales[metric]))
            if paired:
                cells.append(_tex_delta(cell, comparison.scales[metric]))
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", *_tex_others(comparison)]
    return "\n".join([*lines, *(f"% {line}" for line in notes(comparison))]) + "\n"


def _tex_others(comparison: Comparison) -> list[str]:
    rows = othertables.other_rows(comparison)
    if not rows:
        return []
    titles = [tex(title) for title in ("condition", *othertables.titles(comparison))]
    return [
        f"% {othertables.title(comparison)}",
        rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
        *(
            " & ".join([tex(row.name), *(tex(text) for cells in row.cells for text in cells)]) + r" \\"
            for row in rows
        ),
        r"\bottomrule",
        r"\end{tabular}",
    ]


_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def _tex_mean(cell: MetricCell | None, scale: Scale) -> str:
    return "--" if cell is None else "$" + _mean(cell, scale).replace("±", r"\pm") + "$"


def _tex_delta(cell: MetricCell | None, scale: Scale) -> str:
    if cell is None or cell.difference is None:
        return ""
    symbols = {UP: r"\uparrow", DOWN: r"\downarrow", SIGNIFICANT: "*"}
    marks = "".join(symbols[mark] for mark in _marks(cell))
    raised = f"^{{{marks}}}" if marks else ""
    interval = _interval(cell.difference, scale)
    return f"${scale.difference(cell.difference.mean)}{raised}" + (rf"\;{interval}$" if interval else "$")


def csv_text(comparison: Comparison) -> str:
    """One line a condition and metric, scores as stored; empty where there is no value."""
    factors = list(dict.fromkeys(name for row in comparison.conditions for name in row.condition))
    rows = [
        _csv_row(comparison, row, metric, factors)
        for row in comparison.conditions
        for metric in comparison.metrics
    ]
    return csv_rows(rows)


def _csv_row(
    comparison: Comparison, row: ConditionRow, metric: str, factors: Sequence[str]
) -> dict[str, Any]:
    content = _metric_content(row.metrics[metric]) or {}
    difference = content.pop("difference", None) or {}
    return {
        "study": comparison.study,
        "name": row.name,
        "baseline": row.baseline,
        **{f"factor.{factor}": row.condition.get(factor) for factor in factors},
        "metric": metric,
        "n_planned": row.n_planned,
        "seeds": " ".join(map(str, row.seeds)),
        "missing": " ".join(f"{missing.seed}:{missing.state}" for missing in row.missing),
        **{key: content.get(key) for key in ("mean", "sd", "n", "ci_low", "ci_high")},
        **{f"difference_{key}": difference.get(key) for key in _DIFFERENCE_KEYS},
        **_csv_others(comparison, row.metrics[metric]),
        "runs": " ".join(row.run_ids),
    }


def _csv_others(comparison: Comparison, cell: MetricCell | None) -> dict[str, Any]:
    if comparison.over == "seeds":
        return {}
    return {"over": comparison.over, **othertables.csv_content(cell.crossed if cell else None)}


_DIFFERENCE_KEYS = (
    *("mean", "sd", "n", "ci_low", "ci_high", "p", "p_holm"),
    *("p_permutation", "effect", "improvement", "seeds_needed"),
)


def json_text(comparison: Comparison) -> str:
    """``content`` as text."""
    return as_json(content(comparison)) + "\n"


def content(comparison: Comparison) -> dict[str, Any]:
    """``documents.Comparison``, scores as stored."""
    return {
        "schema": "ablate.comparison/1",
        "study": comparison.study,
        "baseline": _only_baseline(comparison),
        "interval": comparison.interval,
        **_json_over(comparison),
        "metrics": list(comparison.metrics),
        **({"folds": comparison.folding.to_json()} if comparison.folding else {}),
        "conditions": [_row_content(row) for row in comparison.conditions],
        **({"looked": comparison.looked.to_json()} if comparison.looked else {}),
    }


def _json_over(comparison: Comparison) -> dict[str, Any]:
    if comparison.over == "seeds":
        return {}
    return {"over": comparison.over, "items": othertables.kinds(comparison), "gaps": list(comparison.gaps)}


def _row_content(row: ConditionRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "condition": row.condition,
        "baseline": row.baseline,
        "n": len(row.seeds),
        "n_planned": row.n_planned,
        "seeds": list(row.seeds),
        "runs": dict(zip(map(str, row.seeds), row.run_ids, strict=True)),
        "missing": [{"seed": missing.seed, "state": str(missing.state)} for missing in row.missing],
        "unpaired": list(row.unpaired),
        "identical_to_baseline": row.identical,
        "metrics": {metric: _metric_content(cell) for metric, cell in row.metrics.items()},
    }


def _metric_content(cell: MetricCell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    by_item = {"by_item": othertables.content(cell.crossed)} if cell.crossed else {}
    return {**asdict(cell.summary), "difference": _difference_content(cell), **by_item}


def _difference_content(cell: MetricCell) -> dict[str, Any] | None:
    """``seeds_needed``: how many would find this difference with a chance of 80 %, were it the true one."""
    if cell.difference is None:
        return None
    needed = seeds_needed([abs(cell.difference.mean / cell.difference.sd)]) if cell.difference.sd else None
    return {**asdict(cell.difference), "p_holm": cell.p_holm, "seeds_needed": needed}


# Notes: how to read the table, and everything that it does not average.


def notes(comparison: Comparison) -> list[str]:
    """One sentence each; the legend first."""
    rows = comparison.conditions
    return [
        *_legend(comparison),
        *([comparison.folding.note] if comparison.folding else []),
        *missing_notes((row.name, row.missing) for row in rows),
        *_unpaired_notes(rows),
        *_undefined_notes(comparison),
        *comparison.gaps,
        *comparison.suspects,
        *([comparison.looked.note] if comparison.looked else []),
    ]


def _legend(comparison: Comparison) -> list[str]:
    if comparison.baseline is None:
        return [
            "No condition is called 'baseline', so there are no differences; choose one with --baseline NAME."
        ]
    if not _has_differences(comparison):
        return ["There is nothing to compare with the baseline yet."]
    cells = [cell for row in comparison.conditions for cell in row.metrics.values() if cell]
    tests = sum(cell.p_holm is not None for cell in cells)
    lines = [f"n counts seeds; Δ is the mean difference from {_baselines(comparison)} within each seed."]
    if tests == 0:
        return [*lines, NO_TESTS[comparison.over], *othertables.legend(comparison, _baselines(comparison))]
    lines.append(
        f"{UP} {DOWN} the 95 % CI {_method(comparison)} of Δ excludes zero; {SIGNIFICANT} p < {ALPHA} even "
        f"after Holm's adjustment for the {tests} test{'s' * (tests != 1)} {_test(comparison)} of this table."
    )
    if any(cell.difference and cell.difference.sd == 0 for cell in cells) and comparison.over != "items":
        lines.append("Δ without a CI is the same in every seed; an exact sign-flip test stands in.")
    return [*lines, *othertables.legend(comparison, _baselines(comparison))]


NO_TESTS = {
    "seeds": "One seed a condition says nothing about spread: no intervals and no tests.",
    "items": "All items agree: no intervals and no tests.",
    "both": "One seed a condition says nothing of other seeds: no intervals and no tests; "
    "--over items takes the seeds as they are.",
}
INTERVAL_NAMES = {"t": "paired t", "percentile": "percentile bootstrap", "bca": "BCa bootstrap"}


def _method(comparison: Comparison) -> str:
    if comparison.over == "seeds":
        return f"({INTERVAL_NAMES[comparison.interval]})"
    bootstrap = ", crossed bootstrap" * (comparison.interval == "percentile")
    return f"(over {othertables.what_over(comparison)}{bootstrap})"


def _test(comparison: Comparison) -> str:
    return "(paired t)" if comparison.over == "seeds" else f"(t, over {othertables.what_over(comparison)})"


def _baseline_names(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(row.baseline for row in comparison.conditions if row.baseline is not None))


def _only_baseline(comparison: Comparison) -> str | None:
    """The baseline of all conditions; None where there is none, or each condition names its own."""
    names = _baseline_names(comparison)
    return names[0] if len(names) == 1 else None


def _baselines(comparison: Comparison) -> str:
    names = _baseline_names(comparison)
    if len(names) == 1:
        return names[0]
    return f"the nearest of {len(names)} baselines (the first row of each block)"


def missing_notes(missing: Iterable[tuple[str, Sequence[Missing]]]) -> list[str]:
    """Which planned seeds are not in the means; conditions that lack the same seeds share a line."""
    lacking: dict[str, list[str]] = {}
    for name, seeds in missing:
        if seeds:
            lacking.setdefault(_seeds_by_state(seeds), []).append(name)
    return [f"Missing: {seeds} in {'; '.join(names)}." for seeds, names in lacking.items()]


def _seeds_by_state(missing: Sequence[Missing]) -> str:
    ordered = sorted(missing, key=lambda seed: str(seed.state))
    parts = [
        f"{seed_list([seed.seed for seed in group])} {state}"
        for state, group in groupby(ordered, key=lambda seed: str(seed.state))
    ]
    return ", ".join(parts)


def seed_list(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _unpaired_notes(rows: Sequence[ConditionRow]) -> list[str]:
    lacking: dict[str, list[str]] = {}
    for row in rows:
        if row.unpaired:
            lacking.setdefault(seed_list(row.unpaired), []).append(row.name)
    return [
        f"Not in Δ, for want of the same seed in the baseline: {seeds} of {'; '.join(names)}."
        for seeds, names in lacking.items()
    ]


def _undefined_notes(comparison: Comparison) -> list[str]:
    return [
        f"{comparison.units.label(metric)} is undefined in {seed_list(cell.undefined)} of {row.name}: "
        f"its mean is over {cell.summary.n}."
        for row in comparison.conditions
        for metric, cell in row.metrics.items()
        if cell and cell.undefined
    ]


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": terminal,
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "json": json_text,
}
