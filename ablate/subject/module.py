"""A user's Python module as a subject: opened, checked, and known by the digest of its code."""

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel

from ablate.ground.errors import AblateError, ConfigError, brief, shown
from ablate.ground.files import is_file
from ablate.ground.wording import enumerate_names, suggest
from ablate.subject.code import PlannedCode, digest_of, files_of
from ablate.subject.factors import factor_problems
from ablate.subject.interface import Subject
from ablate.subject.metrics import Best, Metric
from ablate.subject.returned import is_metric_name
from ablate.subject.settings import SEED, Config

KIND = "module"
NAME = "subject"  # what a module calls its subject
DEFINE = "define subject = ablate.Subject('name', Config, train)"

# Folders of the modules that this process has opened, first on the path for what they import.
_opened: set[Path] = set()


def open_module(given: Mapping[str, Any] | str | Path) -> Subject:
    """The subject that a Python file defines, from the file or from ``Subject.spec``.

    ``spec`` may give it another ``name``, and name further files and folders that the results depend on, in
    ``uses``. Raises ConfigError with every problem: no such file, one that does not run, one without a
    subject, a subject that does not fit together.
    """
    spec: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"path": str(given)}
    path = Path(spec["path"]).absolute()
    if path.suffix != ".py" or not is_file(path):
        what = "no such file" if not is_file(path) else "not a Python file, whose name ends with .py"
        raise ConfigError(f"{brief(str(path))}: {what}; name the file that defines the subject")
    subject = _subject_in(_executed(path), path)
    if spec.get("name") is not None:
        subject = replace(subject, name=spec["name"])
    problems = list(_problems(subject))
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    named = [*(path.parent / each for each in subject.uses), *map(Path, spec.get("uses", ()))]
    uses = list(dict.fromkeys(each.absolute() for each in named))
    digest = digest_of(path, uses)
    spec = {
        **spec,
        "digest": spec.get("digest") or digest,
        "kind": KIND,
        "path": str(path),
        "name": subject.name,
    }
    return replace(subject, spec={**spec, "uses": [str(each) for each in uses]}, version=digest)


def planned_code(subject: Subject) -> PlannedCode | None:
    """The code that a module's study was planned with; None for a subject that is no user's module."""
    spec = subject.spec
    if spec.get("kind") != KIND:
        return None
    return PlannedCode(
        spec["path"], Path(spec["path"]), [Path(each) for each in spec["uses"]], spec["digest"]
    )


# ---------------------------------------------------------------------------------------------- execution


def _executed(path: Path) -> ModuleType:
    """The module, executed anew with the neighbours that it imports, their folder first on the path.

    What it prints goes to standard error: standard output may be for something else.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{brief(str(path))}: cannot be read ({error.strerror})") from error
    _put_first(path)
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):
            # Not by its loader, which takes compiled code for current that is of the same second.
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(_told(error, path)) from error
    return module


def _put_first(path: Path) -> None:
    """Let imports find the module's neighbours, and forget other modules of their names."""
    folder = path.parent
    _opened.add(folder)
    while str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    neighbours = {file.relative_to(folder).parts[0].removesuffix(".py") for file in files_of(path, [])}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in neighbours and _is_of_a_subject(module):
            del sys.modules[name]


def _is_of_a_subject(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and any(folder in Path(file).parents for folder in _opened)


def _module_name(path: Path) -> str:
    """The file's own name, by which other processes find it when they unpickle what is defined in it.

    A name of its own where that is taken by another module, such as one that is installed.
    """
    name = path.stem
    if name.isidentifier() and name not in sys.stdlib_module_names and name not in sys.modules:
        found = _found_elsewhere(name, path.parent)
        if found is None:
            return name
    return f"ablate_subject_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _found_elsewhere(name: str, folder: Path) -> ModuleSpec | None:
    elsewhere = [entry for entry in sys.path if Path(entry).absolute() != folder]
    return PathFinder.find_spec(name, elsewhere)


def _told(error: BaseException, path: Path) -> str:
    """What went wrong when the module was executed, and in which line of the user's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path.parent in Path(frame.filename).parents] or frames
    where = f"{own[-1].filename}, line {own[-1].lineno}"
    if isinstance(error, SystemExit):
        return (
            f"{where}: importing it ends the process; put what is for the command line below "
            "if __name__ == '__main__':"
        )
    what = str(error) if isinstance(error, AblateError) else f"{type(error).__name__}: {error}"
    return f"{where}: {what}"


# ------------------------------------------------------------------------------------------------- checks


def _subject_in(module: ModuleType, path: Path) -> Subject:
    """The one called ``subject``, or the only one there is."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, Subject)}
    if NAME in found:
        return found[NAME]
    if len({id(subject) for subject in found.values()}) == 1:
        return next(iter(found.values()))
    if found:
        raise ConfigError(
            f"{path}: there are several subjects, {enumerate_names(list(found))}; call one of them {NAME}"
        )
    if NAME in vars(module):
        raise ConfigError(f"{path}: subject is {shown(vars(module)[NAME])}, not an ablate.Subject; {DEFINE}")
    raise ConfigError(f"{path}: there is no subject in it; {DEFINE}")


def _problems(subject: Subject) -> Iterator[str]:
    """What is wrong with a subject that somebody wrote, a sentence each."""
    if not isinstance(subject.name, str) or not re.fullmatch(r"\w[\w.\- ]*", subject.name):
        yield f"a subject cannot be called {shown(subject.name)}; use letters, digits, spaces and _ - ."
    yield from _train_problems(subject)
    yield from _metric_problems(subject)
    yield from _sequence_problems(subject)
    kind = subject.config_type
    if not (isinstance(kind, type) and issubclass(kind, Config)):
        yield f"{getattr(kind, '__name__', shown(kind))} is not derived from ablate.Config"
        return
    if problems := list(_config_problems(kind)):  # without a configuration nothing else can be looked at
        yield from problems
        return
    yield from _factor_problems(subject)
    yield from _profile_problems(subject)
    yield from _folds_problems(subject)
    known = subject.default.help
    unknown = [str(name) for name in subject.scoring if name not in known]
    yield from (f"scoring: unknown setting '{brief(name)}'{suggest(name, known)}" for name in unknown)


def _train_problems(subject: Subject) -> Iterator[str]:
    if type(subject).trainer is not Subject.trainer:  # it trains in a way of its own
        return
    if not callable(subject.train):
        yield f"train is {shown(subject.train)}, not a function; write def train(config, run)"
        return
    if inspect.iscoroutinefunction(subject.train):
        yield "train is an async function; write def train(config, run)"
    try:
        inspect.signature(subject.train).bind(None, None)
    except TypeError as error:
        yield f"train cannot be called as train(config, run): {error}"
    except ValueError:  # a function of C code that does not say what it takes
        return


def _metric_problems(subject: Subject) -> Iterator[str]:
    names = []
    for metric in subject.metrics:
        if not isinstance(metric, Metric):
            yield f"metrics: {shown(metric)} is not an ablate.Metric"
            continue
        names.append(metric.name)
        if not isinstance(metric.name, str) or not is_metric_name(metric.name, family=True):
            yield f"metric {shown(metric.name)}; a name is made of letters, digits, spaces and _ - . /"
        if metric.best not in get_args(Best):
            yield f"metric '{metric.name}': best={shown(metric.best)} is neither 'max' nor 'min'"
    yield from (f"metric '{name}' is declared {n} times" for name, n in Counter(names).items() if n > 1)


def _sequence_problems(subject: Subject) -> Iterator[str]:
    for what in ("uses", "scoring", "packages"):
        value = getattr(subject, what)
        if isinstance(value, str):
            yield f"{what}={shown(value)} is one text; write {what}=[{shown(value)}]"


def _config_problems(kind: type[Config]) -> Iterator[str]:
    missing = list(_without_default(kind, ""))
    yield from (f"setting '{name}' has no default; give it one" for name in missing)
    taken = [name for name in kind.model_fields if name != SEED and hasattr(Config, name)]
    for name in taken:
        yield f"a setting cannot be called '{name}', which every configuration has already; rename it"
    if missing or taken:
        return
    try:
        default = kind()
        default.override({})
    except ConfigError as error:
        yield from (f"a default is not allowed: {problem}" for problem in error.problems)
        return
    except Exception as error:
        yield f"the configuration cannot be made: {type(error).__name__}: {error}"
        return
    for name, value in default.flat().items():
        if not (value is None or isinstance(value, (str, bool, int, float))):
            yield f"setting '{name}' is {shown(value)}; settings are numbers, text, yes or no, or nothing"


def _without_default(kind: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        if field.is_required():
            yield f"{prefix}{name}"
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _without_default(field.annotation, f"{prefix}{name}.")


def _factor_problems(subject: Subject) -> Iterator[str]:
    problems = list(factor_problems(subject.factors, subject.default.help))
    yield from problems
    if problems:
        return
    counts = Counter(factor.name for factor in subject.factors)
    yield from (f"factor '{name}' is there {n} times" for name, n in counts.items() if n > 1)
    for factor in subject.factors:
        for level in factor.levels:
            try:
                subject.default.override({factor.field: level})
            except ConfigError as error:
                yield from (f"factor '{factor.name}': {problem}" for problem in error.problems)


def _folds_problems(subject: Subject) -> Iterator[str]:
    if subject.folds is None:
        return
    if isinstance(subject.folds, str) or len(subject.folds) != 2:
        yield f'folds={shown(subject.folds)}: name two settings, such as folds=("folds", "fold")'
        return
    known = subject.default.help
    for name in subject.folds:
        if name not in known:
            yield f"folds: unknown setting '{brief(str(name))}'{suggest(str(name), known)}"
        elif subject.default.get(name) != 0:
            yield f"folds: setting '{name}' should be 0 by default, which is no folds"
        elif any(factor.field == name for factor in subject.factors):
            yield f"folds: setting '{name}' is what --folds sets, and cannot be a factor's"


def _profile_problems(subject: Subject) -> Iterator[str]:
    for name, changes in subject.profiles.items():
        if not isinstance(changes, Mapping):
            yield f"profile '{name}' is {shown(changes)}, not a dict of settings"
            continue
        try:
            subject.default.override(changes)
        except ConfigError as error:
            yield from (f"profile '{name}': {problem}" for problem in error.problems)
