"""Packs: runs that share a device at the same time.

Planning knows which runs can share one, and how many at most; how many of a pack then really train at once,
the worker finds out on the device.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from ablate.design.runs import Run
from ablate.subject.interface import Subject

MAX_SIZE = 32  # runs; more streams than that a GPU does not have


def plan_packs(
    runs: Sequence[Run], subject: Subject, *, devices: int = 1, max_size: int = MAX_SIZE
) -> list[list[Run]]:
    """Every run in one pack, of at most ``max_size`` runs that cost the same on the same data.

    The order of planning is kept within a pack, and packs come in the order of their first runs, so that a
    study fills up evenly. Where there are too few runs for a full pack on each of ``devices``, each gets its
    share. Call it again whenever a device is free: the first pack is what to start there.

    Runs of one pack may differ in whatever does not change what a step costs.
    """
    alike: dict[object, list[Run]] = {}
    for run in runs:
        alike.setdefault((run.dataset.digest, subject.cost(run.config)), []).append(run)
    share = max(1, min(max_size, ceil(len(runs) / devices)))
    packs = [pack for group in alike.values() for pack in _even(group, share)]
    place = {id(run): index for index, run in enumerate(runs)}
    return sorted(packs, key=lambda pack: place[id(pack[0])])


def _even(runs: Sequence[Run], size: int) -> list[list[Run]]:
    """Consecutive parts of at most ``size``, as few as possible, whose sizes differ by one at most.

    A remainder of one run would leave a device nearly idle for as long as a full pack takes.
    """
    n_parts = ceil(len(runs) / size)
    bounds = [part * len(runs) // n_parts for part in range(n_parts + 1)]
    return [list(runs[start:end]) for start, end in pairwise(bounds)]
