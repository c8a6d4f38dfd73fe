"""A study file as text: its values, the line of each, and everything that is wrong with it."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from ablate.design.tomllines import Keys, key_lines, line_of
from ablate.ground.errors import AblateError, ConfigError, brief, shown
from ablate.ground.wording import suggest
from ablate.subject.factors import Factor, Factors
from ablate.subject.interface import Subject

# A study file is a page; these bound the time and the memory that reading one can take.
LARGEST_BYTES = 1_000_000
DEEPEST = 20  # tables and lists inside each other
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but tab and line feed
_LONG_KEY = re.compile(r"""(?:[\w"'-]{1,100}+[ \t]*+\.[ \t]*+){50}""")


@dataclass(frozen=True)
class Document:
    """A TOML file's content, and the line of each of its keys."""

    path: Path
    content: Mapping[str, Any]
    lines: Mapping[Keys, int]

    def line(self, at: Keys) -> int:
        return line_of(self.lines, at) or 1

    def located(self, at: Keys, sentence: str) -> str:
        return f"{self.path}:{self.line(at)}: {sentence}"


def read_document(path: Path) -> Document:
    """A TOML file with the lines of its keys. Raises ConfigError when it cannot be read or is no TOML."""
    text = _read_text(path)
    if _LONG_KEY.search(text):
        raise ConfigError(f"{path}: a key of more than 50 parts")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except ValueError as error:  # Python reads no integers of more than 4300 digits
        raise ConfigError(f"{path}: holds a number that is too long") from error
    except RecursionError:
        raise ConfigError(f"{path}: lists or tables are nested too deep") from None
    _check_values(path, content)
    return Document(path, content, key_lines(text))


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ConfigError(f"study file {path}: larger than {LARGEST_BYTES // 1000} kB, so it is none")
        return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ConfigError(f"study file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"study file {path}: not UTF-8 text ({error})") from error


def _check_values(path: Path, content: Mapping[str, Any]) -> None:
    """Raises ConfigError for what Python's parser lets through and nothing here can use."""
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ConfigError(f"{path}: holds an integer of more than 64 bits")
        nodes = [list(value.values()) if isinstance(value, dict) else value for value in level]
        level = [inner for node in nodes if isinstance(node, list) for inner in node]
    if level:
        raise ConfigError(f"{path}: more than {DEEPEST} lists or tables inside each other")


class Page:
    """A study file being checked: typed access to its values, and what was found so far: problems,
    and what the data must have."""

    def __init__(self, document: Document, top_keys: Sequence[str]) -> None:
        self.document = document
        self.top_keys = top_keys
        self._expected: list[tuple[int, Any]] = []
        self._problems: list[tuple[int, str]] = []

    def problem(self, at: Keys, sentence: str) -> None:
        self._problems.append((self.document.line(at), self.document.located(at, sentence)))

    @contextmanager
    def blaming(self, at: Keys) -> Iterator[None]:
        """Problems raised inside are those of the value at ``at``."""
        try:
            yield
        except AblateError as error:
            for sentence in error.problems:
                self.problem(at, sentence)

    @property
    def has_problems(self) -> bool:
        return bool(self._problems)

    def add_located(self, error: AblateError) -> None:
        """Problems that name their file and line already."""
        for sentence in error.problems:
            line = sentence.removeprefix(f"{self.document.path}:").partition(":")[0]
            self._problems.append((int(line) if line.isdigit() else 0, sentence))

    def raise_problems(self) -> None:
        """Raises ConfigError with all problems, in the order of their lines."""
        if self._problems:
            raise ConfigError([sentence for _, sentence in sorted(self._problems, key=lambda each: each[0])])

    def value(self, at: Keys, default: Any = None) -> Any:
        node: Any = self.document.content
        for key in at:
            known = isinstance(node, dict) and key in node
            if not known and not (isinstance(node, list) and isinstance(key, int) and key < len(node)):
                return default
            node = node[key]
        return node

    def typed(self, at: Keys, kind: type | UnionType, what: str, default: Any) -> Any:
        """The value if it is of ``kind``; else ``default``, with a problem when there is one of another."""
        found = self.value(at)
        if found is None:
            return default
        if not isinstance(found, kind) or isinstance(found, bool):
            self.problem(at, f"{brief(str(at[-1]))} = {shown(found)}: should be {what}")
            return default
        return found

    def text(self, at: Keys) -> str:
        found = str(self.typed(at, str, 'text in "quotes"', ""))
        if _CONTROL.search(found):
            self.problem(at, f"{brief(str(at[-1]))} = {shown(found)}: holds a control character")
            return ""
        return found

    def table(self, at: Keys) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.typed(at, dict, 'a table, such as { grl_pos = "S1" }', {})
        return found

    def texts(self, at: Keys) -> tuple[str, ...]:
        """A text, or a list of texts."""
        found = self.value(at)
        if found is None:
            return ()
        items = found if isinstance(found, list) else [found]
        if not all(isinstance(item, str) for item in items):
            self.problem(
                at, f'{brief(str(at[-1]))} = {shown(found)}: should be text in "quotes", or a list of such'
            )
            return ()
        return tuple(items)

    def check_keys(self, at: Keys, known: Sequence[str]) -> None:
        found = self.document.content if not at else self.table(at)
        for key in found:
            if key not in known:
                self.problem((*at, key), f"unknown key '{brief(key)}'{self._hint(at, key, known)}")

    def factor(self, at: Keys, name: str, known: Factors) -> Factor | None:
        """The factor of a name; None, with a problem, for what is none or must not be varied here."""
        if name == "seed":
            self.problem(at, "the seed is not varied here; write seeds = 5 or seeds = [0, 1] at the top")
        elif name in known or name in known.settings:
            return known.find(name)
        else:
            names = [*known, *known.settings]
            self.problem(at, f"unknown factor '{brief(name)}'{self._hint(at, name, names)}")
        return None

    def _hint(self, at: Keys, name: str, known: Sequence[str]) -> str:
        """What may have been meant by an unknown name: TOML puts what follows a [section] into it."""
        if at and name in self.top_keys:
            return f"; '{name}' of the study stands above the first [section]"
        return suggest(name, known)

    def level(self, at: Keys, factor: Factor, value: Any, subject: Subject) -> Any:
        """A level of a factor; None, with a problem, for what is none."""
        if isinstance(value, dict | list):
            self.problem(at, f"factor '{factor.name}': {shown(value)} should be a single level")
            return None
        try:
            level = subject.known_factors.parse(factor, spelled(value))
        except ConfigError as error:
            for sentence in error.problems:
                self.problem(at, sentence)
            return None
        self._expect(at, subject.expects(self._place(at), field=factor.field, level=level))
        return level

    def metric(self, at: Keys, name: str, subject: Subject) -> None:
        """The name of a metric; a problem for what is none whatever the data."""
        hint = subject.unknown_metric(name)
        if hint is None:
            self._expect(at, subject.expects(self._place(at), metric=name))
        else:
            self.problem(at, f"unknown metric '{brief(name)}'{hint}")

    @property
    def expected(self) -> tuple[Any, ...]:
        """What the data must have for what the file names, in the order of its lines."""
        return tuple(each for _, each in sorted(self._expected, key=lambda each: each[0]))

    def _expect(self, at: Keys, found: Sequence[Any]) -> None:
        self._expected += [(self.document.line(at), each) for each in found]

    def _place(self, at: Keys) -> str:
        """File, line and key, such as ``mine.toml:7: claims.C1.metric``."""
        return self.document.located(at, brief(".".join(key for key in at if isinstance(key, str))))


def spelled(value: Any) -> str:
    """A value as one types it at a prompt."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def flat(values: Mapping[str, Any], at: Keys) -> Iterator[tuple[str, Keys, Any]]:
    """Each value with its dotted name and its keys, so that ``optim.lr = 1`` needs no quotes."""

    def walk(node: Mapping[str, Any], prefix: str, keys: Keys) -> Iterator[tuple[str, Keys, Any]]:
        for key, value in node.items():
            if isinstance(value, dict) and value:
                yield from walk(value, f"{prefix}{key}.", (*keys, key))
            else:
                yield f"{prefix}{key}", (*keys, key), value

    return walk(values, "", at)
