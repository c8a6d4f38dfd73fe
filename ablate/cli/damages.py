"""Which runs of a study are damaged, and what to do; said after everything that the others have to say."""

from collections.abc import Sequence

import typer

from ablate.analysis.query import Damage, RunRecord, damages
from ablate.record.store import Store


def end_with_damages(store: Store, study: str, records: Sequence[RunRecord]) -> None:
    """A line for each damaged run of the study on standard error, and exit code 1 when there are any.

    ``records`` are all runs of the study as ``load_runs`` gives them.
    """
    tell_damages(store, study, damages(store, study, records))


def tell_damages(store: Store, study: str, found: Sequence[Damage]) -> None:
    """As ``end_with_damages``, for damages that are known."""
    if not found:
        return
    if store.bundle is not None:
        for damage in found:
            typer.echo(
                f"ablate: {damage.title} is damaged in {store.bundle} and counts as missing ({damage.why})",
                err=True,
            )
        raise typer.Exit(1)
    commands = store.study_commands(study)
    again = f"`{commands[0]}`" if len(commands) == 1 else "the command that planned it"
    for damage in found:
        away = f"move {damage.path} away and type" if damage.path.exists() else "type"
        typer.echo(
            f"ablate: {damage.title} is damaged and counts as missing ({damage.why}); {away} {again} again",
            err=True,
        )
    raise typer.Exit(1)
