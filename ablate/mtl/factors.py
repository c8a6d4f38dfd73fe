"""The factors that a study can vary, and when each of them is inert.

A new factor is one entry of ``FACTORS``, or of a table of the same name in a user's own module (see
``load_plugin``). Any other field of the configuration can be varied by its dotted name without an entry.
"""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.ground.errors import ConfigError, brief
from ablate.mtl.config import FIELDS, NO_CLASSES, RunConfig, override, suggest


@dataclass(frozen=True)
class Inert:
    """A level cannot change the result under the other levels; ``instead`` is the level that says so."""

    instead: Any
    why: str


def never_inert(config: RunConfig) -> Inert | None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Factor:
    """One thing that a study varies.

    ``field`` is the dotted name of the configuration field it sets, whose type parses and bounds its
    levels. ``levels`` are those tried when the user names none. ``inert`` says whether the level that a
    configuration has for this factor can matter to its result.
    """

    name: str
    field: str
    levels: tuple[Any, ...]
    help: str
    inert: Callable[[RunConfig], Inert | None] = never_inert
    inert_when: str = ""

    def parse(self, text: str) -> Any:
        """A level from what the user typed. Raises ConfigError."""
        return override(RunConfig(), {self.field: text.strip()}).get(self.field)

    def inert_for(self, config: RunConfig) -> Inert | None:
        """``inert(config)``, with the errors of a user's own rule told as theirs."""
        try:
            return self.inert(config)
        except Exception as error:
            raise ConfigError(
                f"factor '{self.name}': its rule for when it is inert raises {type(error).__name__}: {error}"
            ) from error

    def level(self, config: RunConfig) -> Any:
        return config.get(self.field)


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


def _threshold_inert(config: RunConfig) -> Inert | None:
    if not config.has_event and config.scoring.threshold != RunConfig().scoring.threshold:
        return Inert(RunConfig().scoring.threshold, "no events are detected")
    return None


# In the order in which inertness is resolved: what a later factor's rule asks, an earlier one has settled.
FACTORS: dict[str, Factor] = {
    factor.name: factor
    for factor in (
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
        Factor("seed", "seed", (0, 1, 2), "the replicate: initial weights, batch order, fake labels"),
    )
}


def _dotted(field: str, inert: Callable[[RunConfig], Inert | None] = never_inert, when: str = "") -> Factor:
    return Factor(field, field, (), FIELDS[field].description or "", inert, when)


# Fields that are no factor of the table but can be inert all the same.
DOTTED: tuple[Factor, ...] = (
    _dotted("labels.redraw", _redraw_inert, "no labels are shuffled"),
    _dotted("loss.event_reduction", _reduction_inert, "the event loss is not trained"),
    _dotted("scoring.threshold", _threshold_inert, "no events are detected"),
)

# Names by which runs are asked for, which a factor of that name would hide.
RESERVED = {
    "run_id",
    "name",
    "condition",
    "state",
    "cause",
    "dataset",
    "dataset_digest",
    "log",
    "mlflow_run_id",
}


def dotted_factor(field: str) -> Factor:
    """The factor for a configuration field that has no entry of its own."""
    return next((factor for factor in DOTTED if factor.field == field), None) or _dotted(field)


def find_factor(name: str, table: Mapping[str, Factor], what: str = "factor") -> Factor:
    """The factor of a name, or of a dotted field. Raises ConfigError with the nearest valid name."""
    if name in table:
        return table[name]
    if name in FIELDS:
        for factor in table.values():
            if factor.field == name:
                return factor
        return dotted_factor(name)
    raise ConfigError(f"unknown {what} '{brief(name)}'{suggest(name, dict.fromkeys([*table, *FIELDS]))}")


def settings(pairs: Mapping[str, Any], table: Mapping[str, Factor]) -> dict[str, Any]:
    """Overrides by dotted name from overrides by factor or dotted name.

    Raises ConfigError that lists every unknown name.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, value in pairs.items():
        try:
            values[find_factor(name, table, "setting").field] = value
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return values


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file
        return False


def load_plugin(path: Path) -> dict[str, Factor]:
    """The factors of a user's own module: its table ``FACTORS``, name -> Factor, or an iterable of Factors.

    Raises ConfigError when the module cannot be run, has no such table, or names an unknown field.
    """
    spec = importlib.util.spec_from_file_location(f"ablate_plugin_{path.stem}", path)
    if spec is None or spec.loader is None or not _is_file(path):
        raise ConfigError(f"plugin {brief(str(path))}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"plugin {path}: {type(error).__name__}: {error}") from error
    found = getattr(module, "FACTORS", None)
    if not isinstance(found, Iterable):
        raise ConfigError(f"plugin {path}: define FACTORS, a dict of name -> ablate.mtl.factors.Factor")
    factors = list(found.values() if isinstance(found, Mapping) else found)
    problems = [
        f"plugin {path}: {factor!r} is not a Factor whose field is known; known: {', '.join(FIELDS)}"
        for factor in factors
        if not isinstance(factor, Factor) or factor.field not in FIELDS
    ]
    problems += [
        f"plugin {path}: a factor cannot be called '{factor.name}', which means something else; rename it"
        for factor in factors
        if isinstance(factor, Factor)
        and (factor.name in RESERVED or (factor.name == "seed") != (factor.field == "seed"))
    ]
    if problems:
        raise ConfigError(problems)
    return {factor.name: factor for factor in factors}
