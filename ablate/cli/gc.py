"""``ablate gc``: remove from the store what no study needs."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablate.cli.console import print_json, print_table, say
from ablate.cli.options import Printout, PrintoutOption, StoreOption, open_store
from ablate.ground.durations import duration
from ablate.ground.errors import ConfigError
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.record.store import Store
    from ablate.upkeep.garbage import Garbage


def gc(
    study: Annotated[
        str | None,
        typer.Option("--study", metavar="NAME", help="Forget this study before, and what only it needs."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Remove what no study needs: run folders, checkpoints, data and files of commands that were killed.

    Shows it, then asks. What is being trained, or is younger than an hour, is left alone.
    """
    from ablate.upkeep.garbage import collect, find_garbage, require_idle

    opened = open_store(store)
    opened.require_folder()
    if study is not None:
        if study not in opened.study_names():
            opened.choose_study(study)  # raises what tells of the studies that there are
        require_idle(opened, study)
    garbage = find_garbage(opened, study)
    n_bytes = sum(item.n_bytes for item in garbage.items)
    if output is Printout.TABLE:
        _show(opened, garbage, study)
    anything = bool(garbage.items or study)
    wanted = anything and not dry_run and (yes or _ask(garbage, study))
    done = collect(opened, garbage, study) if wanted else None
    if output is Printout.JSON:
        print_json(_content(opened, garbage, n_bytes, removed=done is not None))
    elif done is not None:
        _show_done(opened, study, done.items, done.notes)
    elif dry_run and anything:
        print()
        say("Nothing was removed. Leave out --dry-run to remove it.")


def _show(store: "Store", garbage: "Garbage", study: str | None) -> None:
    from ablate.analysis.layout import Column
    from ablate.ground.wording import readable_bytes
    from ablate.upkeep.garbage import Kind, finished_seconds

    if garbage.items:
        groups = {kind: items for kind in Kind if (items := garbage.of(kind))}
        sizes = [sum(item.n_bytes for item in items) for items in groups.values()]
        label = Column(("what no study needs",), (*groups, "total"))
        numbers = Column(
            ("number",), (*(str(len(items)) for items in groups.values()), str(len(garbage.items)))
        )
        bytes_ = Column(("size",), tuple(map(readable_bytes, [*sizes, sum(sizes)])))
        print(f"{store.root}\n")
        print_table(label, [[numbers], [bytes_]], breaks=[len(groups)])
    else:
        say(f"{store.root}: nothing to remove")
    seconds = list(finished_seconds(garbage.items))
    notes = [f"{count(len(seconds), 'run')} among these had finished; training took {duration(sum(seconds))}"]
    notes = notes * bool(seconds) + garbage.notes
    if study is not None:
        notes.insert(0, f"the study {study} will be forgotten")
    if notes:
        print()
        say("\n".join(notes))


def _ask(garbage: "Garbage", study: str | None) -> bool:
    """Whether the user wants it. Raises ConfigError when there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ConfigError("nothing was removed, as this is no terminal to ask at; add --yes to remove it")
    deeds = ["remove all this"] * bool(garbage.items) + [f"forget the study {study}"] * (study is not None)
    wanted = typer.confirm(f"\n{' and '.join(deeds).capitalize()}?", err=True)
    if not wanted:
        print("Nothing was removed.", file=sys.stderr)
    return wanted


def _show_done(store: "Store", study: str | None, items: list[Any], notes: list[str]) -> None:
    from ablate.ground.wording import readable_bytes

    print(f"\nRemoved {readable_bytes(sum(item.n_bytes for item in items))}.")
    for note in notes:
        say(note)
    if study is not None:
        _say_experiment_left(store, study)


def _say_experiment_left(store: "Store", study: str) -> None:
    """That MLflow still shows the study, and how to end that."""
    from ablate.upkeep.tracking import experiment_command

    command = experiment_command(store, study)
    if command is None:
        say(f"If MLflow has an experiment '{study}', it is left as it is.")
        return
    say(f"MLflow's experiment '{study}' is left as it is; to delete it too:")
    print(f"  {command}")


def _content(store: "Store", garbage: "Garbage", n_bytes: int, *, removed: bool) -> dict[str, Any]:
    return {
        "schema": "ablate.garbage/1",
        "store": str(store.root),
        "bytes": n_bytes,
        "items": [
            {"kind": item.kind, "path": str(item.path), "bytes": item.n_bytes} for item in garbage.items
        ],
        "notes": garbage.notes,
        "removed": removed,
    }
