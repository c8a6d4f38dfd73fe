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

    position: GrlPosition = Field(
        "none", description="where the gradient is reversed: before (1) or deep in (2) a branch"
    )
    strength: Weight = Field(1.0, description="lambda of equation (5); 0 stops the gradient")


class Labels(Section):
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


class Loss(Section):
    """L = alpha L_scene + beta L_event, equations (1) to (3)."""

    alpha: Weight = Field(1e-4, description="weight of the scene loss")
    beta: Weight = Field(1.0, description="weight of the event loss")
    event_reduction: Literal["mean", "sum"] = Field(
        "mean", description="event loss over frames and classes of a clip: mean, or sum as in equation (2)"
    )


class Model(Section):
    """The network of Table 1."""

    width: float = Field(
        1.0, gt=0, le=4, allow_inf_nan=False, description="multiplies Table 1's channels (128 and 256)"
    )


class Optim(Section):
    """RAdam on shuffled batches; the last epoch's weights are scored."""

    lr: float = Field(1e-3, gt=0, le=1, allow_inf_nan=False, description="learning rate of RAdam")
    batch_size: int = Field(32, ge=1, le=1_000_000, description="clips per training step")
    epochs: int = Field(100, ge=1, le=1_000_000, description="passes over the development clips")


class Scoring(Section):
    """How the trained network is scored."""

    threshold: float = Field(
        0.5, gt=0, lt=1, description="an event is detected in a frame when its probability exceeds this"
    )
    median: float = Field(
        0.0,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="seconds of a median filter over the probabilities of a recording; 0: none",
    )
    boxes: bool = Field(
        False,
        description="detect whole events by bounding boxes (cSEBBs), each with one probability, not frames",
    )


class Validation(Section):
    """Recordings that are held out of the training, for whoever chooses among conditions by their scores."""

    share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of the development clips, by whole recordings, that is scored in place of the "
        "evaluation data and not trained on; 0: train on all of them",
    )
    folds: int = Field(
        0,
        ge=0,
        le=1000,
        description="folds of the development clips, by whole recordings; a run holds one of them out, as a "
        "share is held out; 0: none",
    )
    fold: int = Field(
        0, ge=0, description="which fold is held out: 1 to the number of folds; --folds sets it"
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

    tasks: Tasks = Field("both", description="which branches the network has")
    grl: Grl = Grl()
    labels: Labels = Labels()
    loss: Loss = Loss()
    model: Model = Model()
    optim: Optim = Optim()
    scoring: Scoring = Scoring()
    validation: Validation = Validation()
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


# Overrides by dotted name. "paper" is what the paper says, so it overrides nothing.
PROFILES: dict[str, dict[str, Any]] = {
    # For 48 clips: small batches and a large rate, since RAdam warms up over hundreds of steps.
    "quick": {"model.width": 0.125, "optim.lr": 2e-2, "optim.batch_size": 4, "optim.epochs": 40},
    "paper": {},
}
