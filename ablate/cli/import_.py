"""``ablate import``: make a study of runs that were trained elsewhere."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, print_table, say, say_command
from ablate.cli.options import Printout, PrintoutOption, StoreOption, open_store
from ablate.ground import documents
from ablate.ground.errors import ConfigError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ablate.analysis.imported import ColumnLook
    from ablate.campaign.importing import Imported
    from ablate.record.store import Store
    from ablate.subject.sheet import Sheet

MANY_RUNS = 500  # MLflow takes a tenth of a second for each


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A CSV or Parquet file, an export of W&B, mlflow:EXPERIMENT, or what `ablate bundle` wrote.",
        ),
    ],
    factors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B", help="Columns that were varied; NAME=COLUMN gives one another name; repeatable."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN:max|min",
            help="A column that was measured, and which way is better; NAME:max=COLUMN renames; repeatable.",
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column that numbers the repetitions.  [default: seed]"),
    ] = None,
    no_seed: Annotated[
        bool,
        typer.Option("--no-seed", help="There are no seeds: number the rows of a condition in their order."),
    ] = False,
    unit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=UNIT", help="A metric's unit; % for fractions, shown times 100; repeatable."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="A=X,B=Y", help="The levels of the condition that others are compared with."),
    ] = None,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study's name.  [default: the file's]")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where the study has other numbers, take those of SOURCE.")
    ] = False,
    decimal: Annotated[
        str, typer.Option(metavar=".|,", help="The sign before the decimals of a CSV file.")
    ] = ".",
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            "--tracking-uri",
            metavar="URI",
            help="Where mlflow:EXPERIMENT is.  [default: MLFLOW_TRACKING_URI, else ./mlflow.db]",
        ),
    ] = None,
    no_mlflow: Annotated[
        bool, typer.Option("--no-mlflow", help="Do not show the runs in MLflow; `ablate sync` does it later.")
    ] = False,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Make a study of runs that were trained elsewhere.

    All that reads works with it: compare, claims, report, runs, ui. Nothing can be trained in it.

    Typing the same command again adds nothing; with new rows in the file it adds those. Without --factors
    and --metric it describes the columns.
    """
    from ablate.campaign.importing import import_sheet, open_source, study_name
    from ablate.cli.train import tell
    from ablate.ground.files import is_zip

    if is_zip(Path(source)):
        given = {"--factors": factors, "--metric": metric, "--unit": unit, "--baseline": baseline}
        if wrong := [option for option, value in given.items() if value]:
            raise ConfigError(f"{', '.join(wrong)}: {source} is a bundle, which says so itself")
        _import_bundle(Path(source), study, open_store(store), output, ship=not no_mlflow)
        return
    if decimal not in (".", ","):
        raise ConfigError(f"--decimal '{decimal}': write . or ,")
    sheet = open_source(source, tracking_uri=tracking_uri, decimal=decimal)
    if not factors or not metric:
        _describe(sheet, output)
    from ablate.analysis.imported import choose_roles

    roles = choose_roles(sheet, factors or [], metric or [], units=unit or [], seed=seed, no_seed=no_seed)
    opened = open_store(store)
    opened.require_folder()
    done = import_sheet(
        opened,
        study or study_name(source),
        sheet,
        roles,
        baseline=baseline,
        replace=replace,
        command=shlex.join(["ablate", *sys.argv[1:]]),
    )
    if output is Printout.TABLE:
        _say_done(done, sheet)
    if not no_mlflow:
        _ship(opened, done.study, say if output is Printout.TABLE else tell)
    if output is Printout.TABLE:
        _show(opened, done)
        return
    print_json(
        documents.Imported(
            schema="ablate.import/1",
            study=done.study,
            source=sheet.name,
            new=done.n_new,
            same=done.n_same,
            replaced=done.n_replaced,
            n_conditions=done.n_conditions,
            baseline=done.baseline,
            notes=list(done.notes),
        )
    )


def _import_bundle(file: Path, study: str | None, store: "Store", output: Printout, *, ship: bool) -> None:
    """Put the study of a bundle into the store."""
    from ablate.campaign.bundling import import_bundle
    from ablate.cli.train import tell
    from ablate.record.commands import here
    from ablate.record.opening import unpacked

    store.require_folder()
    done = import_bundle(store, unpacked(file), shlex.join(["ablate", *sys.argv[1:]]), study)
    inform = say if output is Printout.TABLE else tell
    there = f"; {done.n_same} there already" if done.n_same else ""
    inform(f"{file.name} -> study '{done.study}': {count(done.n_new, 'new run')}{there}")
    for note in done.notes:
        inform(f"Note: {note}.")
    if ship:
        _ship(store, done.study, inform)
    if output is Printout.TABLE:
        say_command(here(store, f"ablate compare {shlex.quote(done.study)}"), before="Next:")
        return
    print_json(
        documents.Imported(
            schema="ablate.import/1",
            study=done.study,
            source=str(file),
            new=done.n_new,
            same=done.n_same,
            replaced=0,
            notes=list(done.notes),
        )
    )


def _describe(sheet: "Sheet", output: Printout) -> None:
    """What the columns look like, and the command to type. Raises ConfigError, as that is still to do."""
    from ablate.analysis.imported import look_at

    if output is Printout.TABLE:
        _show_columns(sheet, look_at(sheet))
    raise ConfigError(
        f"{sheet.name}: say which columns were varied (--factors A,B), which were measured (--metric "
        "NAME:max or NAME:min) and which one is the seed (--seed NAME)"
    )


def _show_columns(sheet: "Sheet", looks: "Sequence[ColumnLook]") -> None:
    from ablate.analysis.imported import example_command
    from ablate.analysis.layout import Column

    print(f"{sheet.name}: {count(len(sheet.lines), 'row')}\n")
    print_table(
        Column(("column",), tuple(look.name for look in looks), text=True),
        [
            [Column(("values",), tuple(str(look.distinct) for look in looks))],
            [Column(("empty",), tuple(str(look.empty) for look in looks))],
            [Column(("kind",), tuple(look.kind for look in looks), text=True)],
            [Column(("such as",), tuple(", ".join(look.examples) for look in looks), text=True)],
        ],
    )
    for note in sheet.notes:
        say(f"Note: {note}.")
    print("\nFor example:")
    say_command(f"  {example_command(sheet, looks)}")
    sys.stdout.flush()


def _say_done(done: "Imported", sheet: "Sheet") -> None:
    parts = [f"{count(done.n_new, 'new run')}"]
    if done.n_replaced:
        parts.append(f"{done.n_replaced} replaced")
    if done.n_same:
        parts.append(f"{done.n_same} there already")
    say(f"{sheet.name} -> study '{done.study}': {', '.join(parts)}; {count(done.n_conditions, 'condition')}")
    for note in done.notes:
        say(f"Note: {note}.")


def _ship(store: "Store", study: str, say: "Callable[[str], None]") -> None:
    """Show the runs in MLflow. They are in the store whatever becomes of that."""
    from ablate.tracking import Tracker, TrackingUnavailable

    folders = store.study_runs(study)
    if len(folders) > MANY_RUNS:
        print(f"showing {len(folders)} runs in MLflow, which takes minutes ...", file=sys.stderr, flush=True)
    try:
        tracker = Tracker(store, study)
        for sentence in tracker.prepare():
            say(f"Note: {sentence}.")
        tracker.ship_all([folder for folder in folders if not tracker.is_current(folder)])
    except TrackingUnavailable as error:
        print(f"ablate: {error}; the runs are imported, and `ablate sync` shows them later", file=sys.stderr)


def _show(store: "Store", done: "Imported") -> None:
    """The comparison of the conditions, and what to type next."""
    from ablate.analysis.compare import compare
    from ablate.analysis.query import load_runs
    from ablate.cli.compare import print_comparison
    from ablate.cli.damages import end_with_damages
    from ablate.record.store import default_root

    records = load_runs(store, done.study)
    card = store.study_card(done.study)
    found = list(dict.fromkeys(name for record in records for name in record.metrics))
    print()
    print_comparison(compare(records, done.study, done.baseline, metrics=card.metrics.closing(found)))
    where = f" --store {store.root}" if store.root != default_root() else ""
    print("\nNext:")
    steps = [
        (f"ablate compare {done.study}{where}", "more metrics; --format markdown, latex, csv or json"),
        (f"ablate report {done.study} -o report.html{where}", "everything on one page"),
        (f"ablate ui{where}", "the runs in MLflow"),
    ]
    if done.baseline is None:
        example = records[0].name.replace(" ", ",")
        again = f"the same with --baseline {shlex.quote(example)}"
        steps.insert(0, (again, "each condition's difference from that one"))
    for command, purpose in steps:
        say_command(f"  {command:<44}", after=purpose)
    end_with_damages(store, done.study, records)
