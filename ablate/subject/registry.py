"""Which subjects there are: the built-in one, and whatever a spec describes."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ablate.ground.errors import AblateError, ConfigError

if TYPE_CHECKING:
    from ablate.subject.interface import Subject

# The one line of the harness that names a subject.
BUILT_IN = "ablate.mtl"


def built_in() -> "Subject":
    """The subject of a command that names none."""
    subject: Subject = import_module(BUILT_IN).subject
    return subject


def built_in_commands() -> Mapping[str, tuple[str, str]]:
    """The built-in subject's own commands, by name: what each does in a line, and its ``module:function``."""
    commands: Mapping[str, tuple[str, str]] = import_module(BUILT_IN).commands
    return commands


def open_subject(spec: Mapping[str, Any]) -> "Subject":
    """The subject that ``Subject.spec`` describes, as a worker or a later command opens it again.

    Raises ConfigError when its code is gone or does not run.
    """
    kind = spec.get("kind", "built-in")
    if kind == "built-in":
        return built_in()
    if kind == "script":
        from ablate.subject.script import ScriptSubject

        return ScriptSubject.from_spec(spec)
    if kind == "module":
        from ablate.subject.module import open_module

        return open_module(spec)
    if kind == "results":
        from ablate.subject.results import ResultsSubject

        return ResultsSubject.from_spec(spec)
    if kind == "elsewhere":
        raise ConfigError("what a bundle was trained with is not opened; import the bundle first")
    raise ConfigError(f"a subject of kind '{kind}' is not known to this version")


def open_as_it_is(spec: Mapping[str, Any]) -> "Subject":
    """As ``open_subject``, with the code that is there now, whichever a study was planned with."""
    return open_subject({**spec, "digest": None} if spec.get("kind") == "module" else spec)


def open_if_there(spec: Mapping[str, Any]) -> "Subject | None":
    """As ``open_subject``; None where its code is gone, for who can do without."""
    try:
        return open_subject(spec)
    except AblateError:
        return None
