"""Studies whose runs keep counts by item, with effects of seeds and of items that are known."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.design.claims import StudyDetails
from ablate.design.runs import Run
from ablate.record.store import Store
from ablate.subject.items import FILE, Items, Overall, Ratios
from tests.analysis.studies import system_run
from tests.fabricate import BASE, CARD, fabricate_run

CLASSES = ("car", "dishes", "bird_singing")
N_FRAMES = 500

# The skill of each condition: the logit of the share of frames that is found.
SKILLS = {"mtl": 0.3, "grl_s1": 0.1, "fake_scene": -0.6}


def make_items(hits: NDArray[np.float64], truth: NDArray[np.float64], kind: str = "recording") -> Items:
    """Items of which shares of the true frames are found, (n_items, n_classes), with 5 % false alarms.

    The scores are those of the built-in subject for events.
    """
    n_items, n_classes = truth.shape
    true = truth.round().astype(np.int64)
    found = (hits * true).round().astype(np.int64)
    false = (0.05 * (N_FRAMES - true)).round().astype(np.int64)
    ratios = Ratios(CLASSES[:n_classes], 2 * found, found + true + false, true)
    overall = {
        "event_micro_f": Overall("event_f", "micro"),
        "event_macro_f": Overall("event_f", "macro"),
    }
    names = tuple(f"audio/{place:03d}.wav" for place in range(n_items))
    return Items(names, {"event_f": ratios}, overall, kind)


def draw_items(
    rng: np.random.Generator, run: Run, truth: NDArray[np.float64], skills: Mapping[str, float]
) -> Items:
    """Items of a run: its skill, its seed's own and each item's own, which all runs of a condition share."""
    own = np.random.default_rng([len(run.name), *run.name.encode()]).standard_normal(truth.shape)
    logits = (
        skills[run.name] + 0.15 * rng.standard_normal() + 0.5 * own + 0.3 * rng.standard_normal(truth.shape)
    )
    return make_items(1 / (1 + np.exp(-logits)), truth)


def keep(store: Store, run: Run, items: Items | None) -> None:
    """A finished run with these counts by item and the scores that they make."""
    metrics = {} if items is None else {name: items.score(name) for name in items.metrics}
    folder = fabricate_run(store, run, metrics=metrics or {"event_micro_f": 0.5, "event_macro_f": 0.4})
    if items is not None:
        (folder.path / FILE).write_bytes(items.to_bytes())


def study_by_item(
    store: Store,
    seeds: int = 5,
    n_items: int = 40,
    *,
    study: str = "s",
    systems: Sequence[str] = tuple(SKILLS),
    details: StudyDetails | None = None,
    skills: Mapping[str, float] = SKILLS,
) -> None:
    """The same every time."""
    store.require_writable()
    rng = np.random.default_rng(0)
    present = rng.random((n_items, len(CLASSES))) < (0.9, 0.5, 0.3)
    truth = N_FRAMES * rng.beta(1, 2, (n_items, len(CLASSES))) * present
    runs = [system_run(name, seed) for seed in range(seeds) for name in systems]
    for run in runs:
        keep(store, run, draw_items(rng, run, truth, skills))
    given = details or StudyDetails(baseline="mtl")
    store.add_to_study(study, runs, f"ablate study {study}.toml", card=CARD, base=BASE, details=given)
