"""The commands that planned a study, such that they can be typed here."""

import re
import shlex
from collections.abc import Sequence

from ablate.ground.failures import FailureKind
from ablate.record.store import Store, default_root


def here(store: Store, command: str) -> str:
    """A command such that it works on this store, which it may not have been typed for, or not here."""
    words = _words(command)
    if words is None:
        return command
    kept = _without(words, "--store")
    return shlex.join(kept if store.root == default_root() else [*kept, "--store", str(store.root)])


def retrying(store: Store, study: str, kinds: Sequence[FailureKind]) -> list[str]:
    """What to type so that the study's runs that failed of ``kinds`` are trained again.

    These are the commands that planned it, as each may have planned some of the runs; none where it was not
    planned to be trained, but imported, and none on a bundle, where nothing is trained.
    """
    if store.bundle is not None or store.study_card(study).spec.get("kind") == "results":
        return []
    asked = ["--retry", *(word for kind in kinds for word in ("--cause", str(kind)))]
    commands = []
    for command in store.study_commands(study):
        words = _words(here(store, command))
        if words is not None and words[1:2] != ["import"]:
            kept = _without([word for word in words if word != "--retry"], "--cause")
            commands.append(shlex.join([*kept, *asked]))
    return list(dict.fromkeys(commands))


def _words(command: str) -> list[str] | None:
    """None for a command of a record that somebody has edited."""
    try:
        return shlex.split(command)
    except ValueError:
        return None


def _without(words: Sequence[str], option: str) -> list[str]:
    """The words without an option and its values, however it is written."""
    kept: list[str] = []
    is_value = False
    for word in words:
        if not is_value and word != option and not re.match(rf"{option}=", word):
            kept.append(word)
        is_value = word == option and not is_value
    return kept
