"""``ablate status``: how far a study is, and where it is under way."""

from ablate.cli.options import (
    Printout,
    PrintoutOption,
    ReadArgument,
    StoreOption,
    StudyOption,
    open_study,
)


def status(
    study: ReadArgument = None,
    study_option: StudyOption = None,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Show how far a study is, per condition and seed, and where it is under way."""
    from ablate.analysis.compare import group_runs, suspects
    from ablate.api import answers
    from ablate.cli.console import print_json, say, terminal_width
    from ablate.cli.damages import tell_damages
    from ablate.cli.failures import print_failures

    opened, name = open_study(store, study, study_option)
    found = answers.status(name, store=opened)
    if output is Printout.JSON:
        print_json(found.document)
    else:
        print(found.text(terminal_width()), end="")
        print_failures(found.runs, found.study, found.store)
        for doubt in suspects(group_runs(found.runs)):
            say(doubt)
    tell_damages(found.store, found.study, found.damages)
