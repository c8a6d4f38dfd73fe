"""``ablate runs``: the runs of a study, filtered and sorted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, print_table, say, terminal_width
from ablate.cli.options import (
    Format,
    FormatOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    open_study,
)

if TYPE_CHECKING:
    from ablate.analysis.layout import Column
    from ablate.analysis.query import RunRecord

MAX_FAILURES = 10


def runs(
    study: ReadArgument = None,
    study_option: StudyOption = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help='Only these runs: "grl_pos = S1 and not event_micro_f < 0.3".'),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B", help="Factors, settings, metrics or fields to show.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sort by a column, downwards with -NAME.")
    ] = None,
    output_format: FormatOption = Format.TABLE,
    store: StoreOption = None,
) -> None:
    """List a study's runs with their scores and states.

    --where knows = != < <= > >=, in (A, B), like 'grl%', and, or, not and parentheses, over factors (lambda),
    settings (optim.lr), metrics as fractions (event_f/car), and name, seed, fold, state, run_id, cause.
    """
    from ablate.analysis import query
    from ablate.analysis.searches import remark
    from ablate.analysis.where import select
    from ablate.cli.damages import end_with_damages

    chosen_store, name = open_study(store, study, study_option)
    records = query.load_runs(chosen_store, name)
    asked = _asked_columns(columns, records)
    found = records if where is None else select(records, where)
    if sort is not None:
        found = query.sort_runs(found, sort)
    _print(output_format, name, len(records), found, asked, remark(chosen_store, name))
    end_with_damages(chosen_store, name, records)


def _print(
    output_format: Format,
    name: str,
    n_runs: int,
    found: Sequence["RunRecord"],
    asked: list[str] | None,
    mark: str | None,
) -> None:
    if output_format is Format.JSON:
        _print_json(name, found, mark)
    elif output_format is Format.CSV:
        _print_csv(found, asked)
    else:
        _print_table(name, n_runs, found, asked, mark)


def _asked_columns(text: str | None, records: Sequence["RunRecord"]) -> list[str] | None:
    from ablate.analysis.query import check_names, known_names

    if text is None:
        return None
    asked = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if records:
        check_names(asked, known_names(records), "column")
    return asked


def _print_json(study: str, records: Sequence["RunRecord"], mark: str | None) -> None:
    head = {"schema": "ablate.runs/1", "study": study, **({"remark": mark} if mark else {})}
    print_json({**head, "runs": [_content(record) for record in records]})


def _content(record: "RunRecord") -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "name": record.name,
        "condition": record.condition,
        "seed": record.seed,
        **({} if record.fold is None else {"fold": record.fold}),
        "state": str(record.state),
        "cause": record.cause,
        "dataset": {"name": record.dataset_name, "digest": record.dataset_digest},
        "metrics": record.metrics,
        "mlflow_run_id": record.mlflow_run_id,
        "duration_s": record.duration_s,
        "log": None if record.log is None else str(record.log),
    }


def _print_csv(records: Sequence["RunRecord"], asked: list[str] | None) -> None:
    """Everything that is known of each run, or the columns asked for; numbers as they are stored."""
    from ablate.analysis.layout import csv_rows
    from ablate.analysis.query import tidy_columns

    columns = tidy_columns(records) if asked is None else asked
    rows = [{name: record.values.get(name) for name in columns} for record in records]
    typer.echo(csv_rows(rows, columns), nl=False)


def _print_table(
    study: str, n_runs: int, records: Sequence["RunRecord"], asked: list[str] | None, mark: str | None
) -> None:
    from dataclasses import replace

    from ablate.analysis.compare import distinct_names

    if not records:
        reason = "no run matches --where" if n_runs else "it has no runs yet; plan some with `ablate grid`"
        say(f"study {study}: {reason}")
        return
    names = distinct_names(records)
    records = [
        record
        if record.name == names[record.condition_id]
        else replace(record, name=names[record.condition_id])
        for record in records
    ]
    columns = _columns(records, asked or _default_columns(records))
    width = terminal_width()
    left_out = [] if asked or width is None else _too_wide(columns, width, _least_needed(records))
    label, *others = (column for name, column in columns.items() if name not in left_out)
    say(f"study {study}, {_tally(records, n_runs)}\n")
    print_table(label, [[column] for column in others])
    hint = f"Left out for lack of width: {', '.join(left_out)}. A wider terminal or --format csv shows all."
    lines = [hint] * bool(left_out) + [mark or ""] * bool(mark) + _failures(records)
    if lines:
        print()
        say("\n".join(lines))


def _default_columns(records: Sequence["RunRecord"]) -> list[str]:
    from ablate.analysis.query import stored_metrics

    found = stored_metrics(records)
    scored = records[0].subject.metrics.headline(found) if found else []
    fold = ["fold"] if any(record.fold is not None for record in records) else []
    return ["name", "seed", *fold, "state", *scored, "duration_s", "run_id"]


def _columns(records: Sequence["RunRecord"], names: Sequence[str]) -> "dict[str, Column]":
    """Each column by its name."""
    from ablate.analysis.layout import Column
    from ablate.analysis.query import known_metrics, units_of
    from ablate.analysis.units import Scale

    metrics, units = set(known_metrics(records)), units_of(records)
    texts = {"name", "state", "run_id", "cause", "log", "dataset", "dataset_digest", "mlflow_run_id"}
    known = [record.values for record in records]
    columns = {}
    for name in names:
        values = [each.get(name) for each in known]
        if name in metrics:
            title = tuple(units.label(name).split(" ", 1))
            scale = Scale.of(units.of(name), values)
            cells = tuple(map(scale.value, values))
        else:
            title = (_TITLES.get(name, name),)
            cells = tuple(_cells(name, values))
        columns[name] = Column(title, cells, text=name in texts)
    return columns


_TITLES = {"duration_s": "time", "run_id": "run id", "mlflow_run_id": "MLflow run"}


def _cells(name: str, values: Sequence[Any]) -> Iterator[str]:
    from ablate.analysis.units import NOTHING
    from ablate.design.conditions import show

    for value in values:
        if value is None:
            yield NOTHING
        elif name == "duration_s":
            yield f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"
        else:
            yield " ".join(show(value).split())


def _least_needed(records: Sequence["RunRecord"]) -> list[str]:
    """What a narrow terminal loses first: scores that do not close a study, the time, then other scores."""
    from ablate.analysis.query import stored_metrics

    found = stored_metrics(records)
    units = records[0].subject.metrics
    shown, closing = units.headline(found), units.closing(found)
    return [*(name for name in shown if name not in closing), "duration_s", *closing[:0:-1]]


def _too_wide(columns: "Mapping[str, Column]", width: int, least_needed: Sequence[str]) -> list[str]:
    """Which of the columns to leave out, so that the rest fit beside a wrapped name."""
    needed = {name: column.gap + column.width for name, column in columns.items()}
    needed["name"] = columns["name"].least_width
    left_out: list[str] = []
    for name in least_needed:
        if sum(needed.values()) > width and needed.pop(name, 0):
            left_out.append(name)
    return left_out


def _tally(records: Sequence["RunRecord"], n_runs: int) -> str:
    states = Counter(str(record.state) for record in records)
    parts = ", ".join(f"{count} {state}" for state, count in states.items())
    part_of = "" if len(records) == n_runs else f"{len(records)} of "
    return f"{part_of}{n_runs} run{'s' * (n_runs > 1)}: {parts}"


def _failures(records: Sequence["RunRecord"]) -> list[str]:
    """Why each failed run failed, and where its log is."""
    from ablate.record.rundir import State

    failed = [record for record in records if record.state is State.FAILED]
    lines = [
        f"{record.name}, {record.replicate}, failed: {record.cause or 'no cause is recorded'}"
        + ("" if record.log is None else f" ({record.log})")
        for record in failed[:MAX_FAILURES]
    ]
    if len(failed) > MAX_FAILURES:
        lines.append(
            f"... and {len(failed) - MAX_FAILURES} more: "
            "--where 'state = failed' --columns name,seed,cause,log"
        )
    return lines
