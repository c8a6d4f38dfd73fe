"""``ablate status``: how far a study is."""

from collections import Counter

from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_store,
    pick_study,
)


def status(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Show how far a study is, per condition and seed."""
    from ablate.analysis.compare import distinct_names, group_runs, suspects
    from ablate.analysis.query import load_runs
    from ablate.cli.console import print_json, say
    from ablate.cli.damages import end_with_damages
    from ablate.cli.failures import print_failures
    from ablate.cli.plan import describe_run, print_states
    from ablate.schedule.grid import tally

    opened = open_store(store)
    name = pick_study(opened, study, study_option)
    runs = load_runs(opened, name)
    counts = Counter(run.state for run in runs)
    if output is Printout.JSON:
        print_json(
            {
                "study": name,
                "store": str(opened.root),
                "counts": counts,
                "runs": [describe_run(run) for run in runs],
            }
        )
    else:
        say(f"Study {name} in {opened.root}: {tally(counts)}")
        print_states(runs, distinct_names(runs))
        print_failures(runs, name, opened)
        for doubt in suspects(group_runs(runs)):
            say(doubt)
    end_with_damages(opened, name, runs)
