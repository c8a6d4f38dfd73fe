"""How a study is trained: on which data and by which means, what is left of it, and who is told of it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from ablate.api.means import LauncherName, Means, Work, describe, make_launcher
from ablate.ground.errors import ConfigError

if TYPE_CHECKING:
    from ablate.campaign.searching import Searching
    from ablate.design.claims import StudyDetails
    from ablate.design.runs import Run
    from ablate.design.study import Study
    from ablate.launch.base import Event
    from ablate.record.store import Store
    from ablate.schedule.grid import Plan
    from ablate.subject.interface import Dataset, Subject
    from ablate.subject.settings import Config


class ToldInterrupt(KeyboardInterrupt):
    """Ctrl-C, after the runs have saved where they are and the reader was told so."""


class Display(Protocol):
    """Who is told of a campaign while it lasts: a context manager that is a ``campaign.Watcher``."""

    def __enter__(self) -> object: ...
    def __exit__(self, *_: object) -> None: ...
    def on_event(self, run: "Run", event: "Event") -> None:
        """A run has started, finished an epoch, or left its slot."""

    def on_warning(self, message: str) -> None:
        """Something went wrong that does not end the campaign, or the campaign is interrupted."""


class Quiet:
    """Tells nobody."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *_: object) -> None: ...
    def on_event(self, run: "Run", event: "Event") -> None: ...
    def on_warning(self, message: str) -> None: ...


@dataclass(frozen=True)
class Scope:
    """What a display is for: the ``n_runs`` and ``n_epochs`` that a campaign trains, at most."""

    store: "Store"
    subject: "Subject"
    n_runs: int
    n_epochs: int


def no_display(_scope: Scope) -> Display:
    return Quiet()


def tell_nobody(_message: str) -> None:
    """For news that nobody has asked for."""


@dataclass(frozen=True)
class Training:
    """How to train a study: on which data, where, and who is told what.

    ``command`` is kept with the study as what plans it again. ``display`` makes what shows a campaign, and
    ``tell`` is given sentences on the way to it. ``place`` says where in words, as far as the plan has to,
    once the subject is known.
    """

    store: "Store"
    data: Path | None
    devices: list[str]
    means: Means
    command: str
    display: Callable[[Scope], Display] = no_display
    tell: Callable[[str], None] = tell_nobody
    dry_run: bool = False
    calibrate: bool = False
    gpus_per_run: int = 1
    place: str | None = None

    def of(self, subject: "Subject") -> Self:
        """That of a subject. Raises ConfigError when so many of its runs cannot share a GPU."""
        return replace(self, place=describe(self.means, self.devices, subject))

    def fit(self, study: "Study") -> "Study":
        """The study with runs of which is kept and measured what is asked for."""
        asked = replace(study.subject, lean=self.means.no_scores, metered=self.means.energy)
        return replace(study, subject=asked)

    @property
    def only_plan(self) -> bool:
        return self.dry_run or self.calibrate


def devices_of(means: Means, gpus_per_run: int, *, calibrate: bool = False) -> list[str]:
    """The device of each worker.

    Raises ConfigError when there are no such devices, or an option is none of the launcher's.
    """
    means.check()
    if calibrate and means.launcher in (LauncherName.SLURM, LauncherName.RAY):
        raise ConfigError(
            "--calibrate measures this machine, not a cluster's nodes; the first finished runs will tell"
        )
    return means.devices(gpus_per_run)


def reference_of(store: "Store", study: str, subject: "Subject") -> "Config | None":
    """What the conditions of a study that exists are named against; None where its settings are others."""

    base = store.study_base(study)
    try:
        return None if base is None else subject.configure(base)
    except ConfigError:
        return None


def require_no_search(store: "Store", study: str) -> None:
    """Raises ConfigError when a study's conditions are chosen by a search."""
    from ablate.record.searches import SearchFolder

    if SearchFolder.of(store, study).exists():
        raise ConfigError(f"study '{study}' is a search; choose another name for yours")


def require_folds(study: "Study", store: "Store") -> None:
    """Raises StudyError when the study has its training data in another number of folds."""
    from ablate.subject.settings import Settings

    store.require_folds(study.name, study.subject.card, Settings(study.base.flat()))


def record_runs(
    training: Training, study: "Study", runs: "Sequence[Run]", details: "StudyDetails | None" = None
) -> None:
    """Record that the study has these runs, by the command that is under way."""
    from ablate.subject.settings import Settings

    base = Settings(study.base.flat())
    training.store.add_to_study(
        study.name, runs, training.command, base=base, details=details, card=study.subject.card
    )


def find_dataset(study: "Study", training: Training) -> "Dataset":
    """The data to train on, prepared if they are not yet; for a plan alone only their identity is found.

    Raises ConfigError when the study expects of the data what they do not have.
    """
    source = study.subject.data
    find = source.identify if training.only_plan else source.provide
    found = find(training.data, training.store.data, training.tell, study.expected)
    return replace(found, path=found.path.absolute())  # who reads the record may be in another folder


def plan_of(study: "Study", dataset: "Dataset", store: "Store") -> "Plan":
    """What the study wants, and what of that is left to do."""
    return plan_for(study.runs(dataset), study.name, store)


def plan_for(runs: "Sequence[Run]", study: str, store: "Store") -> "Plan":
    """What is left to do of runs, most of which the study has already."""
    from ablate.ground.collector import resting
    from ablate.record.index import Index
    from ablate.schedule.grid import reconcile

    index = Index.of(store, study)
    with resting():
        return reconcile(runs, lambda run_id: index.status(store.folder(run_id)))


def train_runs(
    training: Training,
    study: "Study",
    runs: "list[Run]",
    budget_s: float | None = None,
    search: "Searching | None" = None,
) -> str | None:
    """Train the runs, and those that a search asks for; and ship to MLflow what it lacks of the study.

    After ``budget_s`` seconds no further run is begun. Returns what is to be known of runs that go on by
    themselves (``--no-wait``), else None. Raises Cancelled when somebody asks for the study's end, and
    ToldInterrupt on Ctrl-C; the runs have saved where they are.
    """
    from ablate.campaign.campaign import Campaign, Cancelled, Policy
    from ablate.record.cancellation import Cancellation
    from ablate.schedule.packs import plan_packs
    from ablate.tracking import Tracker

    store, subject, means = training.store, study.subject, training.means
    launcher = make_launcher(means, training.devices, Work(store, study.name, subject, training.gpus_per_run))
    for run in runs:
        store.folder(run.run_id).order(run)
    until = math.inf if budget_s is None else time.monotonic() + budget_s
    cancellation = Cancellation(store, study.name)
    policy = Policy(means.max_retries, means.fail_fast, until, cancellation.is_new)
    if training.devices != ["cpu"] * len(training.devices):
        # On a GPU runs train together; those that cost the same do so best.
        runs = [run for pack in plan_packs(runs, subject, devices=len(training.devices)) for run in pack]
    known = store.study_runs(study.name) if search is None else search.folders()
    display = training.display(_scope(store, study, runs, search))
    with display:
        try:
            campaign = Campaign(store, launcher, Tracker(store, study.name), display, policy)
            if means.no_wait and runs:
                return campaign.hand_over(runs)
            campaign.execute(runs, known, search)
        except Cancelled:
            display.on_warning("cancelled; the same command goes on from where the runs were last saved")
            raise
        except KeyboardInterrupt:
            display.on_warning("interrupted; the same command goes on from where the runs were last saved")
            raise ToldInterrupt from None
    return None


def _scope(store: "Store", study: "Study", runs: "Sequence[Run]", search: "Searching | None") -> Scope:
    from ablate.subject.settings import Settings

    subject = study.subject
    n_to_come = 0 if search is None else search.n_to_come
    epochs_to_come = n_to_come * subject.epochs(Settings(study.base.flat()))
    n_epochs = sum(subject.epochs(run.config) for run in runs) + epochs_to_come
    return Scope(store, subject, len(runs) + n_to_come, n_epochs)
