"""The plan by which a study's claims are decided, frozen before the first look, and the looks since.

    <store>/studies/<study>/decision.json

A plan holds whatever decides how often it errs: claims with their margins, the conditions on either side by
their ids (and so every setting, the code and the data), the looks, the error rate and the levels. None of it
can change once a look was taken, or the error rate would be another one.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from ablate.ground.errors import StoreError
from ablate.ground.files import make_folder, read_json, write_json
from ablate.ground.records import Count, Moment, Number, Record, Text, require
from ablate.record.store import Store

SCHEMA = 1
FILE = "decision.json"

Method = Literal["group sequential", "anytime-valid"]
Ruling = Literal["supported", "refuted", "too small to matter", "undecided"]


class _Part(Record):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Comparison(_Part):
    """A difference of a claim: ``metric`` of ``better`` minus ``than`` of ``worse``, two conditions' ids."""

    better: Text
    worse: Text
    metric: Text
    than: Text


class PlannedClaim(_Part):
    """A claim as it is tested; how it is worded is no part of that."""

    id: Text
    margin: Number
    interest: Number | None
    comparisons: list[Comparison] = Field(min_length=1)

    @property
    def conditions(self) -> list[str]:
        """The ids of all its conditions, each once."""
        both = ((each.better, each.worse) for each in self.comparisons)
        return list(dict.fromkeys(chain.from_iterable(both)))


class Plan(_Part):
    """``looks`` are numbers of seeds, which begin at 0; ``levels`` the level of each by k (see ``Rule``).

    ``conditions`` maps the ids of conditions to their names.
    """

    study: Text
    data: Text
    method: Method
    error: Number
    looks: list[Count] = Field(min_length=1)
    claims: list[PlannedClaim] = Field(min_length=1)
    conditions: dict[Text, Text]
    levels: dict[Text, Number]

    @property
    def max_seeds(self) -> int:
        return self.looks[-1]

    @property
    def most_runs(self) -> int:
        return self.max_seeds * len(self.conditions)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything in it."""
        text = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def matches(self, other: "Plan") -> bool:
        """Whether both are the same but for their levels, which a simulation made of the rest."""
        return self.model_dump(exclude={"levels"}) == other.model_dump(exclude={"levels"})


class Interval(_Part):
    """A comparison at a look: the mean difference in the claim's favour and its repeated interval.

    ``low`` and ``high`` are None where nothing is bounded.
    """

    mean: Number
    low: Number | None
    high: Number | None


class Finding(_Part):
    """A claim at a look. ``waits_for`` names the seeds, by the id of their condition, that it lacks.

    Then nothing was tested, and ``p``, ``level`` and ``intervals`` are missing. ``is_skewed``: its
    differences are, so that the t test errs more often than it says. ``is_constant``: some are the same in
    every seed.
    """

    verdict: Ruling
    n: Count
    p: Number | None = None
    level: Number | None = None
    intervals: list[Interval] = Field(default_factory=list)
    is_skewed: bool = False
    is_constant: bool = False
    waits_for: dict[Text, list[Count]] = Field(default_factory=dict)


class Look(_Part):
    """The claims that were open at ``n`` seeds."""

    n: Count
    at: Moment
    claims: dict[Text, Finding]

    @property
    def is_complete(self) -> bool:
        return not any(finding.waits_for for finding in self.claims.values())


class _Content(_Part):
    schema_: int = Field(alias="schema")
    digest: Text
    frozen_at: Moment
    plan: Plan
    trained: dict[Text, Count]
    looked: list[Count]
    looks: list[Look]


@dataclass(frozen=True)
class Decision:
    """A plan and what came of it.

    ``trained`` is how many seeds of a condition, by its id, were trained when it was frozen, and ``looked``
    at which numbers of them differences had been shown before.
    """

    plan: Plan
    frozen_at: float
    trained: Mapping[str, int]
    looked: Sequence[int]
    looks: tuple[Look, ...] = ()

    def taken(self, n: int) -> Look | None:
        """The look at n seeds, if it was taken and lacked nothing."""
        return next((look for look in self.looks if look.n == n and look.is_complete), None)

    def latest(self) -> dict[str, Finding]:
        """Of each claim the last look at it."""
        return latest(self.looks)


def latest(looks: Sequence[Look]) -> dict[str, Finding]:
    """Of each claim the last finding."""
    return {claim: finding for look in looks for claim, finding in look.claims.items()}


def decision_file(store: Store, study: str) -> Path:
    return store.study_folder(study) / FILE


def read_decision(store: Store, study: str) -> Decision | None:
    """The study's decision; None when no plan was frozen. Raises StoreError when its record is damaged."""
    file = decision_file(store, study)
    try:
        content = _Content.model_validate(require(_Content, read_json(file)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{file}: {_DAMAGED} ({error})") from error
    if content.plan.digest != content.digest or content.schema_ != SCHEMA:
        raise StoreError(f"{file}: {_DAMAGED} (its plan is not the one that was frozen)")
    return Decision(content.plan, content.frozen_at, content.trained, content.looked, tuple(content.looks))


_DAMAGED = "is damaged; its plan and looks are lost unless there is a copy; move it away to freeze a new plan"


def write_decision(store: Store, decision: Decision) -> None:
    """Record a plan, or one more look. Raises StoreError when it cannot be written."""
    file = decision_file(store, decision.plan.study)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "digest": decision.plan.digest,
        "frozen_at": decision.frozen_at,
        "plan": decision.plan.model_dump(),
        "trained": dict(decision.trained),
        "looked": list(decision.looked),
        "looks": [look.model_dump() for look in decision.looks],
    }
    try:
        make_folder(file.parent)
        write_json(file, content, durable=True)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from error


def freeze(store: Store, decision: Decision) -> Decision:
    """Record a plan before its first look, unless another process has done so meanwhile; that one then."""
    with store.planning():
        found = read_decision(store, decision.plan.study)
        if found is None:
            write_decision(store, decision)
        return found or decision


def day(moment: float) -> str:
    """``2026-11-28``, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


# ---------------------------------------------------------------------------------- what has changed


def changes(frozen: Plan, asked: Plan) -> list[str]:
    """What of an asked plan is not as it was frozen, a few words each."""
    return [
        *_changed_options(frozen, asked),
        *_changed_claims(frozen, asked),
        *_changed_conditions(frozen, asked),
    ]


def _changed_options(frozen: Plan, asked: Plan) -> Iterator[str]:
    if frozen.max_seeds != asked.max_seeds:
        yield f"at most {asked.max_seeds} seeds instead of {frozen.max_seeds}"
    elif frozen.looks != asked.looks:
        yield f"looks at {listed(asked.looks)} seeds instead of {listed(frozen.looks)}"
    if frozen.error != asked.error:
        yield f"an error of {asked.error:g} instead of {frozen.error:g}"
    if frozen.method != asked.method:
        yield f"{asked.method} tests instead of {frozen.method} ones"


def listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _changed_claims(frozen: Plan, asked: Plan) -> Iterator[str]:
    before = {claim.id: claim for claim in frozen.claims}
    now = {claim.id: claim for claim in asked.claims}
    yield from (f"claim {name} is gone" for name in before if name not in now)
    yield from (f"claim {name} is new" for name in now if name not in before)
    for name in (name for name in now if name in before):
        old, new = before[name], now[name]
        for what in ("margin", "interest"):
            if getattr(old, what) != getattr(new, what):
                yield f"claim {name} has {what} {_number(new, what)} instead of {_number(old, what)}"
        if _by_name(frozen, old) != _by_name(asked, new):
            yield f"claim {name} compares something else"


def _number(claim: PlannedClaim, what: str) -> str:
    value = getattr(claim, what)
    return "none" if value is None else f"{value:g}"


def _by_name(plan: Plan, claim: PlannedClaim) -> list[tuple[str, ...]]:
    names = plan.conditions
    return [
        (names.get(each.better, ""), names.get(each.worse, ""), each.metric, each.than)
        for each in claim.comparisons
    ]


def _changed_conditions(frozen: Plan, asked: Plan) -> Iterator[str]:
    """Conditions of the same name that are another training: other data for all, or other settings."""
    if frozen.data != asked.data:
        yield "other data"
        return
    before = {name: identifier for identifier, name in frozen.conditions.items()}
    changed = [
        name for identifier, name in asked.conditions.items() if before.get(name, identifier) != identifier
    ]
    if changed:
        yield f"other settings or code of {', '.join(changed)}"
