"""The ``[subject]`` of a study file: whose runs the study is made of.

[subject]
script  = "python train.py --lr={lr} --seed={seed}"  # any program; the study's factors are its settings
metrics = ["accuracy:max"]           # what is looked for in its output, as with --metric
uses    = ["model.py", "data/"]      # files that its results depend on beside its own
shell   = false                      # whether the command is a shell's
name    = "mine"                     # what the subject is called; by default as its file
gpus    = 1                          # devices a run

module  = "my_subject.py"            # or a Python module with a subject

Paths are relative to the study file, and the program runs in its folder. Without the section the study is of
the built-in subject.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.design.studypage import Page, flat, spelled
from ablate.design.tomllines import Keys
from ablate.subject.interface import Subject
from ablate.subject.registry import built_in

SUBJECT_KEYS = ("script", "module", "metrics", "uses", "shell", "name", "gpus")
FOR_SCRIPTS = ("metrics", "uses", "shell", "gpus")


def subject_of(page: Page) -> Subject:
    """The subject of a study file. Raises ConfigError, since nothing else can be checked without it."""
    at = ("subject",)
    content = page.table(at)
    if not content:
        return built_in()
    if ("script" in content) == ("module" in content):
        page.problem(at, 'name what is trained: either script = "..." or module = "..."')
    elif "module" in content:
        for key in FOR_SCRIPTS:
            if key in content:
                page.problem((*at, key), f"{key} is for scripts; a module says so itself")
    page.raise_problems()
    with page.blaming(at):
        return _module(page) if "module" in content else _script(page)
    page.raise_problems()
    raise AssertionError("a problem was to be raised")


def _module(page: Page) -> Subject:
    from ablate.subject.module import open_module

    path = page.document.path.parent / page.text(("subject", "module"))
    return open_module({"path": str(path), "name": page.text(("subject", "name")) or None})


def _script(page: Page) -> Subject:
    from ablate.subject.script import script_subject

    folder = page.document.path.parent.absolute()
    return script_subject(
        page.text(("subject", "script")),
        name=page.text(("subject", "name")) or None,
        metrics=page.texts(("subject", "metrics")),
        uses=[folder / Path(name) for name in page.texts(("subject", "uses"))],
        levels=_levels(page),
        settings={name: spelled(value) for name, _, value in flat(page.table(("set",)), ("set",))},
        shell=bool(page.value(("subject", "shell"), False)),
        folder=folder,
        gpus_per_run=int(page.typed(("subject", "gpus"), int, "a number such as 2", 1)),
    )


def _levels(page: Page) -> dict[str, list[str]]:
    """Every factor that the file varies, and its levels as text."""
    found: dict[str, list[str]] = {}
    for name, value in _varied(page):
        items = value if isinstance(value, list) else [value]
        found.setdefault(name, []).extend(
            spelled(item) for item in items if not isinstance(item, dict | list)
        )
    return {name: list(dict.fromkeys(levels)) for name, levels in found.items()}


def _varied(page: Page) -> Iterator[tuple[str, Any]]:
    also = page.value(("also",))
    more: list[Keys] = [
        ("also", place, "factors") for place in range(len(also) if isinstance(also, list) else 0)
    ]
    for table in [("factors",), *more]:
        for name, _, value in flat(page.table(table), table):
            yield name, value
    conditions: Mapping[str, Any] = page.table(("conditions",))
    for condition in conditions:
        at = ("conditions", condition)
        for name, _, value in flat(page.table(at), at):
            yield name, value
