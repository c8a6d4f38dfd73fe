"""What decides the result of a run: a subject's typed configuration, and its plain form in records."""

import re
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.records import LARGEST_INTEGER
from ablate.ground.wording import suggest

SEED = "seed"
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are no UTF-8

Level = str | bool | int | float | None


class Section(BaseModel):
    """A group of settings within a configuration: ``optim`` in ``optim.lr``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Config(Section):
    """A subject's configuration: everything that decides the result of a run, and nothing else.

    Derive from it; each field is a setting, with a default. ``seed`` is there already: the replicate. Equal
    configurations on equal data are one run.
    """

    seed: int = Field(0, ge=0, lt=2**32, description="the replicate: what is random is drawn from it")

    def get(self, name: str) -> Any:
        """The value at a dotted name, such as ``optim.lr``."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def flat(self) -> dict[str, Any]:
        """Every scalar by its dotted name, in the order of definition, the seed last."""
        return {name: self.get(name) for name in fields_of(type(self))}

    def override(self, values: Mapping[str, Any]) -> Self:
        """A copy with the settings at the given dotted names replaced; strings are parsed by their types.

        Raises ConfigError that lists every unknown name and every bad value.
        """
        known = fields_of(type(self))
        problems = [
            f"unknown setting '{brief(name)}'{suggest(name, known)}" for name in values if name not in known
        ]
        tree = self.model_dump()
        for name, value in values.items():
            if name in known:
                *sections, leaf = name.split(".")
                node = tree
                for section in sections:
                    node = node[section]
                node[leaf] = value
        try:
            config = type(self).model_validate(tree)
        except ValidationError as error:
            problems += _sentences(error)
        else:
            problems += config._unrecordable([name for name in values if name in known])
        if problems:
            raise ConfigError(problems)
        return config

    def _unrecordable(self, names: Sequence[str]) -> Iterator[str]:
        """What no record can hold, a sentence each."""
        for name in names:
            value = self.get(name)
            if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
                yield f"{name} = {brief(str(value))}: a setting is at most {LARGEST_INTEGER:.0e}"
            if isinstance(value, str) and HALF_CHARACTER.search(value):
                yield f"{name} = {shown(value)}: not text that can be written"

    @property
    def help(self) -> dict[str, str]:
        """Every setting's dotted name, and what it is."""
        return {name: field.description or "" for name, field in fields_of(type(self)).items()}


def setting(default: Any, *, help: str = "", **bounds: Any) -> Any:
    """A field of a ``Config``: its default, what it is, and bounds such as ``gt=0`` (those of pydantic)."""
    return Field(default, description=help, **bounds)


@cache
def fields_of(kind: type[Config]) -> Mapping[str, FieldInfo]:
    """The fields of a configuration's type by dotted name, in the order of definition, the seed last."""
    found = dict(_fields(kind))
    return {**{name: field for name, field in found.items() if name != SEED}, SEED: found[SEED]}


def _fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _sentences(error: ValidationError) -> list[str]:
    return [_sentence(item) for item in error.errors()]


def _sentence(item: "ErrorDetails") -> str:
    if isinstance(item["input"], Mapping):  # of settings that do not go together, which the message names
        return str(item.get("ctx", {}).get("error", item["msg"]))
    return f"{'.'.join(str(part) for part in item['loc'])} = {shown(item['input'])}: {_lower(item['msg'])}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


@dataclass(frozen=True)
class Settings:
    """A configuration in its plain form, as records hold it: every setting by its dotted name.

    It can be read without the subject's code, which may have changed since or be gone.
    """

    values: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.values[SEED])

    def get(self, name: str) -> Any:
        return self.values[name]

    def flat(self) -> dict[str, Any]:
        return dict(self.values)

    def with_seed(self, seed: int) -> "Settings":
        return Settings(Seeded(self.values, seed))


class Seeded(Mapping[str, Any]):
    """Settings by name with a seed of their own. All else is shared by the runs of a condition: a plan holds
    thousands of these.
    """

    __slots__ = ("_others", "_seed")

    def __init__(self, values: Mapping[str, Any], seed: int) -> None:
        self._others: Mapping[str, Any] = values._others if isinstance(values, Seeded) else values
        self._seed = seed

    def __getitem__(self, name: str) -> Any:
        return self._seed if name == SEED else self._others[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)

    def __contains__(self, name: object) -> bool:
        return name in self._others

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def items(self) -> ItemsView[str, Any]:
        return {**self._others, SEED: self._seed}.items()
