"""What is trained: the options that name a script or a module, and whether its code is what it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.record.store import Store
    from ablate.subject.interface import Subject


class Code(StrEnum):
    NEW = "new"
    SAME = "same"


ScriptOption = Annotated[
    str | None,
    typer.Option(
        "--script",
        metavar="COMMAND",
        help="Train with a program of yours: train.py, or a command such as 'python train.py --lr={lr}'.",
    ),
]
ModuleOption = Annotated[
    Path | None,
    typer.Option("--subject", metavar="FILE.py", help="Train with a Python module of yours."),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME:max|min[:select][=PATTERN]",
        help="A score of the script, and how to find it in its output; repeatable.",
    ),
]
UsesOption = Annotated[
    list[Path] | None,
    typer.Option("--uses", metavar="PATH", help="A file or folder that the script's results depend on."),
]
ShellOption = Annotated[bool, typer.Option("--shell", help="Run the script's command in a shell.")]
NameOption = Annotated[
    str | None,
    typer.Option("--subject-name", metavar="NAME", help="What the script is called.  [default: its file]"),
]
GpusOption = Annotated[
    int, typer.Option("--gpus-per-run", min=1, max=1024, help="Devices that a run of the script needs.")
]
CodeOption = Annotated[
    Code | None,
    typer.Option("--code", help="What a change of the code means: new results, or the same."),
]


@dataclass(frozen=True)
class Chosen:
    """The options that say what is trained; without any, the built-in subject."""

    script: ScriptOption = None
    module: ModuleOption = None
    metric: MetricOption = None
    uses: UsesOption = None
    shell: ShellOption = False
    subject_name: NameOption = None
    gpus_per_run: GpusOption = 1


def choose_subject(
    chosen: Chosen, *, levels: Mapping[str, Sequence[str]], settings: Mapping[str, str]
) -> "Subject":
    """The subject that a command names, or the built-in one. Raises ConfigError."""
    from ablate.subject.registry import built_in

    if chosen.script is not None and chosen.module is not None:
        raise ConfigError("--script and --subject both say what is trained; give one of them")
    if chosen.script is not None:
        from ablate.subject.script import script_subject

        return script_subject(
            chosen.script,
            name=chosen.subject_name,
            metrics=chosen.metric or [],
            uses=chosen.uses or [],
            levels=levels,
            settings=settings,
            shell=chosen.shell,
            folder=Path.cwd(),
            gpus_per_run=chosen.gpus_per_run,
        )
    given = {
        "--metric": chosen.metric,
        "--uses": chosen.uses,
        "--shell": chosen.shell,
        "--gpus-per-run": chosen.gpus_per_run > 1,
    }
    if wrong := [option for option, value in given.items() if value]:
        raise ConfigError(f"{', '.join(wrong)}: for a --script; a module says so itself")
    if chosen.module is not None:
        from ablate.subject.module import open_module

        return open_module({"path": str(chosen.module), "name": chosen.subject_name})
    return built_in()


def settle_code(store: "Store", study: str, subject: "Subject", code: Code | None) -> "Subject":
    """The subject as the study knows it, when its code has changed since the study was planned.

    With ``--code same`` it keeps the version that the study's runs have; with ``new`` it has one of its own.
    Raises ConfigError where the user must say which, StudyError when the study is of another subject.
    """
    card = store.study_card_of(study)
    if card is None:
        return subject
    store.require_subject(study, subject.name)
    if card.spec.get("kind") == "results":
        raise ConfigError(
            f"study '{study}' was imported, so nothing can be trained in it; choose another name"
        )
    if subject.version in (card.version, *card.codes):
        return subject.as_version(card.version, card.codes)
    if code is Code.SAME:
        return subject.as_version(card.version, (*card.codes, subject.version))
    if code is Code.NEW:
        return subject
    from ablate.record.rundir import State

    there, here = (spec.get("code") or spec.get("path") for spec in (card.spec, subject.spec))
    if there != here:
        raise ConfigError(
            f"study '{study}' was planned with {there}, and this is {here}: choose another name with "
            "--study; or, if that is what it was planned with, say --code same or new"
        )
    states = [folder.status().state for folder in store.study_runs(study)]
    finished = sum(state is State.FINISHED for state in states)
    raise ConfigError(
        f"the code of '{subject.name}' has changed since study '{study}' was planned: {finished} finished "
        f"{'run is' if finished == 1 else 'runs are'} of the former version. Say --code same if the change "
        "cannot change a number, or --code new to train all of them anew"
    )
