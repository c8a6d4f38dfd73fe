"""Whole studies as run folders, with scores like the paper's: the nine systems, and a study of lambda."""

from collections.abc import Sequence
from typing import Any

from ablate.design.claims import Claim, StudyDetails
from ablate.design.conditions import show
from ablate.design.runs import Run
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import BASE, CARD, fabricate_run, make_run

FACTORS = {"tasks": "both", "alpha": 1e-4, "beta": 1.0, "shuffle": "none", "grl_pos": "none", "lambda": 1.0}
FIELDS = {"tasks": "tasks", "shuffle": "labels.shuffle", "grl_pos": "grl.position", "lambda": "grl.strength"}

# Table 3: the levels that differ from the defaults, scene micro F, event micro F.
SYSTEMS: dict[str, tuple[dict[str, Any], float, float]] = {
    "single_asc": ({"tasks": "scene"}, 0.8500, 0.0),
    "single_sed": ({"tasks": "event"}, 0.0, 0.4254),
    "mtl": ({}, 0.8857, 0.4463),
    "grl_s1": ({"grl_pos": "S1"}, 0.7789, 0.4008),
    "grl_s2": ({"grl_pos": "S2"}, 0.3334, 0.3959),
    "fake_scene": ({"shuffle": "scene"}, 0.2445, 0.4157),
    "grl_e1": ({"grl_pos": "E1"}, 0.6090, 0.1307),
    "grl_e2": ({"grl_pos": "E2"}, 0.7523, 0.0002),
    "fake_event": ({"shuffle": "event"}, 0.8422, 0.0),
}

BLIND_TO_SCENES = ("grl_s1", "grl_s2", "fake_scene")
BLIND_TO_EVENTS = ("grl_e1", "grl_e2", "fake_event")
DETAILS = StudyDetails(
    question="Do scene labels help event detection, and do event labels help scene classification?",
    baseline="mtl",
    claims=(
        Claim("C1", "Scene information helps SED", "event_micro_f", ("mtl",), BLIND_TO_SCENES),
        Claim("C2", "Event information helps ASC", "scene_micro_f", ("mtl",), BLIND_TO_EVENTS),
        Claim("C5a", "MTL beats the single task on scenes", "scene_micro_f", ("mtl",), ("single_asc",)),
    ),
    published={
        name: {
            metric: value
            for metric, value in (("scene_micro_f", scene), ("event_micro_f", event))
            if not (name == "single_asc" and metric.startswith("event"))
            and not (name == "single_sed" and metric.startswith("scene"))
        }
        for name, (_, scene, event) in SYSTEMS.items()
    },
    source="Imoto et al. 2022, Table 3",
)  # fmt: skip


def system_run(name: str, seed: int) -> Run:
    levels = SYSTEMS[name][0]
    settings = {FIELDS[factor]: level for factor, level in levels.items()}
    return make_run(name, seed, settings, {**FACTORS, **levels})


def paper_study(
    store: Store,
    seeds: int = 5,
    *,
    study: str = "paper",
    systems: Sequence[str] = tuple(SYSTEMS),
    details: StudyDetails = DETAILS,
    unfinished: dict[tuple[str, int], State] | None = None,
    epochs: int = 12,
) -> list[Run]:
    """The nine systems. ``unfinished`` says which (system, seed) are in another state."""
    store.require_writable()
    runs = []
    for seed in range(seeds):
        for name in systems:
            run = system_run(name, seed)
            state = (unfinished or {}).get((name, seed), State.FINISHED)
            cause = "CUDA out of memory" if state is State.FAILED else None
            _, scene, event = SYSTEMS[name]
            fabricate_run(
                store, run, state=state, cause=cause, scene_skill=scene, event_skill=event, epochs=epochs
            )
            runs.append(run)
    store.add_to_study(study, runs, f"ablate study {study}.toml", card=CARD, base=BASE, details=details)
    return runs


def lambda_study(store: Store, seeds: int = 3, *, study: str = "lambda") -> list[Run]:
    """S1 and E1 over lambda with 0 as the control, and the baseline; no claims, no published scores."""
    store.require_writable()
    runs = []
    for seed in range(seeds):
        for position in ("none", "S1", "E1"):
            for strength in (1.0,) if position == "none" else (0.0, 0.01, 0.1, 1.0, 10.0):
                levels = {"grl_pos": position, "lambda": strength}
                settings = {FIELDS[factor]: level for factor, level in levels.items()}
                differing = {} if position == "none" else levels
                name = (
                    " ".join(f"{factor}={show(level)}" for factor, level in differing.items()) or "baseline"
                )
                run = make_run(name, seed, settings, {**FACTORS, **levels})
                harm = 0.0 if position == "none" else strength / (1 + strength)
                scene = 0.88 - harm * (0.55 if position == "S1" else 0.25)
                event = 0.44 - harm * (0.05 if position == "S1" else 0.40)
                fabricate_run(store, run, scene_skill=scene, event_skill=event)
                runs.append(run)
    store.add_to_study(study, runs, "ablate grid --factors grl_pos,lambda", card=CARD, base=BASE)
    return runs
