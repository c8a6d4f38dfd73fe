"""``ablate sync``: complete MLflow from the run folders."""

import typer

from ablate.cli.console import print_json
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_store,
    pick_study,
)
from ablate.ground.documents import Synced
from ablate.ground.wording import count


def sync(
    study: StudyArgument = None,
    study_name: StudyOption = None,
    output: PrintoutOption = Printout.TABLE,
    store: StoreOption = None,
) -> None:
    """Complete MLflow from a study's run folders.

    Whatever MLflow lacks is added, once: after an outage, or when its database was deleted. After the store
    was moved or copied, MLflow finds its files again.
    """
    from ablate.record.decision import read_decision
    from ablate.tracking import Tracker
    from ablate.tracking.address import without_password

    opened = open_store(store)
    name = pick_study(opened, study, study_name)
    tracker, runs = Tracker(opened, name), opened.study_runs(name)
    decision = read_decision(opened, name)
    is_decided = decision is not None and bool(decision.looks)
    shipped = None if is_decided else tracker.as_before(runs)
    notes: list[str] = []
    if shipped is None:
        notes = list(tracker.prepare())
        for sentence in notes if output is Printout.TABLE else ():
            typer.echo(sentence)
        shipped = tracker.ship_all(runs)
    if decision is not None and is_decided:
        from ablate.analysis.decisions import verdicts  # which takes half a second

        tracker.show_decision(decision.plan.digest, verdicts(decision))
    if output is Printout.JSON:
        print_json(
            Synced(
                schema="ablate.sync/1",
                study=name,
                sent=shipped.sent,
                up_to_date=shipped.current,
                not_begun=shipped.pending,
                uri=without_password(tracker.uri),
                experiment=tracker.experiment,
                notes=notes,
            )
        )
        return
    counts = [
        f"{count(shipped.sent, 'run')} sent",
        f"{shipped.current} up to date",
        f"{shipped.pending} not begun",
    ]
    called = "" if tracker.experiment == name else f", there called '{tracker.experiment}'"
    typer.echo(f"{name}: {', '.join(counts)}  ->  {without_password(tracker.uri)}{called}")
