"""With how many seeds a study's differences were looked at.

    <store>/studies/<study>/looks.json

Each look at more seeds is one more chance to take luck for an effect, so none is forgotten. A look at the
same seeds, or at fewer, is none. What cannot be written is not counted: reading a store must work wherever it
is.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

from pydantic import ConfigDict, Field

from ablate.ground.errors import StoreError
from ablate.ground.files import make_folder, read_json, sweep, write_json
from ablate.ground.records import Count, Record, Text, require
from ablate.record.store import Store

FILE = "looks.json"


class Looks(Record):
    """The numbers of seeds, rising, by the id of the condition."""

    model_config = ConfigDict(strict=True, extra="forbid")

    seeds: dict[Text, Annotated[list[Count], Field(min_length=1)]]


def read_looks(store: Store, study: str) -> dict[str, list[int]]:
    """Condition id -> at how many seeds its differences were shown, rising. A damaged record is none."""
    try:
        found: dict[str, list[int]] = require(Looks, read_json(store.study_folder(study) / FILE))["seeds"]
    except (OSError, ValueError):
        return {}
    return found


def note_look(store: Store, study: str, seeds: Mapping[str, int]) -> dict[str, list[int]]:
    """As ``read_looks``, with a look that is taken now: ``seeds`` is how many each condition shows."""
    before = read_looks(store, study)
    looks = _with_look(before, seeds)
    if looks == before:
        return looks
    folder = store.study_folder(study)
    with suppress(OSError, StoreError), store.planning():  # others may look at the same time
        looks = _with_look(read_looks(store, study), seeds)
        make_folder(folder)
        sweep(folder / FILE)
        write_json(folder / FILE, {"seeds": looks}, durable=True)
    return looks


def _with_look(looks: Mapping[str, list[int]], seeds: Mapping[str, int]) -> dict[str, list[int]]:
    grown = {condition: n for condition, n in seeds.items() if n > max(looks.get(condition, [0]))}
    return {**looks, **{condition: [*looks.get(condition, []), n] for condition, n in grown.items()}}
