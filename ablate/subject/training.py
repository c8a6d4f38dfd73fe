"""Trains the runs of a subject that is a function: ``train(config, run)``, one run after the other."""

import gc
import inspect
import operator
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.ground.errors import ConfigError, shown
from ablate.ground.records import LARGEST
from ablate.subject import saved, seeding
from ablate.subject.files import folder_of
from ablate.subject.interface import Interrupted, Job, Outcome, Row, Subject, Trainer, Training
from ablate.subject.metrics import Metrics
from ablate.subject.module import planned_code
from ablate.subject.output import printed_to
from ablate.subject.reading import unread, watched
from ablate.subject.returned import checked
from ablate.subject.scores import Scores
from ablate.subject.settings import Config, Settings

if TYPE_CHECKING:
    import numpy as np

CHECKPOINT = "checkpoint.zip"
WORK = "work"  # the user's own folder within a run's
LOG = "log.txt"

SCHEMA = 1  # of the saved state; raise it when its meaning changes
MOST_FOR_SAVING = 0.02  # of the time


class FunctionTrainer(Trainer):
    """Calls the subject's ``train`` for each run, and sees to what it prints, draws, saves and returns.

    What is printed goes into the run's log; unless standard input is a terminal, where somebody is at work
    with a debugger.
    """

    def __init__(self, subject: Subject, device: str) -> None:
        self._subject = subject
        self._device = device
        self._code = planned_code(subject)
        self._waiting: deque[tuple[Job, Config]] = deque()

    def begin(self, job: Job) -> None:
        """Raises ConfigError for settings that are not the subject's, or when its code has changed."""
        if self._code is not None:
            self._code.require()
        self._waiting.append((job, self._subject.configure(job.settings)))

    def advance(self) -> list[tuple[Job, Outcome]]:
        if not self._waiting:
            return []
        job, config = self._waiting.popleft()
        return [(job, self._outcome(job, config))]

    def tidy(self, folder: Path) -> None:
        """Removes the saved state, and the user's own folder if nothing is in it."""
        (folder / CHECKPOINT).unlink(missing_ok=True)
        with suppress(OSError):
            (folder / WORK).rmdir()

    def is_out_of_memory(self, error: BaseException) -> bool:
        return any(kind.__name__ in ("MemoryError", "OutOfMemoryError") for kind in type(error).__mro__)

    @property
    def device_name(self) -> str:
        if self._device == "cpu":
            return f"cpu ({platform.machine()})"
        torch = sys.modules.get("torch")
        return str(torch.cuda.get_device_name(self._device)) if torch is not None else self._device

    def _outcome(self, job: Job, config: Config) -> Outcome:
        try:
            scores = self._train(job, config)
        except Exception as error:
            return error
        except SystemExit as error:
            return ConfigError(f"train ended its process (exit code {error.code}); let it return its scores")
        finally:
            self._free_memory()
        return lambda: scores

    def _train(self, job: Job, config: Config) -> Scores:
        read_from, seen = watched(config)
        identity = {
            "schema": SCHEMA,
            "settings": job.settings.flat(),
            "data": job.data.digest,
            "version": self._subject.version,
        }
        run = _Run(job, self._device, identity, seen)
        train = self._subject.train
        assert train is not None, "the subject has neither train nor a trainer of its own"
        try:
            with _surroundings(job, self._device):
                result = train(read_from, run)
                if inspect.isgenerator(result):
                    result = _reported(result, run)
            run.end()
        except Exception:
            if run.stopped_by is not None:  # what the training made of it does not matter
                raise run.stopped_by from None
            raise
        finally:
            run.is_open = False
        scores = checked(result, Metrics(self._subject.metrics))
        scores.unread = unread(job.settings, seen | self._idle(job.settings))
        if scores.seconds is None:
            scores.seconds = run.seconds_since_report()
        return scores

    def _idle(self, settings: Settings) -> set[str]:
        """Settings that nothing need read: those of folds, where there are none."""
        folds = self._subject.folds
        return set(folds) if folds and not settings.get(folds[0]) else set()

    def _free_memory(self) -> None:
        """Give back what the run has left in the memory of a GPU, for whoever else trains there."""
        torch = sys.modules.get("torch")
        if self._device != "cpu" and torch is not None and torch.cuda.is_initialized():
            gc.collect()
            torch.cuda.empty_cache()


@contextmanager
def _surroundings(job: Job, device: str) -> Iterator[None]:
    """What prints, draws and child processes of a training find, and what of it is put right afterwards."""
    process, folder = os.getpid(), Path.cwd()
    with ExitStack() as stack:
        if sys.stdin is None or not sys.stdin.isatty():
            stack.enter_context(printed_to(job.folder / LOG))
        stack.enter_context(seeding.seeded(job.settings.seed, device))
        try:
            yield
        finally:
            if os.getpid() != process:  # a forked child that came back: the run is its parent's
                os._exit(0 if sys.exc_info()[0] is None else 1)
            os.chdir(folder)


def _reported(rows: Any, run: "_Run") -> Any:
    """What a generator returns; each dict that it yields is the values of an epoch."""
    while True:
        try:
            row = next(rows)
        except StopIteration as end:
            return end.value
        if not isinstance(row, Mapping):
            raise ConfigError(
                f"train yielded {shown(row)}; yield a dict of an epoch's values such as {{'loss': 0.5}}"
            )
        run.report(**row)
        run.leave_if_asked()


class _Run(Training):
    """A run that is being trained. Its epochs are told to the harness, and its state saved, as they end."""

    def __init__(self, job: Job, device: str, identity: Mapping[str, Any], seen: set[str]) -> None:
        self.seed = job.settings.seed
        self.device = device
        self.data = folder_of(job.data)
        self.log = job.log
        self.is_open = True
        self.stopped_by: Exception | None = None  # so that no training swallows it
        self._job = job
        self._identity = identity
        self._seen = seen
        self._generators: list[tuple[str, np.random.Generator]] = []
        self._checkpoint = job.folder / CHECKPOINT
        self._saved = self._load()
        self._rows: list[Row] = list(self._saved["rows"]) if self._saved else []
        self._in_epoch: int | None = None
        self._values: dict[str, float | None] = {}  # of the epoch that goes on
        self._has_looped = False
        self._was_told_to_stop = False
        self._reported_at = time.monotonic()
        self._save_at = self._reported_at + job.save_every_s
        job.resumed(self._rows)

    # What a training sees.

    @property
    def folder(self) -> Path:  # type: ignore[override]
        path = self._job.folder / WORK
        path.mkdir(parents=True, exist_ok=True)
        return path

    def generator(self, *purpose: object) -> "np.random.Generator":
        """Those that are made before the loop over the epochs go on where they were when it is resumed."""
        made = seeding.generator(self.seed, purpose)
        if not self._has_looped:
            self._generators.append((seeding.purpose_key(purpose), made))
        return made

    def report(self, *, epoch: int | None = None, **values: float | None) -> None:
        """Within ``epochs`` all reports of an epoch are one row, which is told when the epoch ends."""
        numbers = {name: _number(name, value) for name, value in values.items()}
        if self._in_epoch is None:
            last = self._rows[-1]["epoch"] if self._rows else 0
            self._tell(last + 1 if epoch is None else _count("report(epoch=", epoch), numbers)
        elif epoch in (None, self._in_epoch):
            self._values.update(numbers)
        else:
            within = f"in epoch {self._in_epoch} of run.epochs()"
            raise ConfigError(f"run.report(epoch={shown(epoch)}) {within}; leave epoch= out there")

    def epochs(self, n: int, save: Any = None) -> Iterator[int]:
        count = _count("epochs(", n)
        if self._has_looped:
            raise ConfigError("run.epochs() is called a second time; a run has one loop over its epochs")
        if self._rows and not self._saved:
            raise ConfigError("run.report() is called before run.epochs(), whose first epoch it then is")
        states = _states_of(save)
        self._has_looped = True
        saved.check({name: state.get() for name, state in states.items()})
        done = self._restore(states) if self._saved else 0
        return self._loop(done, count, states)

    def should_stop(self) -> bool:
        self._was_told_to_stop |= self._is_to_stop()
        return self._was_told_to_stop

    # What the trainer asks.

    def leave_if_asked(self) -> None:
        """Raises Interrupted where the run is to stop, unless the loop over the epochs sees to that."""
        if not self._has_looped and self._is_to_stop():
            self._stop("interrupted; it starts over, as it has no loop over run.epochs(save=...)")

    def end(self) -> None:
        """The training has returned. Raises what it was stopped by, if it has taken no notice."""
        if self.stopped_by is None and self._was_told_to_stop:
            self.stopped_by = Interrupted("interrupted; what train returned when it was to stop is not used")
        if self.stopped_by is not None:
            raise self.stopped_by
        self._end_epoch()

    def seconds_since_report(self) -> float:
        return time.monotonic() - self._reported_at

    # Epochs.

    def _loop(self, done: int, n: int, states: "dict[str, _State]") -> Iterator[int]:
        if done == 0 and n and self._is_to_stop():
            self._stop("interrupted before its first epoch")
        for epoch in range(done + 1, n + 1):
            self._in_epoch = epoch
            try:
                yield epoch
            except GeneratorExit:  # the training has left the loop, or is gone
                self._end_epoch()
                raise
            self._end_epoch()
            stops = self._is_to_stop()
            if states and (stops or time.monotonic() >= self._save_at):
                self._save(epoch, states)
            if stops and states:
                self._stop(f"interrupted after epoch {epoch}")
            if stops and epoch < n:
                self._stop(
                    f"interrupted after epoch {epoch}; it starts over, since epochs(save=...) is not given"
                )

    def _end_epoch(self) -> None:
        if self._in_epoch is None or not self.is_open:
            return
        epoch, values = self._in_epoch, self._values
        self._in_epoch, self._values = None, {}
        self._tell(epoch, values)

    def _tell(self, epoch: int, values: Mapping[str, float | None]) -> None:
        if self._rows and epoch <= self._rows[-1]["epoch"]:
            raise ConfigError(f"run.report(): epoch {epoch} has been reported already")
        row = {"epoch": epoch, "seconds": self.seconds_since_report(), **values}
        self._reported_at = time.monotonic()
        self._rows.append(row)
        self._guarded(lambda: self._job.report(row))

    def _is_to_stop(self) -> bool:
        return bool(self._guarded(self._job.should_stop))

    def _stop(self, why: str) -> None:
        self.stopped_by = Interrupted(why)
        raise self.stopped_by

    def _guarded(self, ask: Callable[[], Any]) -> Any:
        """What the harness answers; when it raises, the run is over whatever the training does."""
        try:
            return ask()
        except Exception as error:
            self.stopped_by = error
            raise

    # The saved state.

    def _save(self, epoch: int, states: "dict[str, _State]") -> None:
        began = time.monotonic()
        content = {
            "identity": self._identity,
            "epoch": epoch,
            "rows": self._rows,
            "seen": sorted(self._seen),
            "states": {name: state.get() for name, state in states.items()},
            "random": seeding.states(),
            "generators": [[key, made.bit_generator.state] for key, made in self._generators],
        }
        saved.write(self._checkpoint, content)
        ended = time.monotonic()
        every_s = self._job.save_every_s
        self._save_at = ended + (max(every_s, (ended - began) / MOST_FOR_SAVING) if every_s else 0.0)

    def _load(self) -> dict[str, Any] | None:
        """What an earlier attempt at this run has saved, if it can be used."""
        if not self._checkpoint.exists():
            return None
        try:
            content: dict[str, Any] = saved.read(self._checkpoint)
            identity, _ = content["identity"], (content["epoch"], content["rows"], content["states"])
        except Exception as error:  # a damaged file can raise nearly anything
            self.log.warning(
                "%s is damaged and is ignored (%s); the run starts over", self._checkpoint, error
            )
            return None
        if identity != self._identity:
            self.log.warning(
                "%s is of other settings, data or code and is ignored; the run starts over", self._checkpoint
            )
            return None
        return content

    def _ignored(self, why: str) -> None:
        self.log.warning("%s %s and is ignored; the run starts over", self._checkpoint, why)

    def _restore(self, states: "dict[str, _State]") -> int:
        """Brings everything to where it was saved. The last epoch that need not be trained again."""
        assert self._saved is not None
        content, keys = self._saved, [key for key, _ in self._generators]
        self._saved = None
        if set(content["states"]) != set(states) or [key for key, _ in content["generators"]] != keys:
            self._ignored("does not fit what is trained")
            self._rows = []
            self._job.resumed([])
            return 0
        for name, state in states.items():
            state.set(content["states"][name])
        for (_, made), (_, state) in zip(self._generators, content["generators"], strict=True):
            made.bit_generator.state = state
        self._seen.update(content["seen"])
        seeding.restore(content["random"])
        epoch = int(content["epoch"])
        self.log.info("resumed after epoch %d", epoch)
        return epoch


class _State:
    """Something whose state can be had and set: a network, an optimiser, a generator of torch's."""

    def __init__(self, get: Callable[[], Any], set: Callable[[Any], Any]) -> None:
        self.get = get
        self.set = set


def _states_of(save: Any) -> dict[str, _State]:
    if save is None:
        return {}
    if (state := _state_of(save)) is not None:
        return {"state": state}
    if not isinstance(save, Mapping):
        raise _no_state("save", save)
    found = {}
    for name, thing in save.items():
        state = _state_of(thing)
        if state is None:
            raise _no_state(f"save['{name}']", thing)
        found[str(name)] = state
    return found


def _state_of(thing: Any) -> _State | None:
    for get, set in (("state_dict", "load_state_dict"), ("get_state", "set_state")):
        if callable(getattr(thing, get, None)) and callable(getattr(thing, set, None)):
            return _State(getattr(thing, get), getattr(thing, set))
    return None


def _no_state(what: str, thing: Any) -> ConfigError:
    return ConfigError(
        f"run.epochs({what}): a {type(thing).__name__} has no state_dict() and load_state_dict(); give what "
        "has, or a dict of such"
    )


def _number(name: str, value: Any) -> float | None:
    """A curve's value as records hold it. Raises ConfigError for what is no number."""
    if name == "seconds":
        raise ConfigError("run.report(seconds=...): the time of an epoch is measured; choose another name")
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"run.report({name}={shown(value)}): not a number") from None
    return number if not abs(number) > LARGEST else float("inf" if number > 0 else "-inf")


def _count(what: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ConfigError(f"run.{what}{shown(value)}): epochs are counted in whole numbers")
    return number
