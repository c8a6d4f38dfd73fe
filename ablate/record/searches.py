"""The record of a search: what was asked for, and every trial in the order in which it was asked.

    <store>/studies/<study>/search.json     objectives, space, sampler, pruner; written before the first trial
    <store>/studies/<study>/trials.jsonl    a line a trial, written before any of its runs is trained
    <store>/studies/<study>/optuna.log      the same for Optuna's dashboard, which can be made again
    <store>/studies/<study>.best/origin.json   of the study that trains the best of them anew: whose they are

What came out of a trial is in its run folders and nowhere else.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from ablate.ground.errors import StoreError
from ablate.ground.files import flush_names, make_folder, read_json, write_json
from ablate.ground.leases import lease
from ablate.ground.records import Condition, Count, Level, Record, Text, require
from ablate.record.store import Store

SCHEMA = 1
LEASE_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Plan:
    """What a search looks for, where, and by which method: all that its draws depend on, and the scores.

    ``objectives`` maps one or two metrics to "max" or "min". ``space`` are the dimensions as JSON.
    ``sampler`` and ``pruner`` are a name and all options, written out. ``seeds``: runs of a trial, with the
    seeds 0, 1, ... ``validation``: the share of the training data by which trials are scored;
    ``on_evaluation``: they are scored by what is to judge them in the end. ``base``: the settings that
    the trials change. ``optuna``: the version that has drawn, which another one may not do alike.
    """

    objectives: Mapping[str, str]
    space: tuple[Mapping[str, Any], ...]
    sampler: str
    sampler_options: Mapping[str, Any]
    pruner: str
    pruner_options: Mapping[str, Any]
    seed: int
    seeds: int
    validation: float
    on_evaluation: bool
    base: Mapping[str, Any]
    dataset: str
    subject: str
    optuna: str

    def differences(self, other: "Plan") -> list[str]:
        """What the other says otherwise, in words; the version of Optuna is no part of a plan."""
        ours, theirs = _flat(self), _flat(other)
        names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        return [f"{name} {_brief(ours.get(name))}, now {_brief(theirs.get(name))}" for name in names]


def _flat(plan: Plan) -> dict[str, Any]:
    """What a plan says, by the words that a user knows it by."""
    return {
        **{f"objective {name}": best for name, best in plan.objectives.items()},
        **{f"factor {each['factor']}": each.get("range", each.get("levels")) for each in plan.space},
        "sampler": plan.sampler,
        **{f"{plan.sampler}'s {name}": value for name, value in plan.sampler_options.items()},
        "pruner": plan.pruner,
        **{f"{plan.pruner}'s {name}": value for name, value in plan.pruner_options.items()},
        "search seed": plan.seed,
        "seeds a trial": plan.seeds,
        "validation share": plan.validation,
        "on evaluation data": plan.on_evaluation,
        **{f"setting {name}": value for name, value in plan.base.items()},
        "data": plan.dataset,
        "subject": plan.subject,
    }


def _brief(value: Any) -> str:
    """A value in a sentence; None: there was none."""
    if value is None:
        return "none"
    text = json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Trial:
    """A trial as it was asked: what was drawn, and the runs that follow from it.

    ``draws`` is None for a baseline outside of the space. ``after`` are the trials whose outcomes have become
    known since the trial before was asked, in that order. ``same_as`` is an earlier trial of the same
    condition, whose runs it has; ``refused`` is why the subject has no such condition.
    """

    number: int
    name: str
    draws: Mapping[str, Any] | None
    after: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    same_as: int | None = None
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class _Trial(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    number: Count
    name: Text
    draws: dict[Text, Level] | None
    after: list[Count]
    runs: list[str] = Field(default_factory=list)
    same_as: Count | None = None
    refused: Text | None = None


class _Plan(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    schema_: int = Field(alias="schema")
    objectives: dict[Text, Text]
    space: list[dict[str, Any]]
    sampler: Text
    sampler_options: dict[Text, Any]
    pruner: Text
    pruner_options: dict[Text, Any]
    seed: Count
    seeds: Count
    validation: float
    on_evaluation: bool
    base: Condition
    dataset: Text
    subject: Text
    optuna: Text


@dataclass(frozen=True)
class SearchFolder:
    """Reads and writes a study's record of its search."""

    path: Path
    study: str

    @classmethod
    def of(cls, store: Store, study: str) -> "SearchFolder":
        return cls(store.study_folder(study), study)

    @property
    def plan_file(self) -> Path:
        return self.path / "search.json"

    @property
    def trials_file(self) -> Path:
        return self.path / "trials.jsonl"

    @property
    def optuna_file(self) -> Path:
        return self.path / "optuna.log"

    def exists(self) -> bool:
        """Whether the study is a search."""
        return self.plan_file.is_file()

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Be the one process that asks. Raises StoreError when another one does."""
        try:
            make_folder(self.path)
            with lease(self.path / ".lock", LEASE_PATIENCE_S):
                yield
        except TimeoutError:
            raise StoreError(
                f"another process is searching in study '{self.study}'; wait for it, or choose another name "
                "with --study"
            ) from None

    def write_plan(self, plan: Plan) -> None:
        try:
            write_json(self.plan_file, {"schema": SCHEMA, **asdict(plan)}, durable=True)
        except OSError as error:
            raise StoreError(f"{self.plan_file}: cannot be written ({error.strerror or error})") from error

    def plan(self) -> Plan:
        """Raises StoreError when there is none, or none that can be read."""
        try:
            content = read_json(self.plan_file)
            if isinstance(content, dict) and content.get("schema") != SCHEMA:
                raise StoreError(
                    f"{self.plan_file}: written by a version of ablate with other records; choose another "
                    "--study"
                )
            require(_Plan, content)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.plan_file}: unreadable ({error}); choose another name for the search with --study"
            ) from error
        del content["schema"]
        return Plan(**{**content, "space": tuple(content["space"])})

    def trials(self) -> list[Trial]:
        """In the order in which they were asked. What a killed search left half-written is no trial.

        Raises StoreError for damage.
        """
        try:
            lines = self.trials_file.read_text(encoding="utf-8").split("\n")[:-1]
            found = [_trial(line) for line in lines]
            if [trial.number for trial in found] != list(range(len(found))):
                raise ValueError("its trials are not numbered 0, 1, 2, ...")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(
                f"{self.trials_file}: damaged ({error}); its runs are whole. Choose another name for the "
                "search with --study; what is trained already is not trained again"
            ) from error
        return found

    def mend(self) -> None:
        """Remove what a killed search left half-written. Call it only within ``claim``."""
        try:
            content = self.trials_file.read_bytes()
        except FileNotFoundError:
            return
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.trials_file, whole)

    def append(self, trial: Trial) -> None:
        """Record a trial; when this returns, it is on the disk. Raises StoreError."""
        line = json.dumps(trial.to_json(), separators=(",", ":")) + "\n"
        try:
            is_new = not self.trials_file.exists()
            with self.trials_file.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                flush_names(self.path)
        except OSError as error:
            raise StoreError(f"{self.trials_file}: cannot be written ({error.strerror or error})") from error


class TrialNumbers:
    """Which trial a run of a study belongs to. Cheap to ask while the search goes on: only news are read."""

    def __init__(self, folder: SearchFolder) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}
        self._read_to = 0

    def of(self, run_id: str) -> int | None:
        """The number of the trial that asked for the run first; None for a run of no trial."""
        if run_id not in self._numbers:
            self._read_on()
        return self._numbers.get(run_id)

    def _read_on(self) -> None:
        try:
            with self._folder.trials_file.open("rb") as file:
                file.seek(self._read_to)
                content = file.read()
            whole = content.rfind(b"\n") + 1
            for line in content[:whole].splitlines():
                trial = _trial(line.decode("utf-8"))
                for run_id in trial.runs:
                    self._numbers.setdefault(run_id, trial.number)
            self._read_to += whole
        except (OSError, ValueError, RecursionError):  # damage is told by whoever goes on with the search
            return


def write_origin(store: Store, study: str, search: str) -> None:
    """Note that a study trains anew what a search has found. Raises StoreError."""
    file = _origin_file(store, study)
    try:
        make_folder(file.parent)
        write_json(file, {"search": search}, durable=True)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from error


def origin(store: Store, study: str) -> str | None:
    """The search whose best conditions a study trains anew; None for any other study."""
    try:
        content = read_json(_origin_file(store, study))
        return str(content["search"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _origin_file(store: Store, study: str) -> Path:
    return store.study_folder(study) / "origin.json"


def _trial(line: str) -> Trial:
    content = require(_Trial, json.loads(line))
    return Trial(**{**content, "after": tuple(content["after"]), "runs": tuple(content.get("runs", ()))})
