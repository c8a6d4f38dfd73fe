"""Arguments of Python as the words that a command is given, and what is wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ablate.api.asked import File, Grid
from ablate.api.means import LauncherName, Means
from ablate.api.subjects import Chosen, Code
from ablate.design.conditions import show
from ablate.ground.errors import ConfigError, shown
from ablate.ground.wording import suggest

if TYPE_CHECKING:
    from ablate.subject.interface import Subject

FilePath = str | PathLike[str]
MEANS = ("max_retries", "fail_fast", "runs_per_gpu", "no_scores", "energy", "slurm", "jobs", "address")


def chosen_of(
    script: str | None,
    subject: "FilePath | ModuleType | Subject | None",
    metrics: Sequence[str],
    uses: Sequence[FilePath],
    *,
    shell: bool,
    gpus_per_run: int,
) -> Chosen:
    """What is trained. Raises ConfigError for a subject that no worker could open."""
    module = None if subject is None else module_of(subject)
    files = list(map(Path, uses))
    return Chosen(script, module, several(metrics, "metrics"), files, shell, None, gpus_per_run)


def values_of(pairs: Mapping[str, Any] | None) -> dict[str, str]:
    """Values as text, by their names."""
    return {name: show(value) for name, value in (pairs or {}).items()}


def texts_of(factor: str, levels: Sequence[Any]) -> list[str]:
    """Levels as the command is given them. Raises ConfigError for what is no list."""
    if isinstance(levels, str) or not isinstance(levels, Sequence):
        raise ConfigError(f"levels of '{factor}': {shown(levels)} is no list; write [{levels!r}]")
    return [show(level) for level in levels]


def several(names: Sequence[str], argument: str) -> list[str]:
    if isinstance(names, str):
        raise ConfigError(f"{argument}='{names}': give a list, such as ['{names}']")
    return list(names)


def code_of(text: str | None) -> Code | None:
    if text is not None and text not in list(Code):
        raise ConfigError(f"code='{text}': say 'new' or 'same'")
    return None if text is None else Code(text)


def means_of(launcher: str, others: Mapping[str, Any], **usual: Any) -> Means:
    """By which means to train. Raises ConfigError for an unknown launcher or option."""
    problems = [f"{name}: no such option{suggest(name, MEANS)}" for name in others if name not in MEANS]
    if launcher not in list(LauncherName):
        problems.append(f"launcher='{launcher}': unknown{suggest(launcher, list(LauncherName))}")
    if problems:
        raise ConfigError(problems)
    return Means(launcher=LauncherName(launcher), **usual, **others)


def module_of(subject: "FilePath | ModuleType | Subject") -> Path:
    """The file that a worker opens again. Raises ConfigError for a subject that is in none."""
    if isinstance(subject, str | PathLike):
        return Path(subject)
    spec: Mapping[str, Any] = getattr(subject, "spec", None) or {}
    file = getattr(subject, "__file__", None) if isinstance(subject, ModuleType) else spec.get("path")
    if file is None:
        raise ConfigError(
            "subject: workers open what is trained from a file; write it to one, and give its path"
        )
    return Path(file)


def options_in_words(pairs: Mapping[str, Any]) -> Iterator[str]:
    """``--name value`` for each value that is given, again for each of several."""
    for option, value in pairs.items():
        if value is True:
            yield option
        elif isinstance(value, list | tuple):
            for each in value:
                yield from (option, str(each))
        elif value is not None and value is not False:
            yield from (option, str(value))


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]


def words_of_grid(asked: Grid) -> list[str]:
    chosen = asked.chosen
    options = {
        "--factors": ",".join(asked.factors) or None,
        "--levels": [f"{name}={','.join(levels)}" for name, levels in asked.levels.items()],
        "--design": None if asked.design == "full" else asked.design,
        "--full": _pairs(asked.full),
        "--zip": [",".join(names) for names in asked.zips],
        "--exclude": list(asked.exclude),
        "--seeds": asked.seeds,
        "--folds": asked.folds,
        "--script": chosen.script,
        "--subject": chosen.module,
        "--metric": list(chosen.metric or ()),
        "--uses": list(chosen.uses or ()),
        "--shell": chosen.shell,
        "--gpus-per-run": None if chosen.gpus_per_run == 1 else chosen.gpus_per_run,
        "--data": asked.data,
        "--profile": asked.profile,
        "--set": _pairs(asked.settings),
        "--plugin": list(asked.plugins),
    }
    return ["grid", *([asked.name] if asked.name else []), *options_in_words(options)]


def words_of_file(asked: File) -> list[str]:
    options = {
        "--seeds": asked.seeds,
        "--folds": asked.folds,
        "--data": asked.data,
        "--profile": asked.profile,
        "--set": _pairs(asked.settings),
        "--plugin": list(asked.plugins),
    }
    return ["study", asked.file, *options_in_words(options)]
