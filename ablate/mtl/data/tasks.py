"""Which tasks a data set has something to learn for: telling scenes apart, detecting events, or both."""

from collections.abc import Iterator, Mapping

from ablate.mtl.data.vocabulary import Kind, Vocabulary
from ablate.subject.factors import Inert

FEWEST_SCENES = 2  # one scene can be told from nothing
OTHER: Mapping[Kind, Kind] = {"scene": "event", "event": "scene"}


def lacking(vocabulary: Vocabulary) -> dict[Kind, str]:
    """The tasks that the data have nothing to learn for, each with what they lack."""
    return dict(_lacking(vocabulary))


def _lacking(vocabulary: Vocabulary) -> Iterator[tuple[Kind, str]]:
    if not vocabulary.scenes:
        yield "scene", "the data have no scenes"
    elif len(vocabulary.scenes) < FEWEST_SCENES:
        yield "scene", f"the data have but one scene, '{vocabulary.scenes[0]}'"
    if not vocabulary.events:
        yield "event", "the data have no events"


def nothing_to_learn(vocabulary: Vocabulary) -> str:
    """The sentence on data that no task can be learnt from; empty where there is one."""
    lacks = lacking(vocabulary)
    if len(lacks) < len(OTHER):
        return ""
    return f"{lacks['scene']} and no events, so that there is nothing to learn; annotate events or scenes"


def settled(vocabulary: Vocabulary) -> dict[str, Inert]:
    """The setting ``tasks``, where the data leave one task alone."""
    alone = next(iter(_lacking(vocabulary)), None)
    return {} if alone is None else {"tasks": Inert(OTHER[alone[0]], alone[1])}
