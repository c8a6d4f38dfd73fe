"""The classes that a study names, held against those that the data have before anything is trained.

A study names scenes and events in the metrics of its claims and published scores (``event_f/car``,
``scene_confusion/home+office``), and events among those it leaves out (``labels.without``). Names are slugs,
as in metrics: ``(object) impact`` is ``object_impact``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.ground.errors import ConfigError, brief
from ablate.ground.wording import enumerate_names, near_miss, suggest
from ablate.mtl.config import NO_CLASSES

Task = Literal["scene", "event"]

LEFT_OUT = "labels.without"  # the setting that names event classes

# The scores that exist whatever the data (with ``fan``, where they have that event), and the kinds that exist
# for each class of the data.
METRICS = (
    "scene_micro_f",
    "scene_macro_f",
    "event_micro_f",
    "event_macro_f",
    "event_micro_precision",
    "event_micro_recall",
    "event_micro_f_without_fan",
    "event_macro_f_without_fan",
)
CLASS_METRICS = (
    "scene_f",
    "scene_precision",
    "scene_recall",
    "scene_confusion",
    "event_f",
    "event_precision",
    "event_recall",
)
CONFUSION = "scene_confusion"


@dataclass(frozen=True)
class ClassNames:
    """Classes that a study names in one place; ``where`` is what a sentence about them begins with.

    ``left_out`` says that they are the event classes which a condition does without.
    """

    where: str
    task: Task
    names: tuple[str, ...]
    left_out: bool = False


def left_out(where: str, level: str) -> ClassNames:
    """The events that a level of ``labels.without`` names: ``car+fan``; ``none`` names none."""
    return ClassNames(where, "event", () if level == NO_CLASSES else tuple(level.split("+")), left_out=True)


def classes_of(where: str, metric: str) -> ClassNames:
    """The classes that a metric names: one, a confusion's two, ``fan`` in ``event_micro_f_without_fan``."""
    task: Task = "scene" if metric.startswith("scene_") else "event"
    kind, slash, of = metric.partition("/")
    if slash:
        return ClassNames(where, task, tuple(re.split("[/+]", of)) if kind == CONFUSION else (of,))
    excepted = metric.partition("_without_")[2]
    return ClassNames(where, task, (excepted,) if excepted else ())


def unknown_metric(name: str) -> str | None:
    """What may have been meant by the name of no metric, whatever the data; None for that of one."""
    kind, slash, of = name.partition("/")
    if kind == CONFUSION and of and len({*classes_of("", name).names} - {""}) != 2:
        return f"; name two scenes: {CONFUSION}/A/B for clips of A taken for B, {CONFUSION}/A+B for both ways"
    if name in METRICS or (kind in CLASS_METRICS and of):
        return None
    if slash:
        return suggest(kind, CLASS_METRICS).replace("'?", f"/{of}'?" if of else "/<class>'?")
    return suggest(name, [*METRICS, *(f"{each}/<class>" for each in CLASS_METRICS)])


def check_classes(
    named: Iterable[ClassNames],
    known: Mapping[Task, Sequence[str]],
    lacking: Mapping[Task, str] | None = None,
) -> None:
    """Raises ConfigError with a sentence for every name that the data do not have, then what they have.

    ``known``: the slugs of the data's scenes and events. ``lacking``: the tasks that they have nothing to
    learn for, and what they lack; metrics of these are not to be had.
    """
    named, lacking = list(named), lacking or {}
    problems: dict[str, Task] = {}
    for each in named:
        if each.task not in lacking:
            problems.update(dict.fromkeys(_problems(each, known), each.task))
    untrained = [
        f"{each.where}: {lacking[each.task]}, so that no {each.task}s are trained; leave it out, or take "
        "other data"
        for each in named
        if each.task in lacking and (each.names or not each.left_out)
    ]
    if problems or untrained:
        tasks = dict.fromkeys(problems.values())
        there = [_what_there_is(task, known[task]) for task in tasks]
        raise ConfigError([*dict.fromkeys(untrained), *problems, *there])


def _what_there_is(task: Task, classes: Sequence[str]) -> str:
    return f"the {task} classes of the data are {enumerate_names(classes)}; name these, or take other data"


def _problems(named: ClassNames, known: Mapping[Task, Sequence[str]]) -> Iterator[str]:
    ours = known[named.task]
    other: Task = "event" if named.task == "scene" else "scene"
    for name in named.names:
        if name not in ours:
            hint = (
                f"; '{name}' is of their {other} classes" if name in known[other] else near_miss(name, ours)
            )
            yield f"{named.where}: the data have no {named.task} class '{brief(name)}'{hint}"
    if named.left_out and named.names and set(ours) <= set(named.names):
        yield f"{named.where}: all {len(ours)} event classes are left out; keep at least one"
