"""The parts of a report's page, as plain values for its template."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ablate.analysis import decisions, effecttables, noise, query, searches
from ablate.analysis.claims import Contrast, Verdict, VerdictName
from ablate.analysis.compare import Comparison, ConditionRow, Group, MetricCell
from ablate.analysis.effects import Effect, Effects
from ablate.analysis.intervals import Difference, Summary
from ablate.analysis.material import Material
from ablate.analysis.noise import Noise
from ablate.analysis.published import PublishedCell, PublishedTable, published_table
from ablate.analysis.query import RunRecord
from ablate.analysis.replication import sentences
from ablate.analysis.searches import Luck, Search
from ablate.analysis.tables import notes
from ablate.analysis.units import NOTHING, Scale, all_fractions, heading, title_unit
from ablate.design.conditions import show
from ablate.ground.files import read_json
from ablate.ground.version import VERSION
from ablate.ground.wording import count, readable_energy
from ablate.record.decision import day
from ablate.record.rundir import State
from ablate.subject.interface import NO_DATA
from ablate.subject.metrics import ENERGY, Metrics, energy_in

MAX_BEST = 10  # conditions of a search
MAX_METRICS = 5  # columns of a table of published scores: what fits on paper
MARKS: dict[VerdictName, str] = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "no data": "–"}


# The parts of the page, as plain values for the template.


def search(material: Material) -> dict[str, Any] | None:
    """What a search has found, and what is left of that when it is trained anew."""
    search = material.search
    if search is None:
        return None
    return {
        "lines": [searches.tally(search) + ".", searches.method(search) + "."],
        "best": _tried(search),
        "metrics": [search.metrics.label(name) for name in search.objectives],
        "luck": [_luck(luck, search.metrics) for luck in searches.lucks_of(search, material.store)],
        "anew": searches.anew_of(search.study),
    }


def _tried(search: Search) -> list[dict[str, Any]]:
    rows = searches.rows_of_best(search, MAX_BEST)
    scales = [
        Scale.of(search.metrics.of(name), [row.values[place] for row in rows if row.values])
        for place, name in enumerate(search.objectives)
    ]
    return [
        {
            "name": row.name,
            "trial": row.number,
            "values": [scale.value(value) for scale, value in zip(scales, row.values or (), strict=True)],
        }
        for row in rows
    ]


def _luck(luck: Luck, units: Metrics) -> dict[str, str]:
    scale = Scale.of(units.of(luck.metric), [luck.anew.mean if luck.anew else None])

    def shown(value: float | None) -> str:
        return NOTHING if value is None else _signed(value, scale)

    return {
        "name": luck.name,
        "metric": units.label(luck.metric),
        "in_search": shown(luck.in_search),
        "anew": shown(luck.anew.mean if luck.anew else None),
        "interval": _interval(luck.anew, scale),
        "luck": shown(luck.luck),
    }


def summary(material: Material) -> str:
    states = Counter(str(record.state) for record in material.records)
    tally = ", ".join(f"{count} {state}" for state, count in states.items())
    parts = {
        "condition": len(material.groups),
        "seed": len({record.seed for record in material.records}),
        "fold": max((record.n_folds for record in material.records), default=0),
        "run": len(material.records),
    }
    counts = ", ".join(f"{count} {noun}{'s' * (count > 1)}" for noun, count in parts.items() if count)
    datasets = dict.fromkeys(
        record.dataset_name for record in material.records if record.dataset_digest != NO_DATA
    )
    return f"{counts} ({tally})" + (f" on {', '.join(datasets)}." if datasets else ".")


def outcome(verdicts: Sequence[Verdict]) -> str:
    """``Of 8 claims: 3 supported, 5 inconclusive.``"""
    counts = Counter(verdict.verdict for verdict in verdicts)
    parts = [f"{counts[name]} {name}" for name in MARKS if counts[name]]
    return f"Of {len(verdicts)} claim{'s' * (len(verdicts) > 1)}: {', '.join(parts)}." if parts else ""


def rule(verdicts: Sequence[Verdict]) -> str:
    """How claims are judged, and what their differences are in."""
    interval = "the 95 % CI of the difference paired by seed"
    if all(verdict.more_is_better for verdict in verdicts):
        rule = f"{interval} lies above its margin; refuted when a difference certainly lies below"
    else:
        rule = f"{interval} is better by more than its margin; refuted when a difference certainly is not"
    unit = " Differences are in percentage points." if all(verdict.in_percent for verdict in verdicts) else ""
    return f"A claim is supported when, in each of its comparisons, {rule}; else undecided.{unit}"


def verdict(verdict: Verdict, units: Metrics) -> dict[str, Any]:
    return {
        "id": verdict.claim.id,
        "text": verdict.claim.text,
        "verdict": verdict.verdict,
        "mark": MARKS[verdict.verdict],
        "css": verdict.verdict.replace(" ", ""),
        "sentence": verdict.sentence.replace(" %", "\N{NO-BREAK SPACE}%"),
        "missing": _lacking(verdict),
        "contrasts": [_contrast(contrast, units) for contrast in verdict.comparisons],
    }


def decided(material: Material) -> dict[str, Any] | None:
    """The verdicts by the plan that was frozen, and the plan."""
    if material.decision is None:
        return None
    units = query.units_of(material.records)
    plan, findings = material.decision.plan, material.decision.latest()
    return {
        "plan": [f"Frozen on {day(material.decision.frozen_at)}", *decisions.describe(material.decision)],
        "titles": decisions.TITLES,
        "numbers": [title not in decisions.TEXTS for title in decisions.TITLES],
        "rows": [
            [*row[:4], *(cell.replace("-", "−") for cell in row[4:6]), *row[6:]]
            for row in decisions.rows_of(plan, findings, units)
        ],
        "notes": [decisions.spent(plan, findings), *decisions.notes(material.decision, findings, units)],
    }


def spreads(baseline: str, found: Sequence[Noise], material: Material) -> dict[str, Any]:
    """The noise of one baseline."""
    units = query.units_of(material.records)
    return {
        "baseline": baseline,
        "titles": noise.titles_of(found, units),
        "rows": noise.rows_of(found, units),
        "notes": noise.notes(found, baseline),
    }


def _lacking(verdict: Verdict) -> str:
    parts = [
        f"{name}: " + ", ".join(f"seed {missing.seed} {missing.state}" for missing in lacking)
        for name, lacking in verdict.missing
    ]
    return f"Without the planned seeds of {'; '.join(parts)}." if parts else ""


def _contrast(contrast: Contrast, units: Metrics) -> dict[str, Any]:
    metric = units.label(contrast.metric)
    if contrast.than != contrast.metric:
        metric = f"{metric}, minus {units.label(contrast.than)}"
    found = contrast.difference
    scale = Scale.of(units.of(contrast.metric), [found.mean] if found else [])
    return {
        "better": contrast.better,
        "worse": contrast.worse,
        "metric": metric,
        "difference": NOTHING if found is None else _signed(found.mean, scale),
        "interval": _interval(found, scale),
        "p": NOTHING if contrast.p is None else _p(contrast.p),
        "seeds": ranges(contrast.seeds),
    }


def published(material: Material) -> list[dict[str, Any]]:
    """The published scores beside ours: tables of the headline metrics, then of the others."""
    published = material.details.published
    metrics = list(dict.fromkeys(metric for scores in published.values() for metric in scores))
    headline = material.card.metrics.headline(metrics)
    others = [metric for metric in metrics if metric not in headline]
    tables = [
        published_table(
            material.records, material.study, material.details, metrics=chosen[start : start + MAX_METRICS]
        )
        for chosen in (headline, others)
        for start in range(0, len(chosen), MAX_METRICS)
    ]
    return [_published_content(table, material.details.baseline) for table in tables]


def published_heading(material: Material) -> str:
    metrics = [metric for scores in material.details.published.values() for metric in scores]
    text = heading(query.units_of(material.records), metrics)
    return text[0].upper() + text[1:]


def _published_content(table: PublishedTable, baseline: str | None) -> dict[str, Any]:
    return {
        "metrics": [
            table.units.label(metric) + title_unit(table.units, table.metrics, metric)
            for metric in table.metrics
        ],
        "rows": [
            {
                "name": row.name,
                "n": _n(len(row.seeds), row.n_planned),
                "is_baseline": row.name == baseline,
                "cells": [_published_cell(cell, table.scales[metric]) for metric, cell in row.cells.items()],
            }
            for row in table.rows
        ],
        "left_out": ", ".join(table.left_out),
        "replication": sentences(table.replication, table.units),
    }


def _published_cell(cell: PublishedCell, scale: Scale) -> dict[str, str]:
    return {
        "published": scale.value(cell.published),
        "ours": NOTHING if cell.summary is None else _spread(cell.summary, scale),
        "difference": "" if cell.difference is None else _signed(cell.difference, scale),
    }


def comparison(comparison: Comparison, groups: Sequence[Group]) -> dict[str, Any]:
    conditions = {group.name: _condition(group) for group in groups}
    paired = any(cell and cell.difference for row in comparison.conditions for cell in row.metrics.values())
    all_percent = all_fractions(comparison.units, comparison.metrics)
    return {
        "metrics": [
            comparison.units.label(metric) + ("" if all_percent else comparison.scales[metric].suffix)
            for metric in comparison.metrics
        ],
        "best_first": [
            "descending" if comparison.units.of(metric).sign > 0 else "ascending"
            for metric in comparison.metrics
        ],
        "heading": heading(comparison.units, comparison.metrics),
        "paired": paired,
        "rows": [_row(row, comparison, conditions.get(row.name, "")) for row in comparison.conditions],
        "notes": notes(comparison),
    }


def _row(row: ConditionRow, comparison: Comparison, condition: str) -> dict[str, Any]:
    return {
        "name": row.name,
        "condition": condition,
        "seeds": len(row.seeds),
        "n": _n(len(row.seeds), row.n_planned),
        "is_baseline": row.is_baseline,
        "cells": [_cell(cell, comparison.scales[metric]) for metric, cell in row.metrics.items()],
    }


def _cell(cell: MetricCell | None, scale: Scale) -> dict[str, Any]:
    difference = cell.difference if cell else None
    marks = "*" if cell and cell.p_holm is not None and cell.p_holm < 0.05 else ""
    direction = difference.direction if difference else 0
    arrow = {1: "▲", -1: "▼", 0: ""}[direction]
    return {
        "mean": NOTHING if cell is None else _spread(cell.summary, scale),
        "value": _to_sort_by(cell.summary.mean if cell else None),
        "difference": _to_sort_by(difference.mean if difference else None),
        "delta": "" if difference is None else _signed(difference.mean, scale) + arrow + marks,
        "interval": _interval(difference, scale),
        "sure": direction != 0,
    }


def effects(effects: Effects) -> dict[str, Any]:
    scales = [effecttables.scale_of(effects, found) for found in effects.metrics]
    terms = effecttables.share_terms(effects)
    columns = [
        effects.units.label(found.metric) + scale.suffix + (f", {kind}" if len(effects.columns) > 1 else "")
        for found, scale in zip(effects.metrics, scales, strict=True)
        for kind in effects.columns
    ]
    return {
        "title": effecttables.TITLES[effects.kind].capitalize(),
        "columns": columns,
        "rows": [
            {
                "label": row.label,
                "cells": [
                    _effect(found.rows[place].effects[kind], scale)
                    for found, scale in zip(effects.metrics, scales, strict=True)
                    for kind in effects.columns
                ],
            }
            for place, row in enumerate(effects.metrics[0].rows)
        ],
        "metrics": [effects.units.label(found.metric) for found in effects.metrics],
        "shares": [
            (term, [effecttables.share(found.shares.get(term)) for found in effects.metrics])
            for term in terms
        ],
        "notes": effecttables.notes(effects),
    }


def _effect(effect: Effect, scale: Scale) -> dict[str, Any]:
    return {
        "delta": _signed(effect.difference.mean, scale) + effecttables.marks(effect),
        "interval": _interval(effect.difference, scale),
        "p": effecttables.p_value(effect),
        "sure": effect.is_certain,
    }


def missing(record: RunRecord, groups: Sequence[Group]) -> dict[str, Any]:
    name = next(group.name for group in groups if group.first.condition_id == record.condition_id)
    return {
        "name": name,
        "seed": _replicate(record),
        "state": str(record.state),
        "cause": record.cause or "",
        "run_id": record.run_id,
    }


def _replicate(record: RunRecord) -> str:
    return str(record.seed) + ("" if record.fold is None else f", fold {record.fold}")


def provenance(material: Material) -> list[tuple[str, list[str]]]:
    """Terms and what is to be said of them."""
    finished = material.finished()
    versions: dict[str, dict[str, None]] = {}
    for record in finished:
        for name, version in record.versions.items():
            versions.setdefault(name, {})[str(version)] = None
    datasets = dict.fromkeys(
        f"{record.dataset_name}, digest {record.dataset_digest}"
        for record in material.records
        if record.dataset_digest != NO_DATA
    )
    devices = Counter(record.device or "unknown" for record in finished)
    hours = sum(record.duration_s or 0.0 for record in finished) / 3600
    found = [
        ("study", [material.study]),
        ("data set", list(datasets)),
        ("trained with", [f"{name} {' and '.join(those)}" for name, those in versions.items()]),
        ("reported with", [f"ablate {VERSION}"]),
        ("devices", [f"{device} ({count} runs)" for device, count in devices.items()]),
        ("training time", [f"{hours:.1f} h, all runs together" if hours >= 1 else f"{60 * hours:.0f} min"]),
        ("energy", _energy(material)),
        ("last run finished", [_last_end(material)]),
    ]
    return [(term, lines) for term, lines in found if lines]


def _energy(material: Material) -> list[str]:
    """What was measured of all runs together, and by what."""
    finished = material.finished()
    measured = [record.facts for record in finished if energy_in(record.facts)]
    if not measured:
        return []
    some = "" if len(measured) == len(finished) else f" of {len(finished)}"
    total = readable_energy(sum(facts[ENERGY.name] for facts in measured))
    by = dict.fromkeys(str(facts["energy_by"]) for facts in measured if "energy_by" in facts)
    return [f"{total}, {len(measured)}{some} runs together", *by]


def _last_end(material: Material) -> str:
    ends = [record.ended_at or 0.0 for record in material.finished()]
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(ends)))


def settings(material: Material) -> list[dict[str, Any]]:
    records, rows = material.records, []
    for name, meaning in material.card.settings.items():
        values = list(dict.fromkeys(show(record.config[name]) for record in records if name in record.config))
        text = ranges([record.seed for record in records]) if name == "seed" else ", ".join(values)
        rows.append({"name": name, "value": text, "varied": len(values) > 1, "meaning": meaning})
    return rows


def group(group: Group, anchors: Mapping[str, str], material: Material) -> dict[str, Any]:
    runs = [run for seed in group.runs for run in seed.runs]
    finished = sum(run.state is State.FINISHED for run in runs)
    return {
        "name": group.name,
        "anchor": anchors[group.name],
        "tally": count(len(runs), "run") + ("" if finished == len(runs) else f", {finished} finished"),
        "condition": _condition(group),
        "energy": _energy_of(group),
        "runs": [
            _run(run, material) for seed in sorted(group.runs, key=lambda run: run.seed) for run in seed.runs
        ],
    }


def _condition(group: Group) -> str:
    return ", ".join(f"{name} = {show(level)}" for name, level in group.first.condition.items())


def _energy_of(group: Group) -> str:
    """What the runs of a condition have taken together, where that was measured."""
    runs = [run for seed in group.runs for run in seed.runs]
    known = [kwh for run in runs if (kwh := run.metrics.get(ENERGY.name)) is not None]
    return f"energy {readable_energy(sum(known))}, {count(len(known), 'run')}" if known else ""


def _run(run: RunRecord, material: Material) -> dict[str, Any]:
    comparison = material.comparison
    scores = [comparison.scales[metric].value(run.metrics.get(metric)) for metric in comparison.metrics]
    return {
        "seed": _replicate(run),
        "run_id": run.run_id,
        "state": str(run.state),
        "scores": scores,
        "time": NOTHING if run.duration_s is None else f"{run.duration_s:.0f} s",
        "mlflow_run_id": run.mlflow_run_id or NOTHING,
        "mlflow_url": _mlflow_url(run, material),
    }


def _mlflow_url(run: RunRecord, material: Material) -> str | None:
    """The run's page, when it was shipped to a server; a database of one's own has no address."""
    if run.mlflow_run_id is None:
        return None
    try:
        uri = read_json(material.folders[run.run_id].mlflow_file)[material.study]["uri"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return mlflow_page(str(uri), run.mlflow_run_id)


def mlflow_page(uri: str, mlflow_run_id: str) -> str | None:
    """The address of a run on a server, without the password that the server's own may hold."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", f"/runs/{mlflow_run_id}"))


# Numbers as the page prints them: percent, a real minus, n of how many.


def _spread(summary: Summary, scale: Scale) -> str:
    return scale.value(summary.mean) + ("" if summary.sd is None else f" ± {scale.value(summary.sd)}")


def _to_sort_by(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.9g}"


def _signed(value: float, scale: Scale) -> str:
    return scale.difference(value).replace("-", "−")


def _interval(difference: Difference | None, scale: Scale) -> str:
    return scale.interval(difference.ci_low, difference.ci_high).replace("-", "−") if difference else ""


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _n(finished: int, planned: int) -> str:
    return str(finished) if finished == planned else f"{finished}/{planned}"


def ranges(numbers: Iterable[int]) -> str:
    """``0, 1, 2, 5`` -> ``0–2, 5``."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)
