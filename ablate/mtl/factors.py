"""The factors of the paper's study, and when each of them is inert.

Any other field of the configuration can be varied by its dotted name without an entry.
"""

from collections.abc import Callable
from typing import Any

from ablate.mtl.config import NO_CLASSES, RunConfig
from ablate.subject.factors import Factor, Inert
from ablate.subject.settings import fields_of

NO_EVENTS = "no events are detected"


def _shuffle_inert(config: RunConfig) -> Inert | None:
    scene = config.fakes_scene and config.has_scene and config.loss.alpha > 0
    event = config.fakes_event and config.has_event and config.loss.beta > 0
    effective = {(True, True): "both", (True, False): "scene", (False, True): "event", (False, False): "none"}
    instead = effective[scene, event]
    if instead == config.labels.shuffle:
        return None
    return Inert(instead, "a task that is not trained has no labels to shuffle")


def _grl_pos_inert(config: RunConfig) -> Inert | None:
    position = config.grl.position
    if position == "none":
        return None
    trained, weight = (
        (config.has_scene, config.loss.alpha)
        if position.startswith("S")
        else (config.has_event, config.loss.beta)
    )
    if trained and weight > 0:
        return None
    return Inert("none", f"no gradient flows in the branch of {position} when its task is not trained")


def _lambda_inert(config: RunConfig) -> Inert | None:
    if config.grl.position == "none" and config.grl.strength != RunConfig().grl.strength:
        return Inert(RunConfig().grl.strength, "lambda scales the reversed gradient, and none is reversed")
    return None


def _alpha_inert(config: RunConfig) -> Inert | None:
    if not config.has_scene and config.loss.alpha != RunConfig().loss.alpha:
        return Inert(RunConfig().loss.alpha, "alpha weighs the scene loss, and only events are trained")
    return None


def _beta_inert(config: RunConfig) -> Inert | None:
    if not config.has_event and config.loss.beta != RunConfig().loss.beta:
        return Inert(RunConfig().loss.beta, "beta weighs the event loss, and only scenes are trained")
    return None


def _without_inert(config: RunConfig) -> Inert | None:
    if not config.has_event and config.removed_events:
        return Inert(NO_CLASSES, "no events are trained or scored")
    return None


def _redraw_inert(config: RunConfig) -> Inert | None:
    if config.labels.shuffle == "none" and config.labels.redraw != "once":
        return Inert("once", "no labels are shuffled")
    return None


def _reduction_inert(config: RunConfig) -> Inert | None:
    if config.loss.event_reduction != "mean" and not (config.has_event and config.loss.beta > 0):
        return Inert("mean", "the event loss is not trained")
    return None


def _detection_inert(name: str) -> Callable[[RunConfig], Inert | None]:
    """The rule of a setting that only touches how events are detected."""
    default = getattr(RunConfig().scoring, name)

    def inert(config: RunConfig) -> Inert | None:
        if not config.has_event and getattr(config.scoring, name) != default:
            return Inert(default, NO_EVENTS)
        return None

    return inert


# In the order in which inertness is resolved: what a later factor's rule asks, an earlier one has settled.
FACTORS: tuple[Factor, ...] = (
    Factor(
        "tasks",
        "tasks",
        ("both", "scene", "event"),
        "which branches the network has: both (multitask), or one",
    ),
    Factor(
        "alpha",
        "loss.alpha",
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        "weight of the scene loss (>= 0)",
        _alpha_inert,
        "only events are trained",
    ),
    Factor(
        "beta",
        "loss.beta",
        (1.0, 0.1, 0.01),
        "weight of the event loss (>= 0)",
        _beta_inert,
        "only scenes are trained",
    ),
    Factor(
        "shuffle",
        "labels.shuffle",
        ("none", "scene", "event"),
        "which training labels are fake: none, scene, event or both",
        _shuffle_inert,
        "the shuffled task is not trained",
    ),
    Factor(
        "without",
        "labels.without",
        (NO_CLASSES, "fan"),
        "event classes left out of training and scoring; fan alone tells an office",
        _without_inert,
        "only scenes are trained",
    ),
    Factor(
        "grl_pos",
        "grl.position",
        ("none", "S1", "S2", "E1", "E2"),
        "where the gradient is reversed: at the start (1) or deep in (2) the scene or event branch",
        _grl_pos_inert,
        "the task of its branch is not trained",
    ),
    Factor(
        "lambda",
        "grl.strength",
        (0.1, 1.0, 10.0),
        "strength of the reversal (>= 0; 0 stops the gradient)",
        _lambda_inert,
        "grl_pos = none",
    ),
    Factor(
        "median",
        "scoring.median",
        (0.0, 0.5),
        "seconds of a median filter before events are detected (0: none)",
        _detection_inert("median"),
        NO_EVENTS,
    ),
    Factor(
        "boxes",
        "scoring.boxes",
        (False, True),
        "whether whole events are detected, by bounding boxes, or frames",
        _detection_inert("boxes"),
        NO_EVENTS,
    ),
    Factor("seed", "seed", (0, 1, 2), "the replicate: initial weights, batch order, fake labels"),
)


def _rule(field: str, inert: Callable[[Any], Inert | None], when: str) -> Factor:
    return Factor(field, field, (), fields_of(RunConfig)[field].description or "", inert, when)


# Fields that are no factor of the table but can be inert all the same.
RULES: tuple[Factor, ...] = (
    _rule("labels.redraw", _redraw_inert, "no labels are shuffled"),
    _rule("loss.event_reduction", _reduction_inert, "the event loss is not trained"),
    _rule("scoring.threshold", _detection_inert("threshold"), NO_EVENTS),
)
