"""``ablate sync``: complete MLflow from the run folders."""

import typer

from ablate.cli.options import StoreOption, StudyArgument, StudyOption, open_store, pick_study
from ablate.cli.words import count


def sync(study: StudyArgument = None, study_name: StudyOption = None, store: StoreOption = None) -> None:
    """Complete MLflow from a study's run folders.

    Whatever MLflow lacks is added, once: after an outage, or when its database was deleted.
    """
    from ablate.tracking import Tracker

    opened = open_store(store)
    name = pick_study(opened, study, study_name)
    tracker = Tracker(opened, name)
    tracker.prepare()
    shipped = tracker.ship_all(opened.study_runs(name))
    counts = [
        f"{count(shipped.sent, 'run')} sent",
        f"{shipped.current} up to date",
        f"{shipped.pending} not begun",
    ]
    typer.echo(f"{name}: {', '.join(counts)}  ->  {tracker.uri}")
