"""``ablate status``: how far a study is."""

from typing import TYPE_CHECKING

from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_store,
    pick_study,
)

if TYPE_CHECKING:
    from ablate.schedule.grid import Plan


def status(
    study: StudyArgument = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Show how far a study is: its runs by state, per condition and seed."""
    from ablate.cli.console import print_json
    from ablate.cli.plan import describe_run, print_states
    from ablate.schedule.grid import reconcile

    opened = open_store(store)
    name = pick_study(opened, study, study_option)
    folders = {folder.run_id: folder for folder in opened.study_runs(name)}
    plan = reconcile(
        [folder.run() for folder in folders.values()], lambda run_id: folders[run_id].status()
    )
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
    print(f"Study {name} in {opened.root}: {plan.summary()}")
    print_states(plan)
    _print_failures(plan, name)


def _print_failures(plan: "Plan", study: str) -> None:
    from ablate.rundir import State

    failed = [planned for planned in plan.runs if planned.status.state is State.FAILED]
    for planned in failed:
        print(f"failed: {planned.run.name} seed={planned.run.seed}: {planned.status.cause}")
    if failed:
        print(f"Their logs: ablate runs {study} --where 'state = failed' --columns name,seed,cause,log")
        print("Train them again with --retry at the command that planned them.")
