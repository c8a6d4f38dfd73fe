"""Which settings a training reads: one that is varied and never read changes nothing, which must be known."""

import contextlib
import copy
from abc import ABCMeta
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from ablate.subject.settings import SEED, Config, Settings

C = TypeVar("C", bound=Config)

# Where an object of pydantic's keeps its fields, past the property that notes who asks for them.
_FIELDS = BaseModel.__dict__["__dict__"]


def watched(config: C) -> tuple[C, set[str]]:
    """A configuration of the same type and values, and the set that fills with the dotted names read of it.

    A setting is read as an attribute, by ``get``, or all of a section at once by whatever copies it:
    ``model_dump``, ``flat``, ``override``, ``vars``, ``dict``, comparison, pickling; the copies are not
    watched. Printing is not reading. The first reading of a setting takes a microsecond, the others nothing.
    """
    seen: set[str] = set()
    return _watched(config, "", seen.add), seen


def unread(settings: Settings, seen: set[str]) -> tuple[str, ...]:
    """The settings that are not among those seen. The seed is read by the harness itself."""
    return tuple(name for name in settings.values if name != SEED and name not in seen)


class _Reading:
    """Stands before a field of one object until it is read for the first time."""

    def __init__(self, field: str, note: Callable[[], None]) -> None:
        self._field = field
        self._note = note

    def __get__(self, section: BaseModel | None, kind: type) -> Any:
        if section is None:
            raise AttributeError(self._field)
        self._note()
        with contextlib.suppress(AttributeError):  # another thread has read it just now
            delattr(kind, self._field)
        return _FIELDS.__get__(section)[self._field]

    def __set__(self, section: BaseModel, value: Any) -> None:  # without it, it would stand behind the field
        raise AttributeError(f"'{self._field}' is frozen")


S = TypeVar("S", bound=BaseModel)


def _watched(section: S, prefix: str, note: Callable[[str], Any]) -> S:
    """The section as an object of a class of its own, whose fields note that they are read."""
    kind = type(section)
    inner: dict[str, Any] = {}
    readings: dict[str, _Reading] = {}
    for field in kind.model_fields:
        value = getattr(section, field)
        if isinstance(value, BaseModel):
            inner[field] = _watched(value, f"{prefix}{field}.", note)
        else:
            readings[field] = _reading(field, prefix, note)

    def note_all() -> None:
        for field in readings:
            note(f"{prefix}{field}")
        for below in inner.values():
            below.__dict__  # noqa: B018 - notes what is below it

    def fields(self: Any) -> Any:
        note_all()
        return _FIELDS.__get__(self)

    def plain(_: Any, *__: Any) -> S:
        note_all()
        return section

    members = {
        "__slots__": (),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__dict__": property(fields),
        "__repr__": lambda _: repr(section),
        "__str__": lambda _: str(section),
        "__eq__": lambda self, other: bool(plain(self) == _unwatched(other)),
        "__hash__": lambda self: hash(plain(self)),
        "__copy__": plain,
        "__deepcopy__": plain,
        "__reduce_ex__": lambda self, _: (_same, (plain(self),)),
        "model_copy": lambda self, **options: plain(self).model_copy(**options),
        _PLAIN: plain,
    }
    # Not by pydantic's own way of making a class, which would build its validation once more.
    own = ABCMeta.__new__(type(kind), kind.__name__, (kind,), members)
    for field, reading in readings.items():
        setattr(own, field, reading)
    result = copy.copy(section)
    _FIELDS.__get__(result).update(inner)
    object.__setattr__(result, "__class__", own)
    return result


_PLAIN = "_ablate_plain"


def _reading(field: str, prefix: str, note: Callable[[str], Any]) -> _Reading:
    return _Reading(field, lambda: note(f"{prefix}{field}"))


def _unwatched(other: Any) -> Any:
    return getattr(other, _PLAIN)() if hasattr(type(other), _PLAIN) else other


def _same(section: S) -> S:
    """What a pickle of a watched section is read as."""
    return section
