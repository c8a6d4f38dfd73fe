"""A run trained again from its record, in a folder of its own: does it give the numbers that it gave?

What differs here is told before anything is trained. The run itself is only read.
"""

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ablate.analysis.inspect import Found
from ablate.analysis.query import load_runs
from ablate.analysis.reproduced import Reproduced, compare_runs, seeds_of
from ablate.design.runs import Run
from ablate.ground.errors import AblateError, ConfigError, StoreError, StudyError
from ablate.ground.files import make_folder
from ablate.ground.machine import processor, system
from ablate.ground.version import VERSION
from ablate.launch.base import Event, Kind, Task
from ablate.launch.devices import find_devices
from ablate.launch.local import LocalLauncher
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.code import harness_digest
from ablate.subject.interface import NO_DATA, Subject
from ablate.subject.registry import open_as_it_is
from ablate.subject.results import KIND as RESULTS

POLL_S = 0.2
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Circumstance:
    """Something that a run was made by. ``forbids`` is why nothing can be concluded where it differs."""

    name: str
    was: str
    here: str
    forbids: str = ""

    @property
    def is_same(self) -> bool:
        return self.was == self.here


@dataclass(frozen=True)
class Prepared:
    """A run that can be trained again: what of its circumstances there is to compare, and where it trains."""

    found: Found
    run: Run
    data: Path
    device: str
    spec: Mapping[str, Any]
    circumstances: tuple[Circumstance, ...]

    @property
    def differing(self) -> list[Circumstance]:
        return [each for each in self.circumstances if not each.is_same]

    @property
    def is_exact(self) -> bool:
        """Whether the same bits can be expected."""
        return self.device == "cpu" and not self.differing

    def require_meaning(self) -> None:
        """Raises StudyError where the comparison would say nothing."""
        why = [each.forbids for each in self.differing if each.forbids]
        if why:
            raise StudyError([f"{each}; --anyway trains it all the same" for each in why])


def prepare(store: Store, found: Found, device: str | None = None) -> Prepared:
    """Look at a finished run and at what there is here.

    ``device`` is one of ``launch.devices``; by default the kind that the run was trained on. Raises
    StudyError for a run that has no numbers of a training, ConfigError for a device that is not here.
    """
    title = f"run {found.record.run_id} ({found.record.name}, {found.record.replicate})"
    card = found.record.subject
    if card.spec.get("kind") == RESULTS:
        raise StudyError(f"{title} was imported, so nothing of it can be trained")
    if found.record.state is not State.FINISHED:
        raise StudyError(f"{title} is {found.record.state}; only a finished run can be compared with")
    run, result = found.folder.run(), found.folder.result() or {}
    subject = open_as_it_is(card.spec)
    chosen = _device(result["device"], device)
    data = store.locate(run.dataset)
    circumstances = tuple(_circumstances(run, result, card.spec, subject, data, chosen))
    spec = {**subject.spec, "digest": subject.code_digest} if "digest" in subject.spec else subject.spec
    return Prepared(found, replace(run, metered=False), data, chosen, spec, circumstances)


def _device(was: str, asked: str | None) -> str:
    if asked is None and not was.startswith("cpu") and not find_devices("auto")[0].startswith("cuda"):
        raise ConfigError(
            f"the run was trained on {was}, and there is no GPU here; --device cpu trains it all the same, "
            "with other last digits"
        )
    return find_devices(asked or ("cpu" if was.startswith("cpu") else "cuda"))[0]


def _circumstances(
    run: Run, result: Mapping[str, Any], spec: Mapping[str, Any], subject: Subject, data: Path, device: str
) -> Iterator[Circumstance]:
    made = result.get("made", {})
    was = run.dataset.digest
    here = _data_here(subject, data, was)
    yield Circumstance(
        "data", was, here, f"the data '{run.dataset.name}' are {here} in {data}, and were {was} then"
    )
    code = made.get("code") or spec.get("digest") or UNKNOWN
    yield Circumstance(
        "code of the subject",
        code,
        subject.code_digest if code != UNKNOWN else UNKNOWN,
        f"the code of '{subject.name}' has changed since the run was trained",
    )
    yield Circumstance("code of ablate", made.get("harness", UNKNOWN), harness_digest())
    for name, known in result["versions"].items():
        is_own = {"ablate": VERSION, "python": platform.python_version()}
        yield Circumstance(name, known, is_own.get(name) or _version(name, known))
    yield Circumstance("device", _kind(result["device"]), "cpu" if device == "cpu" else "gpu")
    yield Circumstance("processor", made.get("processor", UNKNOWN), processor())
    yield Circumstance("system", made.get("system", UNKNOWN), system())
    if device == "cpu":
        yield Circumstance("threads", str(made.get("threads", UNKNOWN)), "1")


def _kind(device: str) -> str:
    return "cpu" if device.startswith("cpu") else "gpu"


def _data_here(subject: Subject, data: Path, was: str) -> str:
    """The digest of the data as they are here, or that they are absent."""
    if was == NO_DATA:
        return was
    try:
        return subject.data.digest(data) or (was if data.exists() else "absent")
    except (AblateError, OSError):
        return "absent or damaged"


def _version(package: str, otherwise: str) -> str:
    """That of a package; a version that a training has told itself is known only after the training."""
    try:
        return version(package)
    except PackageNotFoundError:
        return otherwise


def reproduce(
    store: Store,
    prepared: Prepared,
    *,
    epochs: int | None = None,
    tell: Callable[[Event], None] = lambda _: None,
) -> Reproduced:
    """Train the run again, and compare; with ``epochs`` only so many.

    Raises StudyError when the training fails, or there are no curves to compare, StoreError when nothing can
    be written beside the run.
    """
    was = prepared.found.folder
    if epochs is not None and not was.history():
        raise StudyError("--epochs: the run has no curves; leave it out to compare its scores")
    seeds = seeds_of(load_runs(store, prepared.found.study), was.run_id)
    with _scratch(store, prepared.found.study) as scratch:
        now = scratch.folder(was.run_id)
        now.create(prepared.run)
        _train(now, prepared, epochs, tell)
        return compare_runs(was, now, seeds, exact=prepared.is_exact, epochs=epochs)


@contextmanager
def _scratch(store: Store, study: str) -> Iterator[Store]:
    """A store of its own beside the study's other things, removed when it has served."""
    beside = store.study_folder(study)
    try:
        make_folder(beside)
        folder = Path(tempfile.mkdtemp(prefix="reproduce-", dir=beside)).absolute()
    except OSError as error:
        raise StoreError(f"{beside}: cannot be written ({error.strerror or error})") from error
    try:
        yield Store(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _train(now: RunFolder, prepared: Prepared, epochs: int | None, tell: Callable[[Event], None]) -> None:
    launcher = LocalLauncher([prepared.device], prepared.spec)
    ended: Event | None = None
    try:
        launcher.submit(Task(now.path, prepared.data))
        while ended is None:
            for event in launcher.poll(POLL_S):
                tell(event)
                ended = event if event.ends else ended
                if epochs is not None and event.kind is Kind.EPOCH and event.epoch == epochs:
                    launcher.prune(now.run_id, f"{epochs} epochs are enough")
    finally:
        launcher.stop()
    if ended.kind is not Kind.FINISHED and not (epochs is not None and ended.kind is Kind.PRUNED):
        raise StudyError(f"trained again, the run does not finish: {ended.cause or ended.kind}")
