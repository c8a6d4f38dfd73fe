"""The interface between the harness and what it trains. Read this page to write a subject.

A subject of your own is one file, and most of it is ordinary code:

    import ablate

    class Config(ablate.Config):
        lr: float = ablate.setting(0.1, gt=0, help="learning rate")

    def train(config: Config, run: ablate.Training) -> ablate.Scores:
        ...
        return ablate.Scores(accuracy=0.9)

    subject = ablate.Subject("mine", Config, train, metrics=[ablate.Metric("accuracy", unit="%")])

That is all that must be there. What the built-in subject adds beyond it (data of its own, many runs trained
in one call, pictures, published scores) are methods of ``Subject`` with a default that works.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ablate.ground.errors import ConfigError
from ablate.ground.wording import suggest
from ablate.subject.factors import Factor, Factors, Inert
from ablate.subject.metrics import Metric, Metrics
from ablate.subject.scores import Scores
from ablate.subject.settings import Config, Settings

if TYPE_CHECKING:
    import numpy as np

Say = Callable[[str], None]
Row = Mapping[str, Any]  # an epoch: "epoch" (1, 2, ...), "seconds", and the values of its curves


class Interrupted(Exception):
    """The run was asked to stop. What it saved is in its folder, and it goes on from there."""


def never() -> bool:
    """Never stops."""
    return False


# ------------------------------------------------------------------------------------------------- training


class Training(ABC):
    """A run as its ``train(config, run)`` sees it."""

    seed: int
    device: str  # as torch writes it: "cpu", "cuda:0"
    folder: Path  # the run's own: what is kept there is still there when it is resumed
    data: Path | None  # the folder of its data, where the study has any
    log: logging.Logger  # into the run's log, where also goes what is printed

    @abstractmethod
    def generator(self, *purpose: object) -> "np.random.Generator":
        """Random numbers that are a function of the seed and of what they are for."""

    @abstractmethod
    def report(self, *, epoch: int | None = None, **values: float | None) -> None:
        """The curves' values of an epoch; by default of the one after the last one reported."""

    @abstractmethod
    def epochs(self, n: int, save: Any = None) -> Iterator[int]:
        """``for epoch in run.epochs(n, save=state)``: 1, 2, ... n, and after an interruption what is left.

        ``state`` is anything with ``state_dict`` and ``load_state_dict``, or a dict of such; it is saved at
        the ends of epochs, and loaded when the run is resumed. Where the run is to stop, it stops here.
        """

    @abstractmethod
    def should_stop(self) -> bool:
        """Whether the run is asked to stop; then save what you can and raise ``ablate.Interrupted``."""


@dataclass(frozen=True)
class Source:
    """A finished run that differs only in what touches the scoring: its training may be taken over."""

    folder: Path
    history: Sequence[Row]


@dataclass(frozen=True, eq=False)  # two jobs may look alike
class Job:
    """A run as the harness hands it to a trainer.

    ``folder`` is the run's own. ``report`` takes a row for each epoch, and ``resumed`` first of all the rows
    of the epochs that were trained before and are not trained again.
    """

    run_id: str
    title: str  # "grl_pos=S1 seed=3"
    settings: Settings
    folder: Path
    data: "Dataset"
    report: Callable[[Row], None]
    resumed: Callable[[Sequence[Row]], None]
    should_stop: Callable[[], bool]
    log: logging.Logger
    save_every_s: float
    lean: bool = False  # keep no more of what it is scored on than the scores
    source: Source | None = None


# Computes the scores of a run that has been trained; or what it failed with.
Outcome = Callable[[], Scores] | Exception


class Trainer(ABC):
    """Trains runs in one process on one device. Made by ``Subject.trainer``."""

    @abstractmethod
    def begin(self, job: Job) -> None:
        """Take a run up, or resume it."""

    @abstractmethod
    def advance(self) -> list[tuple[Job, Outcome]]:
        """Train every run that was begun to the end of its epoch, or to its own; those that ended."""

    def width(self, settings: Settings, data: "Dataset") -> int:  # noqa: ARG002
        """How many such runs to train at once."""
        return 1

    def tidy(self, folder: Path) -> None:  # noqa: B027 - most have nothing to tidy
        """Remove what of a finished run's folder served only to resume it."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether a run that failed with ``error`` might succeed alone on the device."""
        return isinstance(error, MemoryError)

    @property
    def device_name(self) -> str:
        """The device in words."""
        import platform

        return f"cpu ({platform.machine()})"


# ----------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Dataset:
    """Which data a run uses. The digest decides the run's identity, not where the data lie."""

    name: str
    digest: str
    path: Path


NO_DATA = "none"  # the digest where a subject is given no data


@dataclass(frozen=True)
class Size:
    """How much there is to do with a data set: for each run, and once, in the data's own units."""

    train_items: int = 0
    test_items: int = 0
    to_generate: float = 0.0
    to_prepare: float = 0.0


class Data(ABC):
    """Where a subject's data come from. ``folder`` is what the user gave with ``--data``, if anything.

    ``store_data`` is the store's own folder for data. ``expected`` is what a study said of the data, as
    ``Subject.expects`` put it; ConfigError when the data are not so.
    """

    @abstractmethod
    def identify(self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Any]) -> Dataset:
        """The data that ``provide`` would give, without writing anything that stays. Raises DataError."""

    @abstractmethod
    def provide(self, folder: Path | None, store_data: Path, say: Say, expected: Sequence[Any]) -> Dataset:
        """The data to train on, made and prepared if need be. Raises DataError."""

    def settles(self, folder: Path | None, store_data: Path) -> Mapping[str, Inert]:  # noqa: ARG002
        """Settings, by their dotted names, that have one level on these data, and why.

        Conditions that differ in nothing else are then one. Data that cannot be read settle nothing: what
        is wrong with them is told by ``identify``.
        """
        return {}

    def size(self, folder: Path | None, store_data: Path) -> Size:  # noqa: ARG002
        """How much there is to do with them."""
        return Size()

    def digest(self, path: Path) -> str | None:  # noqa: ARG002
        """That of the data at a run's path as they are now; None where that is not looked at again.

        Raises DataError when they are not whole.
        """
        return None


# -------------------------------------------------------------------------------------------------- subject

Train = Callable[[Any, Any], Scores]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is trained. A name, the type of its configuration and ``train`` are enough; see the page's head.

    ``metrics`` say what the scores mean; those that are not declared have no unit, and more is better.
    ``factors`` are short names, default levels and rules for when a setting is inert; every setting is a
    factor without. ``profiles`` are named changes of the configuration, the first being the default one.
    ``uses`` are files and folders, relative to the module, that the results depend on: they, the module, and
    what it imports from beside it, are digested, and a run of other code is another run. ``scoring`` are
    settings that only touch the scoring. ``packages`` are those whose versions are recorded with each run.
    ``validation`` is the setting, if there is one, that says which share of the training data is held out;
    above 0, all scores are of these data, and conditions may be chosen by them.
    ``folds`` are two settings, if there are such: into how many folds the training data are divided, 0 for
    none, and which one of them, from 1 on, this run holds out and is scored on. The folds of a seed together
    score all training data once. Runs of a ``lean`` subject keep no more of what they were scored on than
    their scores; of those of a ``metered`` one the energy is measured.
    """

    name: str
    config_type: type[Config]
    train: Train | None = None
    metrics: Sequence[Metric] = ()
    factors: Sequence[Factor] = ()
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uses: Sequence[str | Path] = ()
    scoring: Sequence[str] = ()
    packages: Sequence[str] = ()
    validation: str | None = None
    folds: tuple[str, str] | None = None
    lean: bool = False
    metered: bool = False
    # Where the harness has it from; filled in when it is opened.
    spec: Mapping[str, Any] = field(default_factory=dict, repr=False)
    version: str = field(default="", repr=False)  # the digest of its code, as its runs know it
    codes: tuple[str, ...] = field(default=(), repr=False)  # digests of changed code that counts as the same

    # What a study plans with.

    @property
    def default(self) -> Config:
        """The configuration as it is when nothing is set."""
        return self.config_type()

    @cached_property
    def known_factors(self) -> Factors:
        """The factors by name; a factor for each setting where none is declared."""
        default = self.default
        own = self.factors or [
            Factor(name, name, (), help) for name, help in default.help.items() if name != "seed"
        ]
        return Factors(default, own, self.rules)

    @property
    def rules(self) -> Sequence[Factor]:
        """Settings that have no factor of their own and can be inert all the same."""
        return ()

    def profile(self, name: str | None = None) -> Config:
        """The configuration that a profile names, or that of the first one. Raises ConfigError."""
        if name is None:
            name = next(iter(self.profiles), None)
        if name is None:
            return self.default
        if name not in self.profiles:
            none = "; this subject has none"
            raise ConfigError(f"unknown profile '{name}'{suggest(name, self.profiles) or none}")
        return self.default.override(self.profiles[name])

    def configure(self, settings: Settings) -> Config:
        """The typed configuration of a run. Raises ConfigError when it is none of this subject's."""
        return self.default.override(settings.flat())

    def unknown_metric(self, name: str) -> str | None:
        """How a message on a metric goes on that no run can have; None for one that may be there."""
        declared = [metric.name for metric in self.metrics]
        if not declared or "/" in name or name in declared:
            return None
        return suggest(name, declared)

    def expects(self, where: str, *, metric: str = "", field: str = "", level: Any = None) -> Sequence[Any]:  # noqa: ARG002
        """What the data must have for a metric, or for a level of a setting, to mean something.

        The harness hands it on to ``data``; ``where`` is what a message about it begins with.
        """
        return ()

    def as_version(self, version: str, codes: Sequence[str] = ()) -> Self:
        """This subject under the version of a former one, where its changed code counts as the same."""
        return replace(self, version=version, codes=tuple(codes))

    @property
    def code_digest(self) -> str:
        """The digest of its code as it was when it was opened, whatever its runs know it by."""
        return str(self.spec.get("digest") or self.version)

    # Its data, its training.

    @cached_property
    def data(self) -> Data:
        """Where its data come from; by default the folder that the user names, if any."""
        from ablate.subject.files import FolderData

        return FolderData(self.name)

    @property
    def trains_together(self) -> bool:
        """Whether its trainer takes several runs at a time, which share a GPU."""
        return False

    def set_up_worker(self, device: str) -> None:
        """What a process that only trains does before all else."""

    def trainer(self, device: str) -> Trainer:
        """What trains its runs in this process on this device."""
        from ablate.subject.training import FunctionTrainer

        return FunctionTrainer(self, device)

    @property
    def requires(self) -> Sequence[str]:
        """Packages of this distribution that only this subject needs, as pip calls them."""
        return ()

    def check_installation(self) -> Iterator[tuple[str, str, Sequence[str]]]:
        """For ``ablate doctor``: "ok", "warning" or "problem", what is found, and commands that mend it."""
        yield from ()

    # What its runs cost.

    def cost(self, settings: Settings) -> str:
        """Equal for runs whose epochs take equally long, which may share a device."""
        return " ".join(f"{name}={value}" for name, value in settings.flat().items() if name != "seed")

    def epochs(self, settings: Settings) -> int:
        """How many epochs a run has, which progress is counted in; 1 where that is not known."""
        names = [name for name in settings.flat() if name.split(".")[-1] == "epochs"]
        found = settings.get(names[0]) if len(names) == 1 else 1
        return found if isinstance(found, int) and found > 0 else 1

    def steps(self, settings: Settings, size: Size) -> float:  # noqa: ARG002
        """Training steps of a run, whose time ``speed_command`` measures."""
        return 0.0

    def scored_items(self, settings: Settings, size: Size) -> float:  # noqa: ARG002
        """How many items a run is scored on."""
        return size.test_items

    def kept_bytes(self, settings: Settings, size: Size) -> float:  # noqa: ARG002
        """About how much a run that is not lean keeps of what it was scored on, on the disk."""
        return 0.0

    @property
    def speed_command(self) -> Sequence[str]:
        """A process that times training steps, as ``campaign.calibration`` asks it to; none by default."""
        return ()

    def tiny_study(self, folder: Path) -> "TinyStudy | None":  # noqa: ARG002
        """A study of seconds that shows what a command does beside training; None: not to be had."""
        return None

    # What is shown of it.

    @property
    def reading_aid(self) -> str:
        """What a reader must know of the scores below a first table."""
        return ""

    @property
    def layouts(self) -> Mapping[str, Sequence[str]]:
        """Tables of published scores by name: the metrics of each."""
        return {}

    @property
    def curves(self) -> Mapping[str, str]:
        """Of the curves those to draw, title -> name in the history; without any, all."""
        return {}

    def remarks(self, settings: Settings, history: Sequence[Row]) -> Mapping[str, Mapping[str, Any]]:  # noqa: ARG002
        """What else a run's page says of its training: title -> name -> text."""
        return {}

    @property
    def captions(self) -> Mapping[str, str]:
        """What else to say below a picture of the report: ``learning`` or a matrix's name -> sentences."""
        return {}

    def pictures(self, dataset: Dataset) -> Sequence[tuple[str, str, str, Any]]:  # noqa: ARG002
        """Pictures of its data for the report: file name, title, caption, matplotlib figure."""
        return ()

    @property
    def studies(self) -> Path | None:
        """A folder of study files that come with it."""
        return None

    def starter(self, name: str) -> str:  # noqa: ARG002
        """A commented study file for a study of this name, to start from; none by default."""
        return ""

    # What its records say of it.

    @cached_property
    def card(self) -> "Card":
        """What the harness must know to read its runs without its code."""
        fields = {factor.name: factor.field for factor in self.known_factors.values()}
        return Card(
            self.name,
            self.version,
            dict(self.spec),
            tuple(self.metrics),
            self.known_factors.settings,
            fields,
            self.codes,
            self.default.flat(),
            {name: dict(changes) for name, changes in self.profiles.items()},
            self.folds,
        )


@dataclass(frozen=True)
class TinyStudy:
    """A study that trains in seconds: words for ``ablate grid``, and what a unit of its data took to make."""

    words: Sequence[str]
    generate_s: float = 0.0
    prepare_s: float = 0.0


@dataclass(frozen=True)
class Card:
    """A subject as its records describe it.

    ``settings`` say what each setting is; ``fields`` which setting each factor sets. ``codes`` are digests of
    changed code that its user has said to give the same results as ``version``. ``default`` has every setting
    as it is when nothing is set, and ``profiles`` the changes of each. ``folds`` are as in ``Subject``.
    """

    name: str
    version: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    declared: tuple[Metric, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    default: Mapping[str, Any] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folds: tuple[str, str] | None = None

    @cached_property
    def metrics(self) -> Metrics:
        return Metrics(self.declared)

    def without_code(self) -> "Card":
        """As of a subject whose code is not here: for records of others, which may name any file."""
        is_code = self.spec.get("kind") in ("module", "script")
        return replace(self, spec={"kind": "elsewhere"}) if is_code else self

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "spec": dict(self.spec),
            "metrics": [vars(metric) for metric in self.declared],
            "settings": dict(self.settings),
            "fields": dict(self.fields),
            "codes": list(self.codes),
            "default": dict(self.default),
            "profiles": {name: dict(changes) for name, changes in self.profiles.items()},
            "folds": None if self.folds is None else list(self.folds),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Card":
        """Raises TypeError or KeyError for another form."""
        return cls(
            content["name"],
            content["version"],
            content["spec"],
            tuple(Metric(**each) for each in content["metrics"]),
            content["settings"],
            content["fields"],
            tuple(content["codes"]),
            content["default"],
            content["profiles"],
            tuple(content["folds"]) if content.get("folds") else None,
        )
