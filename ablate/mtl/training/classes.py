"""The event classes that a run trains and scores."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.mtl.config import RunConfig
from ablate.mtl.model.labels import kept_events

if TYPE_CHECKING:
    from ablate.mtl.data.prepared import Prepared, Split


def without_classes(data: "Prepared", config: RunConfig) -> "Prepared":
    """``data`` without the event classes that ``config.labels.without`` names, in both splits.

    Everything that counts classes follows: the network has no output for them, nothing is trained towards
    them and no score contains them. Clips and scenes stay. Raises DataError for an unknown class.
    """
    if not config.removed_events:
        return data
    kept = kept_events(data.events, config.removed_events)
    return replace(
        data,
        events=tuple(data.events[place] for place in kept),
        development=_select(data.development, kept),
        evaluation=_select(data.evaluation, kept),
    )


def _select(split: "Split", kept: list[int]) -> "Split":
    return replace(split, events=split.events[:, :, kept])
