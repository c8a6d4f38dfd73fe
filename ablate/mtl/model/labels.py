"""Labels with less information: fakes, equations (6) and (7), and classes left out.

A fake label keeps the statistics of the true one. Fakes are for training labels only. The draws are functions
of (seed, epoch) and of a clip's place in the data set, never of the order in which batches ask for them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.ground.errors import DataError
from ablate.ground.wording import suggest
from ablate.mtl.config import RunConfig
from ablate.mtl.metrics.scores import slugs
from ablate.mtl.model.seeding import generator
from ablate.subject.scores import slug


def fake_scenes(scenes: NDArray[np.int64], n_scenes: int, seed: int, epoch: int = 0) -> NDArray[np.int64]:
    """Equation (6): the elements of each clip's one-hot scene vector, randomly reordered.

    ``scenes``: (n_clips,). The one lands on any of the scenes with equal chance, also on the true one.
    """
    return generator(seed, "fake scenes", epoch).integers(0, n_scenes, size=scenes.shape, dtype=np.int64)


def fake_events(events: NDArray[np.uint8], seed: int, epoch: int = 0) -> NDArray[np.uint8]:
    """Equation (7): the elements of each frame's event vector, randomly reordered, each frame on its own.

    ``events``: (n_clips, frames, n_events). The number of active events in a frame stays.
    """
    return generator(seed, "fake events", epoch).permuted(events, axis=2)


def kept_events(events: Sequence[str], removed: Sequence[str]) -> list[int]:
    """The places of the event classes that stay; ``removed`` names the others by label or slug.

    Raises DataError for a name that the data do not have, or when no class would stay.
    """
    names = slugs(events)
    problems = [
        f"labels.without: the data have no event class '{name}'{suggest(name, names)}"
        for name in removed
        if slug(name) not in names
    ]
    gone = {slug(name) for name in removed}
    kept = [place for place, name in enumerate(names) if name not in gone]
    if not kept:
        problems.append(
            f"labels.without: all {len(names)} event classes would be left out; keep at least one"
        )
    if problems:
        raise DataError(problems)
    return kept


def training_labels(
    scenes: NDArray[np.int64], events: NDArray[np.uint8], n_scenes: int, config: RunConfig, epoch: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The labels to train on in this epoch (1, 2, ...): the true ones, or fakes where ``config`` says so."""
    draw = epoch if config.labels.redraw == "every_epoch" else 0
    if config.fakes_scene:
        scenes = fake_scenes(scenes, n_scenes, config.seed, draw)
    if config.fakes_event:
        events = fake_events(events, config.seed, draw)
    return scenes, events
