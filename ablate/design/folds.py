"""Folds: each seed of a condition trained once for each, without it, and scored on it.

A fold is no condition and no seed. How many there are is a setting of the base, and so of every condition of
a study; which one a run holds out is a setting that a study gives its runs itself.
"""

from collections.abc import Sequence

from ablate.design.conditions import Condition
from ablate.ground.errors import ConfigError
from ablate.subject.interface import Subject
from ablate.subject.settings import Config

LEAST = 2


def in_folds(base: Config, subject: Subject, folds: int | None, option: str = "--folds") -> Config:
    """The base with its training data in so many folds; as it is for None.

    Raises ConfigError where the subject has no folds, or these are none.
    """
    if folds is None:
        return base
    said = f"{option} {folds}"
    if folds < LEAST:
        raise ConfigError(
            f"{said}: {LEAST} folds are the fewest; leave it out to train on all training data and score on "
            "the evaluation data"
        )
    if subject.folds is None:
        raise ConfigError(f"{said}: {_without(subject)}")
    return base.override({subject.folds[0]: folds})


def _without(subject: Subject) -> str:
    """Why a subject has no folds, and how to give it some."""
    if subject.spec.get("kind") == "script":
        return (
            f"the command of '{subject.name}' has no {{fold}} and {{folds}}; write them where it is told "
            "which fold to hold out (1, 2, ...) and how many there are, such as --fold={fold} --folds={folds}"
        )
    return (
        f"'{subject.name}' has no settings that divide its training data; let a module name two in "
        "ablate.Subject(folds=(how many, which one))"
    )


def n_folds(subject: Subject, config: Config) -> int:
    """Into how many folds a configuration divides the training data; 0 for none."""
    return 0 if subject.folds is None else int(config.get(subject.folds[0]))


def without_fold(subject: Subject, config: Config) -> Config:
    """The configuration of a run as a study's condition has it: which fold is held out is up to the runs."""
    which = None if subject.folds is None else subject.folds[1]
    return config if which is None else config.override({which: subject.default.get(which)})


def check_folds(subject: Subject, base: Config, conditions: Sequence[Condition]) -> None:
    """Raises ConfigError where a study chooses a fold itself, or its conditions differ in their number."""
    if subject.folds is None:
        return
    number, which = subject.folds
    configs = [base, *(condition.config for condition in conditions)]
    problems = []
    if any(config.get(which) != subject.default.get(which) for config in configs):
        problems.append(
            f"'{which}' is no setting or factor of a study, whose runs have every fold in turn; say --folds K"
        )
    if any(config.get(number) != base.get(number) for config in configs):
        problems.append(
            f"'{number}' is one number in all of a study, as scores over other folds are of other trainings; "
            "plan a study for each, with --folds K"
        )
    if problems:
        raise ConfigError(problems)
