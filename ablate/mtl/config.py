"""The one configuration of a run: everything that decides its result, and nothing else.

Where a run is trained, how often it saves a checkpoint or where its data lie on disk are not here: they
cannot change a number. The defaults are the paper's (Imoto et al. 2022, section 4.1, and the choices that
it leaves open); ``PROFILES`` names the changes that make a study fit a laptop.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ablate.subject.settings import Config, Section

Tasks = Literal["both", "scene", "event"]
GrlPosition = Literal["none", "S1", "S2", "E1", "E2"]
Shuffle = Literal["none", "scene", "event", "both"]
Precision = Literal["float32", "tf32", "bfloat16"]

# Adding zero turns -0.0 into 0.0, so that the two spellings of nothing are one condition.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(lambda value: value + 0.0)]

NO_CLASSES = "none"

# What the paper says of a setting where it says nothing, and where it has no such thing.
OPEN = "left open"
OURS = "-"


def _setting(default: Any, description: str, *, paper: str, **bounds: Any) -> Any:
    """A field; ``paper`` says where the paper has it, and its value there."""
    return Field(default, description=description, json_schema_extra={"paper": paper}, **bounds)


def class_names(text: str) -> str:
    """Class labels in their one spelling: ``fan, (object) impact`` -> ``fan+object_impact``.

    Labels are separated by ``+`` or ``,``; each becomes its slug, as in the names of metrics. No label
    is ``none``.
    """
    names = {re.sub(r"\W+", "_", label).strip("_") for label in re.split(r"[+,]", text)}
    return "+".join(sorted(names - {"", NO_CLASSES})) or NO_CLASSES


Classes = Annotated[str, Field(max_length=500), AfterValidator(class_names)]


class Grl(Section):
    """The gradient reversal layer (GRL), equations (4) and (5)."""

    position: GrlPosition = _setting(
        "none", "where the gradient is reversed: before (1) or deep in (2) a branch", paper="Figure 2"
    )
    strength: Weight = _setting(1.0, "lambda of equation (5); 0 stops the gradient", paper="equation (5); 1")


class Labels(Section):
    """Fake training labels, equations (6) and (7), and classes left out. Evaluation labels stay true."""

    shuffle: Shuffle = _setting(
        "none", "which training labels are randomly reordered", paper="equations (6) and (7)"
    )
    redraw: Literal["once", "every_epoch"] = _setting(
        "once", "when fake labels are drawn: once per run, or anew every epoch", paper=OPEN
    )
    without: Classes = _setting(
        NO_CLASSES,
        "event classes left out, such as fan or fan+car: the network has no output for them, "
        "and they are neither trained nor scored",
        paper=OURS,
    )


class Loss(Section):
    """L = alpha L_scene + beta L_event, equations (1) to (3)."""

    alpha: Weight = _setting(1e-4, "weight of the scene loss", paper="equation (3); 0.0001")
    beta: Weight = _setting(1.0, "weight of the event loss", paper="equation (3); 1")
    event_reduction: Literal["mean", "sum"] = _setting(
        "mean",
        "event loss over frames and classes of a clip: mean, or sum as in equation (2)",
        paper="equation (2); sum or mean is left open",
    )


class Model(Section):
    """The network of Table 1."""

    width: float = _setting(
        1.0,
        "multiplies Table 1's channels (128 and 256)",
        paper="Table 1; 1",
        gt=0,
        le=4,
        allow_inf_nan=False,
    )


class Optim(Section):
    """RAdam on shuffled batches; the last epoch's weights are scored."""

    lr: float = _setting(
        1e-3, "learning rate of RAdam", paper=f"of RAdam; {OPEN}", gt=0, le=1, allow_inf_nan=False
    )
    batch_size: int = _setting(32, "clips per training step", paper=OPEN, ge=1, le=1_000_000)
    epochs: int = _setting(100, "passes over the development clips", paper=OPEN, ge=1, le=1_000_000)


class Scoring(Section):
    """How the trained network is scored."""

    threshold: float = _setting(
        0.5, "an event is detected in a frame when its probability exceeds this", paper="0.5", gt=0, lt=1
    )
    median: float = _setting(
        0.0,
        "seconds of a median filter over the probabilities of a recording; 0: none",
        paper=OURS,
        ge=0,
        le=60,
        allow_inf_nan=False,
    )
    boxes: bool = _setting(
        False,
        "detect whole events by bounding boxes (cSEBBs), each with one probability, not frames",
        paper=OURS,
    )


class Validation(Section):
    """Recordings that are held out of the training, for whoever chooses among conditions by their scores."""

    share: float = _setting(
        0.0,
        "share of the development clips, by whole recordings, that is scored in place of the "
        "evaluation data and not trained on; 0: train on all of them",
        paper=OURS,
        ge=0,
        le=0.5,
    )
    folds: int = _setting(
        0,
        "folds of the development clips, by whole recordings; a run holds one of them out, as a "
        "share is held out; 0: none",
        paper=OURS,
        ge=0,
        le=1000,
    )
    fold: int = _setting(
        0, "which fold is held out: 1 to the number of folds; --folds sets it", paper=OURS, ge=0
    )

    @model_validator(mode="after")
    def _holds_out_in_one_way(self) -> "Validation":
        if self.folds and self.share:
            raise ValueError(
                f"validation.folds = {self.folds} and validation.share = {self.share:g} both hold clips out; "
                "set one of them to 0"
            )
        return self


class RunConfig(Config):
    """One training, fully resolved. Equal configurations (and equal data) give equal results on a CPU."""

    tasks: Tasks = _setting(
        "both", "which branches the network has", paper="Table 3: both (MTL), scene (CNN), event (CNN-BiGRU)"
    )
    grl: Grl = Grl()
    labels: Labels = Labels()
    loss: Loss = Loss()
    model: Model = Model()
    optim: Optim = Optim()
    scoring: Scoring = Scoring()
    validation: Validation = Validation()
    kernels: Literal["fast", "plain"] = _setting(
        "fast", "fast: equal layers reordered for speed; plain: torch's own", paper=OURS
    )
    precision: Precision = _setting(
        "float32",
        "arithmetic of training; tf32 is a GPU's; scores are always computed in float32",
        paper=OURS,
    )
    seed: int = _setting(
        0,
        "initial weights, batch order and fake labels",
        paper="10 runs each, with random initial values",
        ge=0,
        lt=2**32,
    )

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


# Overrides by dotted name. "paper" is what the paper says, so it overrides nothing.
PROFILES: dict[str, dict[str, Any]] = {
    # For 48 clips: small batches and a large rate, since RAdam warms up over hundreds of steps.
    "quick": {"model.width": 0.125, "optim.lr": 2e-2, "optim.batch_size": 4, "optim.epochs": 40},
    "paper": {},
}
