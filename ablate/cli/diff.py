"""``ablate diff``: two runs side by side."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, print_table, say
from ablate.cli.options import Printout, PrintoutOption, ReadOption, StoreOption, open_place

if TYPE_CHECKING:
    from ablate.analysis.inspect import Diff, Found
    from ablate.analysis.units import Scale


def diff(
    first: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run id, the beginning of one, or 'NAME seed=K', with folds 'NAME seed=K fold=J'.",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The same.")],
    study: ReadOption = None,
    output_format: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Compare two runs: the settings in which they differ, and their metrics."""
    from ablate.analysis.inspect import diff_runs, find_run

    opened, name = open_place(store, study)
    found = diff_runs(find_run(opened, first, name), find_run(opened, second, name))
    if output_format is Printout.JSON:
        print_json(_content(found))
    else:
        _print(found)


def _content(found: "Diff") -> dict[str, Any]:
    return {
        "schema": "ablate.diff/1",
        "runs": [_identity(run) for run in (found.first, found.second)],
        "settings": {name: list(values) for name, values in found.settings.items()},
        "metrics": {
            name: {"values": list(values), "difference": _difference(values)}
            for name, values in found.metrics.items()
        },
    }


def _identity(found: "Found") -> dict[str, Any]:
    record = found.record
    return {
        "run_id": record.run_id,
        "study": found.study,
        "name": record.name,
        "seed": record.seed,
        **({} if record.fold is None else {"fold": record.fold}),
        "state": str(record.state),
    }


def _print(found: "Diff") -> None:
    from ablate.analysis.inspect import title
    from ablate.analysis.layout import Column
    from ablate.analysis.units import Scale, heading

    say(f"A  {title(found.first)}, {found.first.record.state}", hang=3)
    say(f"B  {title(found.second)}, {found.second.record.state}", hang=3)
    print()
    if not found.settings:
        print("The two are one run." if found.first.record == found.second.record else "No setting differs.")
    else:
        names = Column(("setting",), tuple(found.settings), text=True)
        sides = [
            Column((side,), tuple(_level(values[place]) for values in found.settings.values()), text=True)
            for place, side in enumerate("AB")
        ]
        print_table(names, [sides])
    if found.metrics:
        units = found.first.record.subject.metrics
        what = heading(units, list(found.metrics)).replace("scores", "score")
        names = Column((what,), tuple(map(units.label, found.metrics)), text=True)
        values = list(found.metrics.values())
        scales = [Scale.of(units.of(name), pair) for name, pair in found.metrics.items()]
        pairs = list(zip(scales, values, strict=True))
        sides = [
            Column((side,), tuple(scale.value(pair[place]) for scale, pair in pairs))
            for place, side in enumerate("AB")
        ]
        change = Column(("B - A",), tuple(_signed(scale, pair) for scale, pair in pairs))
        print()
        print_table(names, [[*sides, change]])


def _difference(pair: tuple[float | None, float | None]) -> float | None:
    first, second = pair
    return None if first is None or second is None else second - first


def _level(value: Any) -> str:
    from ablate.design.conditions import show

    return show(value)


def _signed(scale: "Scale", pair: tuple[float | None, float | None]) -> str:
    difference = _difference(pair)
    return "" if difference is None else scale.difference(difference)
