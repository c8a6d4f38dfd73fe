"""``ablate show``: everything of one run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, terminal_width
from ablate.cli.logs import print_logs
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    ReadArgument,
    ReadOption,
    StoreOption,
    chosen_study,
    open_place,
)
from ablate.ground.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from ablate.analysis.layout import Column
    from ablate.subject.metrics import Metrics

# By what a run was trained, in the words of its page.
MADE = {
    "code": "code of the subject",
    "harness": "code of ablate",
    "processor": "processor",
    "threads": "threads",
    "system": "system",
}

MOST_DECIMALS = 6  # of a number in a table

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run id, the beginning of one, or 'NAME seed=K', with folds 'NAME seed=K fold=J'.",
    ),
]


def show(
    run: RunArgument,
    study: ReadArgument = None,
    study_option: ReadOption = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw its confusion matrices and its curves there.")
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Print its log instead, and that of its job of a cluster.")
    ] = False,
    lines: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="With --log: only the last lines.")
    ] = None,
    output_format: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Show everything of one run: settings, scores, classes, files; or its log.

    Without STUDY, a run id is looked for in all studies, and a name in the study last planned.
    """
    from ablate.analysis import inspect
    from ablate.analysis.query import Damage
    from ablate.cli.damages import tell_damages
    from ablate.record.rundir import State

    if lines is not None and not log:
        raise ConfigError(f"--lines {lines} says how much of a log to print; add --log")
    opened, name = open_place(store, chosen_study(study, study_option))
    found = inspect.find_run(opened, run, name)
    if log and opened.bundle is not None:
        raise StoreError(f"{opened.bundle}: a bundle has no logs; they are where it was written")
    if log:
        print_logs(found.folder.run_id, inspect.logs(opened, found), lines, output_format)
        return
    content = inspect.describe(opened, found)
    if pictures is not None:
        content["pictures"] = [str(file) for file in _draw(found, pictures)]
    if output_format is Printout.JSON:
        print_json({"schema": "ablate.run/1", **content})
    else:
        print(
            "\n\n".join(
                part for part in _parts(content, found.record.subject.metrics, terminal_width()) if part
            )
        )
    if found.record.state is State.DAMAGED:
        title = f"{found.record.name}, {found.record.replicate}"
        tell_damages(opened, found.study, [Damage(title, found.folder.path, str(found.record.cause))])


def _draw(found: Any, folder: Path) -> list[Path]:
    from ablate.analysis.inspect import save_pictures

    try:
        return save_pictures(found, folder)
    except OSError as error:
        raise ConfigError(f"--pictures {folder}: cannot be written ({error.strerror or error})") from error


def _parts(content: dict[str, Any], units: "Metrics", width: int | None) -> list[str]:
    """The sections of the page; one that has nothing to say is empty."""
    return [
        _heading(content, width),
        _scores(content["metrics"], units, width),
        *(_table(name, table, width) for name, table in content["tables"].items()),
        *(_table(name, table, width) for name, table in content["matrices"].items()),
        *(_pairs(title, lines, width) for title, lines in content["remarks"].items()),
        _pairs("never read by the training", dict.fromkeys(content["unread"], ""), width),
        _history(content, width),
        _pairs("configuration", {name: _text(value) for name, value in content["config"].items()}, width),
        _pairs("trained with", _origin(content), width),
        _pairs("files", _files(content), width),
    ]


def _heading(content: dict[str, Any], width: int | None) -> str:
    lines = {
        "run": content["run_id"],
        "study": content["study"],
        "condition": content["name"],
        "": ", ".join(f"{name} = {_text(level)}" for name, level in content["condition"].items()),
        "seed": str(content["seed"]),
        "fold": f"{content['fold']} of {content['n_folds']}" if "fold" in content else "",
        "state": content["state"] + (f": {content['cause']}" if content["cause"] else ""),
        "attempt": str(content["attempt"]),
        "host": _host(content),
        "ended": _time(content["ended_at"]),
        "time": "" if content["duration_s"] is None else f"{content['duration_s']:.1f} s",
    }
    return _pairs("", {name: text for name, text in lines.items() if text}, width)


def _host(content: dict[str, Any]) -> str:
    job = content["job"]
    return (content["host"] or "") + (f", job {job} of Slurm" if job else "")


def _pairs(title: str, content: dict[str, str], width: int | None) -> str:
    """A line each; in a narrow terminal what is long goes on below its name."""
    from ablate.analysis.layout import filled

    if not content:
        return ""
    margin = "  " if title else ""
    name_width = max(map(len, content)) + 2
    hang = len(margin) + (2 if width is not None and name_width > width // 3 else name_width)
    lines = [f"{margin}{name.ljust(name_width)}{text}".rstrip() for name, text in content.items()]
    return "\n".join([filled(title, width)] * bool(title) + [filled(line, width, hang) for line in lines])


def _scores(metrics: dict[str, float | None], units: "Metrics", width: int | None) -> str:
    """The scores over all classes; those of each class have tables."""
    from ablate.analysis.units import Scale, heading, title_unit
    from ablate.subject.metrics import ENERGY

    shown = [name for name in metrics if "/" not in name and name != ENERGY.name]
    lines = {
        units.label(name) + title_unit(units, shown, name): Scale.of(units.of(name), [metrics[name]]).value(
            metrics[name]
        )
        for name in shown
    }
    return _pairs(heading(units, shown), lines, width)


def _table(title: str, table: dict[str, Any], width: int | None) -> str:
    from ablate.analysis.layout import Column

    label, *columns = [
        Column((name,), _column([row[place] for row in table["data"]]), text=place == 0)
        for place, name in enumerate(table["columns"])
    ]
    return f"{title.replace('_', ' ')}\n" + _indented_table(label, columns, width)


def _column(cells: list[Any]) -> tuple[str, ...]:
    """The cells of a column; fractional numbers with as many decimals in each, so that they align."""
    texts = [_text(cell) for cell in cells]
    decimals = min(MOST_DECIMALS, max((len(text.partition(".")[2]) for text in texts), default=0))
    if decimals == 0 or not all(
        cell is None or (_is_plain(cell) and "e" not in _text(cell)) for cell in cells
    ):
        return tuple(texts)
    return tuple(
        text if cell is None else f"{cell:.{decimals}f}" for cell, text in zip(cells, texts, strict=True)
    )


def _is_plain(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _history(content: dict[str, Any], width: int | None) -> str:
    from ablate.analysis.layout import Column

    rows = content["history_tail"]
    if not rows:
        return ""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "epoch"]
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    label = Column(("epoch",), tuple(str(row["epoch"]) for row in rows), text=True)
    columns = [Column((name,), tuple(_number(row.get(name)) for row in rows)) for name in names]
    count = f"the last {len(rows)} of {content['n_epochs']} epochs"
    return f"{count}\n" + _indented_table(label, columns, width)


def _origin(content: dict[str, Any]) -> dict[str, str]:
    from ablate.subject.interface import NO_DATA

    data = content["dataset"]
    parts = {
        "data set": ""
        if data["digest"] == NO_DATA
        else f"{data['name']}, digest {data['digest']}" + (f", in {data['path']}" if data["path"] else ""),
        "device": content["device"] or "",
        **dict(_fact(name, value) for name, value in content["facts"].items()),
        "versions": ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
        **{MADE[name]: _text(value) for name, value in content["made"].items() if name in MADE},
    }
    return {name: text for name, text in parts.items() if text}


def _files(content: dict[str, Any]) -> dict[str, str]:
    found = dict(content["files"])
    for place, file in enumerate(content.get("pictures", [])):
        found[f"picture {place + 1}"] = file
    mlflow = content["mlflow"]
    if mlflow is not None:
        found["MLflow run"] = f"{mlflow['run_id']} in {mlflow['uri']}"
        for place, picture in enumerate(mlflow["pictures"]):
            found["MLflow picture" + (f" {place + 1}" if place else "")] = picture
    return found


def _indented_table(label: "Column", columns: "list[Column]", width: int | None) -> str:
    from ablate.analysis.layout import text_table

    table = text_table(label, [], [[column] for column in columns], None if width is None else width - 2)
    return "\n".join(f"  {line}".rstrip() for line in table.splitlines())


def _text(value: Any) -> str:
    from ablate.design.conditions import show as shown

    return "-" if value is None else shown(value)


def _fact(name: str, value: Any) -> tuple[str, str]:
    """``n_parameters``, 1249533 -> ``parameters``, ``1,249,533``."""
    from ablate.ground.wording import readable_count, readable_energy
    from ablate.subject.metrics import ENERGY

    if name == ENERGY.name and _is_plain(value):
        return ENERGY.label, readable_energy(value)
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return name.removeprefix("n_"), readable_count(value) if is_count else _text(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
