"""``ablate status``: how far a study is."""

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
    from ablate.analysis.compare import distinct_names
    from ablate.analysis.query import without_outcome
    from ablate.cli.console import print_json, say
    from ablate.cli.failures import print_failures
    from ablate.cli.plan import describe_run, print_states
    from ablate.schedule.grid import reconcile

    opened = open_store(store)
    name = pick_study(opened, study, study_option)
    folders = {folder.run_id: folder for folder in opened.study_runs(name)}
    plan = reconcile([folder.run() for folder in folders.values()], lambda run_id: folders[run_id].status())
    if output is Printout.JSON:
        print_json(
            {
                "study": name,
                "store": str(opened.root),
                "counts": plan.counts(),
                "runs": [describe_run(planned) for planned in plan.runs],
            }
        )
        return
    say(f"Study {name} in {opened.root}: {plan.summary()}")
    names = distinct_names([without_outcome(planned.run, planned.status) for planned in plan.runs])
    print_states(plan, names)
    print_failures(plan, name, opened)
