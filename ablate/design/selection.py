"""What a search chooses by: its objectives, and data that nothing is judged by in the end."""

from collections.abc import Mapping, Sequence

from ablate.design.conditions import show
from ablate.design.folds import n_folds
from ablate.design.space import Range
from ablate.ground.errors import ConfigError
from ablate.subject.interface import Subject
from ablate.subject.settings import Config

DEFAULT_SHARE = 0.2
NO_FOLDS = (
    "--folds: a search scores its trials on a share of the training data (--validation); train what it finds "
    "as a grid with --folds"
)


def middles(within: Mapping[str, Range]) -> dict[str, list[str]]:
    """What the baseline has of a script's setting that is searched over a range."""
    return {name: [show(each.middle())] for name, each in within.items()}


def objectives_of(
    subject: Subject, maximize: str | None, minimize: str | None, second: str | None
) -> dict[str, str]:
    """Metric -> "max" or "min", one or two. Raises ConfigError."""
    if (maximize is None) == (minimize is None):
        raise ConfigError("say what the search is for: --maximize METRIC, or --minimize METRIC")
    first = (maximize, "max") if maximize is not None else (minimize or "", "min")
    asked = [first] if second is None else [first, _second(subject, second)]
    problems = []
    for name, best in asked:
        unknown = subject.unknown_metric(name or "")
        declared = next((each for each in subject.metrics if each.name == name), None)
        if unknown is not None:
            problems.append(f"unknown metric '{name}'{unknown}")
        elif declared is not None and declared.best != best:
            word = {"max": "--maximize", "min": "--minimize"}[declared.best]
            problems.append(
                f"of '{name}' {'more' if declared.best == 'max' else 'less'} is better: say {word}"
            )
    if len({name for name, _ in asked}) < len(asked):
        problems.append(f"--and {second}: that is the first objective already")
    if problems:
        raise ConfigError(problems)
    return {str(name): best for name, best in asked}


def _second(subject: Subject, text: str) -> tuple[str, str]:
    name, _, best = text.partition(":")
    if best not in ("", "max", "min"):
        raise ConfigError(f"--and {text}: write METRIC, METRIC:max or METRIC:min")
    return name, best or subject.card.metrics.of(name).best


def hold_out(
    subject: Subject,
    base: Config,
    objectives: Mapping[str, str],
    share: float | None,
    *,
    on_evaluation: bool,
) -> tuple[Config, float]:
    """The base with a share of the training data held out, and the share. Raises ConfigError.

    No search selects by the data that its best are judged on, unless the user says so.
    """
    if n_folds(subject, base):
        raise ConfigError(NO_FOLDS)
    if on_evaluation and share:
        raise ConfigError(f"--on-evaluation and --validation {share:g} contradict each other; give one")
    if subject.validation is None:
        if share:
            raise ConfigError(
                f"--validation {share:g}: '{subject.name}' has no setting that holds data out; let a module "
                "name it in Subject(validation=...), or search by a metric that is declared fit for it"
            )
        unfit = [name for name in objectives if not subject.card.metrics.of(name).select]
        if unfit and not on_evaluation:
            raise ConfigError(_unfit(unfit))
        return base, 0.0
    if on_evaluation:
        return base.override({subject.validation: 0.0}), 0.0
    given = float(base.get(subject.validation))
    chosen = share if share is not None else given or DEFAULT_SHARE
    if not chosen:
        raise ConfigError(
            "--validation 0 would choose by the evaluation data, which are to judge the best: hold some "
            "training data out, or say --on-evaluation, and every table will say so"
        )
    return base.override({subject.validation: chosen}), chosen


def _unfit(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        f"{listed}: not declared fit for a search, which would choose by what the best are judged on. If it "
        f"is measured on other data, say so: --metric {names[0]}:max:select for a script, "
        f'ablate.Metric("{names[0]}", select=True) in a module. Else say --on-evaluation, and every table '
        "will say so"
    )
