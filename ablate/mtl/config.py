"""The one configuration of a run: everything that decides its result, and nothing else.

Where a run is trained, how often it saves a checkpoint or where its data lie on disk are not here: they
cannot change a number. The defaults are the paper's (Imoto et al. 2022, section 4.1, and the choices that
it leaves open); ``PROFILES`` names the changes that make a study fit a laptop.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from ablate.ground.errors import ConfigError, brief, shown

Tasks = Literal["both", "scene", "event"]
GrlPosition = Literal["none", "S1", "S2", "E1", "E2"]
Shuffle = Literal["none", "scene", "event", "both"]
Precision = Literal["float32", "tf32", "bfloat16"]

# Adding zero turns -0.0 into 0.0, so that the two spellings of nothing are one condition.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]

NO_CLASSES = "none"

# What is suggested for an unknown name: no more than fit a message, and nothing for what is no name.
MOST_SUGGESTED = 40
LONGEST_NAME = 200


def class_names(text: str) -> str:
    """Class labels in their one spelling: ``fan, (object) impact`` -> ``fan+object_impact``.

    Labels are separated by ``+`` or ``,``; each becomes its slug, as in the names of metrics. No label
    is ``none``.
    """
    names = {re.sub(r"\W+", "_", label).strip("_") for label in re.split(r"[+,]", text)}
    return "+".join(sorted(names - {"", NO_CLASSES})) or NO_CLASSES


Classes = Annotated[str, Field(max_length=500), AfterValidator(class_names)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grl(_Section):
    """The gradient reversal layer (GRL), equations (4) and (5)."""

    position: GrlPosition = Field(
        "none", description="where the gradient is reversed: before (1) or deep in (2) a branch"
    )
    strength: Weight = Field(1.0, description="lambda of equation (5); 0 stops the gradient")


class Labels(_Section):
    """Fake training labels, equations (6) and (7), and classes left out. Evaluation labels stay true."""

    shuffle: Shuffle = Field("none", description="which training labels are randomly reordered")
    redraw: Literal["once", "every_epoch"] = Field(
        "once", description="when fake labels are drawn: once per run, or anew every epoch"
    )
    without: Classes = Field(
        NO_CLASSES,
        description="event classes left out, such as fan or fan+car: the network has no output for them, "
        "and they are neither trained nor scored",
    )


class Loss(_Section):
    """L = alpha L_scene + beta L_event, equations (1) to (3)."""

    alpha: Weight = Field(1e-4, description="weight of the scene loss")
    beta: Weight = Field(1.0, description="weight of the event loss")
    event_reduction: Literal["mean", "sum"] = Field(
        "mean", description="event loss over frames and classes of a clip: mean, or sum as in equation (2)"
    )


class Model(_Section):
    """The network of Table 1."""

    width: float = Field(
        1.0, gt=0, le=4, allow_inf_nan=False, description="multiplies Table 1's channels (128 and 256)"
    )


class Optim(_Section):
    """RAdam on shuffled batches; the last epoch's weights are scored."""

    lr: float = Field(1e-3, gt=0, le=1, allow_inf_nan=False, description="learning rate of RAdam")
    batch_size: int = Field(32, ge=1, le=1_000_000, description="clips per training step")
    epochs: int = Field(100, ge=1, le=1_000_000, description="passes over the development clips")


class Scoring(_Section):
    """How the trained network is scored."""

    threshold: float = Field(
        0.5, gt=0, lt=1, description="an event is detected in a frame when its probability exceeds this"
    )


class RunConfig(_Section):
    """One training, fully resolved. Equal configurations (and equal data) give equal results on a CPU."""

    tasks: Tasks = Field("both", description="which branches the network has")
    grl: Grl = Grl()
    labels: Labels = Labels()
    loss: Loss = Loss()
    model: Model = Model()
    optim: Optim = Optim()
    scoring: Scoring = Scoring()
    kernels: Literal["fast", "plain"] = Field(
        "fast", description="fast: equal layers reordered for speed; plain: torch's own"
    )
    precision: Precision = Field(
        "float32",
        description="arithmetic of training; tf32 is a GPU's; scores are always computed in float32",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="initial weights, batch order and fake labels")

    @property
    def has_scene(self) -> bool:
        return self.tasks != "event"

    @property
    def has_event(self) -> bool:
        return self.tasks != "scene"

    @property
    def removed_events(self) -> tuple[str, ...]:
        """The slugs of the event classes that are left out."""
        names = self.labels.without
        return () if names == NO_CLASSES else tuple(names.split("+"))

    @property
    def fakes_scene(self) -> bool:
        return self.labels.shuffle in ("scene", "both")

    @property
    def fakes_event(self) -> bool:
        return self.labels.shuffle in ("event", "both")

    def get(self, name: str) -> Any:
        """The value at a dotted name, such as ``optim.lr``."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def flat(self) -> dict[str, Any]:
        """Every scalar by its dotted name, in the order of definition."""
        return {name: self.get(name) for name in FIELDS}


def _fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


FIELDS: dict[str, FieldInfo] = dict(_fields(RunConfig))

# Overrides by dotted name. "paper" is what the paper says, so it overrides nothing.
PROFILES: dict[str, dict[str, Any]] = {
    # For 48 clips: small batches and a large rate, since RAdam warms up over hundreds of steps.
    "quick": {"model.width": 0.125, "optim.lr": 2e-2, "optim.batch_size": 4, "optim.epochs": 40},
    "paper": {},
}


def profile(name: str) -> RunConfig:
    """The base configuration that a profile names."""
    if name not in PROFILES:
        raise ConfigError(f"unknown profile '{name}'{suggest(name, PROFILES)}")
    return override(RunConfig(), PROFILES[name])


def override(base: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """``base`` with the fields at the given dotted names replaced; strings are parsed by the field's type.

    Raises ConfigError that lists every unknown name and every bad value.
    """
    problems = [
        f"unknown setting '{brief(name)}'{suggest(name, FIELDS)}" for name in values if name not in FIELDS
    ]
    tree = base.model_dump()
    for name, value in values.items():
        if name in FIELDS:
            *sections, leaf = name.split(".")
            node = tree
            for section in sections:
                node = node[section]
            node[leaf] = value
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        problems += _sentences(error)
    if problems:
        raise ConfigError(problems)
    return config


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest valid name, or all of them when none is near."""
    known = list(known)
    return near_miss(name, known) or (f"; known: {enumerate_names(known)}" if known else "")


def near_miss(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'fan'?``, or nothing when no valid name is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5) if len(name) <= LONGEST_NAME else []
    return f"; did you mean '{brief(near[0])}'?" if near else ""


def enumerate_names(known: Sequence[str]) -> str:
    """Valid names in a row, no more than fit a message."""
    more = f" and {len(known) - MOST_SUGGESTED} more" if len(known) > MOST_SUGGESTED else ""
    return f"{', '.join(map(brief, known[:MOST_SUGGESTED]))}{more}"


def _sentences(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in item['loc'])} = {shown(item['input'])}: {_lower(item['msg'])}"
        for item in error.errors()
    ]


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
