"""What is trained: a script, a module or the built-in subject, and whether its code is what it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.record.store import Store
    from ablate.subject.factors import Factors
    from ablate.subject.interface import Subject


class Code(StrEnum):
    NEW = "new"
    SAME = "same"


@dataclass(frozen=True)
class Chosen:
    """What is trained, each as the option of the commands; without any, the built-in subject."""

    script: str | None = None
    module: Path | None = None
    metric: Sequence[str] | None = None
    uses: Sequence[Path] | None = None
    shell: bool = False
    subject_name: str | None = None
    gpus_per_run: int = 1


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
    So it has, unasked, where no run got anywhere: who mends a program that fails types the same command.
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
    if {*states} <= {State.PENDING, State.FAILED}:  # nothing that a change could be mixed with
        return subject
    finished = sum(state is State.FINISHED for state in states)
    raise ConfigError(
        f"the code of '{subject.name}' has changed since study '{study}' was planned: {finished} finished "
        f"{'run is' if finished == 1 else 'runs are'} of the former version. Say --code same if the change "
        "cannot change a number, or --code new to train all of them anew"
    )


def all_factors(subject: "Subject", plugins: Sequence[Path] | None) -> "Factors":
    """The subject's factors and those of the user's modules, which may replace some of them."""
    known = subject.known_factors
    for path in plugins or []:
        known = known.with_plugin(path)
    return known
