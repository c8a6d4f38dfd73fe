"""``ablate doctor``: what is wrong here, and how to mend it."""

from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import console, print_json, terminal_width
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyOption,
    chosen_study,
    open_store,
)
from ablate.ground.wording import count

if TYPE_CHECKING:
    from ablate.upkeep.findings import Finding, Level

LEVEL_WIDTH = 9  # "warning" and "problem", and a gap


def doctor(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="The study to look at; without it, all.")
    ] = None,
    study_option: StudyOption = None,
    tracker: Annotated[
        bool,
        typer.Option("--tracker", help="Try all that shipping does to MLflow, instead; it writes there."),
    ] = False,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Check the store, its runs, the data, MLflow and this machine; say what is wrong and how to mend it.

    Changes nothing but with --tracker, which writes a run to MLflow and deletes it. Exit code 1 when there is
    a problem; warnings are none.
    """
    from ablate.upkeep.doctor import CHECKS, examine
    from ablate.upkeep.findings import Level
    from ablate.upkeep.trial import STEPS, Trial

    opened = open_store(store)
    asked = chosen_study(study, study_option)
    if asked is not None and asked not in opened.study_names():
        opened.choose_study(asked)  # raises what tells of the studies that there are
    findings = []
    name_width = 2 + max(map(len, STEPS if tracker else CHECKS))
    for finding in Trial(opened).findings() if tracker else examine(opened, asked):
        findings.append(finding)
        if output is Printout.TABLE:
            _print(finding, name_width)
    n_problems = sum(finding.level is Level.PROBLEM for finding in findings)
    if output is Printout.JSON:
        content = {"schema": "ablate.doctor/1", "store": str(opened.root), "ok": not n_problems}
        print_json({**content, "checks": [vars(finding) for finding in findings]})
    else:
        n_warnings = sum(finding.level is Level.WARNING for finding in findings)
        print(f"\n{count(n_problems, 'problem')}, {count(n_warnings, 'warning')}")
    if n_problems:
        raise typer.Exit(1)


def _print(finding: "Finding", name_width: int) -> None:
    """Level, check and text, which wraps beside them; commands whole, so that they can be copied."""
    from ablate.analysis.layout import filled

    hang = LEVEL_WIDTH + name_width
    head = finding.level.ljust(LEVEL_WIDTH) + finding.check.ljust(name_width)
    text = filled(head + " ".join(finding.text.split()), terminal_width(), hang)
    printer = console()
    printer.print(text[:LEVEL_WIDTH], style=_style(finding.level), end="")
    printer.print(text[LEVEL_WIDTH:], soft_wrap=True)
    for command in finding.commands:
        indent = " " * (hang if hang + 2 + len(command) <= printer.width else 2)
        printer.print(f"{indent}$ {command}", style="bold", soft_wrap=True)


def _style(level: "Level") -> str:
    return {"ok": "green", "warning": "yellow", "problem": "bold red"}[level]
