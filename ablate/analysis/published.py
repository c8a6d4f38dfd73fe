"""A study's scores in the layout of the paper's tables: published beside reproduced, and the difference.

Rows are the conditions in the order of the study, columns the metrics of the table. What was published comes
from the study file; the difference is ours minus theirs, in percentage points. It is no test: the paper gives
means without their spread.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ablate.analysis.compare import Group, Missing, folding_of, group_runs
from ablate.analysis.folds import Folding
from ablate.analysis.intervals import Summary, interval_method, summarise
from ablate.analysis.layout import Column, csv_rows, filled, text_table
from ablate.analysis.query import RunRecord, check_names, known_metrics, units_of
from ablate.analysis.replication import Replication, replications, sentences
from ablate.analysis.tables import metric_title, missing_notes, pipes, seed_count, seed_list, tex
from ablate.analysis.units import NOTHING, Scale, all_fractions, heading, title_unit
from ablate.design.claims import StudyDetails
from ablate.ground.errors import StudyError
from ablate.ground.jsontext import as_json
from ablate.subject.metrics import Metrics


@dataclass(frozen=True)
class PublishedCell:
    """One metric of one condition, fractions. ``summary`` is None while no seed has a value."""

    published: float | None
    summary: Summary | None
    undefined: tuple[int, ...]

    @property
    def difference(self) -> float | None:
        """Reproduced minus published."""
        if self.published is None or self.summary is None:
            return None
        return self.summary.mean - self.published


@dataclass(frozen=True)
class PublishedRow:
    """One condition. ``seeds`` have finished with ``run_ids``, ``missing`` were planned as well."""

    name: str
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    missing: tuple[Missing, ...]
    cells: dict[str, PublishedCell]

    @property
    def n_planned(self) -> int:
        return len(self.seeds) + len(self.missing)


@dataclass(frozen=True)
class PublishedTable:
    """``left_out`` are conditions that neither have nor will have any of the metrics.

    ``folding`` is set where the scores of a seed are those of its folds. ``replication`` says how well the
    published effects are found again.
    """

    study: str
    source: str
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    left_out: tuple[str, ...]
    units: Metrics
    folding: Folding | None = None
    replication: tuple[Replication, ...] = ()

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """How the numbers of each metric are written."""
        return {metric: Scale.of(self.units.of(metric), self._numbers(metric)) for metric in self.metrics}

    def _numbers(self, metric: str) -> list[float | None]:
        cells = [row.cells[metric] for row in self.rows]
        means = [None if cell.summary is None else cell.summary.mean for cell in cells]
        return [*means, *(cell.published for cell in cells)]

    @property
    def has_published(self) -> bool:
        return any(cell.published is not None for row in self.rows for cell in row.cells.values())


def published_table(
    records: Sequence[RunRecord],
    study: str,
    details: StudyDetails,
    layout: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    interval: str = "t",
    interval_seed: int = 0,
) -> PublishedTable:
    """The table of ``metrics`` or, without any, of those of ``layout`` that a run has or somebody published.

    Raises StudyError when the study has no runs or none of the layout's metrics, ConfigError for a metric
    asked for that no run has and nobody published.
    """
    if not records:
        raise StudyError(f"study '{study}' has no runs; plan some with `ablate study` or `ablate grid`")
    groups = group_runs(records)
    chosen = _choose_metrics(records, study, details, layout, metrics)
    rows = [_row(group, details, chosen, interval, interval_seed) for group in groups]
    shown = [row for row in rows if _belongs(row)]
    return PublishedTable(
        study=study,
        source=details.source,
        datasets=tuple(dict.fromkeys(record.dataset_name for record in records)),
        metrics=chosen,
        rows=tuple(shown),
        left_out=tuple(row.name for row in rows if not _belongs(row)),
        units=units_of(records),
        folding=folding_of(groups, chosen),
        replication=tuple(replications(groups, details, chosen, units_of(records), interval_seed)),
    )


def _choose_metrics(
    records: Sequence[RunRecord],
    study: str,
    details: StudyDetails,
    layout: Sequence[str],
    metrics: Sequence[str] | None,
) -> tuple[str, ...]:
    published = [name for scores in details.published.values() for name in scores]
    known = list(dict.fromkeys([*known_metrics(records), *published]))
    if metrics is not None:
        check_names(metrics, known, "metric")
        return tuple(dict.fromkeys(metrics))
    chosen = tuple(metric for metric in layout if metric in known)
    if not chosen:
        raise StudyError(f"study '{study}' has no value of {', '.join(layout)}; choose others with --metrics")
    return chosen


def _row(
    group: Group, details: StudyDetails, metrics: Sequence[str], interval: str, interval_seed: int
) -> PublishedRow:
    runs = group.run_ids()
    published = details.published.get(group.first.name, {})
    cells = {}
    for metric in metrics:
        scores = group.scores(metric)
        values = list(scores.values())
        summary = summarise(values, interval_method(interval, interval_seed)) if values else None
        undefined = group.undefined(scores) if values else ()
        cells[metric] = PublishedCell(published.get(metric), summary, undefined)
    return PublishedRow(group.name, tuple(runs), tuple(runs.values()), group.missing(), cells)


def _belongs(row: PublishedRow) -> bool:
    """A condition without a finished run stays: its scores may come."""
    return not row.seeds or any(cell.published is not None or cell.summary for cell in row.cells.values())


# The cells as people read them.


def _reproduced(cell: PublishedCell, scale: Scale) -> str:
    if cell.summary is None:
        return NOTHING
    spread = "" if cell.summary.sd is None else f" ± {scale.value(cell.summary.sd)}"
    return scale.value(cell.summary.mean) + spread


def _difference(cell: PublishedCell, scale: Scale) -> str:
    return "" if cell.difference is None else scale.difference(cell.difference)


def notes(table: PublishedTable) -> list[str]:
    """One sentence each: where the numbers come from, and everything that is not in them."""
    rows = table.rows
    lines = [*_legend(table), *([table.folding.note] if table.folding else [])]
    lines += missing_notes((row.name, row.missing) for row in rows)
    lines += [
        f"{table.units.label(metric)} is undefined in {seed_list(cell.undefined)} of {row.name}: "
        f"its mean is over {cell.summary.n}."
        for row in rows
        for metric, cell in row.cells.items()
        if cell.undefined and cell.summary
    ]
    lines += sentences(table.replication, table.units)
    if table.left_out:
        lines.append(f"Without any of these metrics, and left out: {', '.join(table.left_out)}.")
    return lines


def _legend(table: PublishedTable) -> list[str]:
    ours = f"ours: mean ± SD over n seeds on data {', '.join(table.datasets)}"
    if not table.has_published:
        return [f"{ours[0].upper()}{ours[1:]}. The study states no published scores of these metrics."]
    source = f", {table.source}" if table.source else ""
    unit = ", percentage points" if all_fractions(table.units, table.metrics) else ""
    return [f"paper: published{source}. {ours}. Δ: ours minus the paper's{unit}."]


# The formats.


def terminal(table: PublishedTable, width: int | None = None) -> str:
    """The table and its notes in plain text of at most ``width`` characters."""
    label = Column(("condition",), tuple(row.name for row in table.rows), text=True)
    n = Column(("n",), tuple(seed_count(row) for row in table.rows))
    groups = [_columns(table, metric) for metric in table.metrics]
    text = text_table(label, [n], groups, width)
    remarks = filled("\n".join(notes(table)), width)
    title = filled(f"study {table.study}: {heading(table.units, table.metrics)}", width)
    return f"{title}\n\n{text}\n\n{remarks}\n"


def _columns(table: PublishedTable, metric: str) -> list[Column]:
    cells, scale = [row.cells[metric] for row in table.rows], table.scales[metric]
    titles = metric_title(table.units, metric)
    titles[-1] += title_unit(table.units, table.metrics, metric)
    ours = Column((*titles, "ours"), tuple(_reproduced(cell, scale) for cell in cells))
    if not table.has_published:
        return [ours]
    return [
        Column(("paper",), tuple(scale.value(cell.published) for cell in cells), gap=3),
        Column(ours.title, ours.cells, gap=1),
        Column(("Δ",), tuple(_difference(cell, scale) for cell in cells), gap=1),
    ]


def markdown(table: PublishedTable) -> str:
    """One table, then the notes as a list."""
    header = ["condition", "n"]
    for metric in table.metrics:
        label = f"{table.units.label(metric)}{table.scales[metric].suffix}"
        header += [f"{label}: paper", "ours", "Δ"] if table.has_published else [label]
    lines = [pipes(header), pipes(["---", *["---:"] * (len(header) - 1)])]
    for row in table.rows:
        cells = [row.name.replace("|", "\\|"), seed_count(row)]
        for metric, cell in row.cells.items():
            cells += _texts(table, cell, table.scales[metric])
        lines.append(pipes(cells))
    return "\n".join([*lines, "", *(f"- {line}" for line in notes(table))]) + "\n"


def _texts(table: PublishedTable, cell: PublishedCell, scale: Scale) -> list[str]:
    if not table.has_published:
        return [_reproduced(cell, scale)]
    return [scale.value(cell.published), _reproduced(cell, scale), _difference(cell, scale)]


def latex(table: PublishedTable) -> str:
    """A ``tabular`` for the booktabs package; the notes are comments below it."""
    per_metric = 3 if table.has_published else 1
    lines = [rf"\begin{{tabular}}{{lr{'r' * per_metric * len(table.metrics)}}}", r"\toprule"]
    lines += _tex_header(table)
    lines.append(r"\midrule")
    for row in table.rows:
        cells = [tex(row.name), seed_count(row)]
        for metric, cell in row.cells.items():
            cells += [_tex_number(text) for text in _texts(table, cell, table.scales[metric])]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *(f"% {line}" for line in notes(table))]) + "\n"


def _tex_header(table: PublishedTable) -> list[str]:
    """The metrics and, where there are published scores, a second line below them."""
    titles = [tex(table.units.label(metric)) for metric in table.metrics]
    if not table.has_published:
        return [" & ".join(["condition", "$n$", *titles]) + r" \\"]
    spans = [rf"\multicolumn{{3}}{{c}}{{{title}}}" for title in titles]
    rules = [rf"\cmidrule(lr){{{3 * place + 3}-{3 * place + 5}}}" for place in range(len(titles))]
    parts = ["paper", "ours", r"$\Delta$"] * len(titles)
    return [
        " & ".join(["", "", *spans]) + r" \\",
        "".join(rules),
        " & ".join(["condition", "$n$", *parts]) + r" \\",
    ]


def _tex_number(text: str) -> str:
    if not text:
        return ""
    return "--" if text == NOTHING else "$" + text.replace("±", r"\pm") + "$"


def csv_text(table: PublishedTable) -> str:
    """One line a condition and metric, scores as stored; empty where there is no value."""
    rows = [
        {
            "study": table.study,
            "name": row.name,
            "metric": metric,
            "published": cell.published,
            **_summary(cell),
            "difference": cell.difference,
            "n_planned": row.n_planned,
            "seeds": " ".join(map(str, row.seeds)),
            "missing": " ".join(f"{missing.seed}:{missing.state}" for missing in row.missing),
            "runs": " ".join(row.run_ids),
        }
        for row in table.rows
        for metric, cell in row.cells.items()
    ]
    return csv_rows(rows)


def _summary(cell: PublishedCell) -> dict[str, Any]:
    if cell.summary is None:
        return dict.fromkeys(("mean", "sd", "n", "ci_low", "ci_high"))
    return asdict(cell.summary)


def json_text(table: PublishedTable) -> str:
    """``content`` as text."""
    return as_json(content(table)) + "\n"


def content(table: PublishedTable) -> dict[str, Any]:
    """``documents.Layout``, scores as stored."""
    return {
        "schema": "ablate.layout/1",
        "study": table.study,
        "source": table.source,
        "datasets": list(table.datasets),
        "metrics": list(table.metrics),
        "conditions": [_row_content(row) for row in table.rows],
        "left_out": list(table.left_out),
        "replication": [asdict(each) for each in table.replication],
    }


def _row_content(row: PublishedRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "n": len(row.seeds),
        "n_planned": row.n_planned,
        "runs": dict(zip(map(str, row.seeds), row.run_ids, strict=True)),
        "missing": [{"seed": missing.seed, "state": str(missing.state)} for missing in row.missing],
        "metrics": {
            metric: {
                "published": cell.published,
                **_summary(cell),
                "difference": cell.difference,
                "undefined": list(cell.undefined),
            }
            for metric, cell in row.cells.items()
        },
    }


FORMATS: dict[str, Callable[[PublishedTable], str]] = {
    "table": terminal,
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "json": json_text,
}
