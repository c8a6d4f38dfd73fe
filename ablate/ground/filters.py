"""The filter language of ``--where`` and ``--exclude``: which of many things a user means.

    grl_pos = S1 and (lambda in (0.1, 1) or name like 'shuffle=%') and not event_micro_f < 0.3

    expression = conjunction {"or" conjunction}
    conjunction = negation {"and" negation}
    negation = {"not"} (comparison | "(" expression ")")
    comparison = name operator value
               | name ["not"] "in" "(" value {"," value} ")"
               | name ["not"] "like" value
    operator = "=" | "==" | "!=" | "<" | "<=" | ">" | ">="

What can be a name, the caller says. A value is bare or quoted; quote it when it holds a space, a comma, a
parenthesis or an operator. Numbers compare as numbers (``lambda = 1`` finds 1.0), all else as text; ``<`` and
its kin compare numbers only. In ``like``, ``%`` stands for any text and ``_`` for any character. What lacks
the name matches ``!=``, ``not in`` and ``not like``, and nothing else.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.wording import nearest

Values = Mapping[str, Any]
Matches = Callable[[Values], bool]


MAX_DEPTH = 50  # of parentheses; far below Python's own limit on recursion
SHOWN = 60  # characters of the filter on each side of what is wrong in it

_TOKEN = re.compile(
    r"""\s*(?: (?P<text>'[^']*'|"[^"]*")
             | (?P<mark>==|!=|<=|>=|[=<>(),])
             | (?P<word>[^\s=!<>(),'"]+) )""",
    re.VERBOSE,
)
_KEYWORDS = ("and", "or", "not", "in", "like")
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS = ("=", "==", "!=", *_ORDER)


def parse(
    text: str, known: Sequence[str] | None = None, *, option: str = "--where", kinds: str = "a name"
) -> Matches:
    """A filter from its text. Names outside ``known`` are errors; with None, any name will do.

    Raises ConfigError that points at what is wrong: it begins with the ``option`` that the filter was given
    to, and calls by ``kinds`` what names are names of.
    """
    return _Parser(text, known, option, kinds).whole()


@dataclass(frozen=True)
class _Token:
    kind: str  # text, mark, word, keyword or end
    value: str
    position: int


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, text: str, known: Sequence[str] | None, option: str, kinds: str) -> None:
        self.text = text
        self.known = known
        self.option = option
        self.kinds = kinds
        self.tokens = self._tokens()
        self.next = 0
        self.depth = 0

    def whole(self) -> Matches:
        matches = self._expression()
        if self._peek().kind != "end":
            raise self._error("expected 'and', 'or' or the end", self._peek())
        return matches

    def _expression(self) -> Matches:
        parts = [self._conjunction()]
        while self._accept("keyword", "or"):
            parts.append(self._conjunction())
        return lambda values: any(part(values) for part in parts)

    def _conjunction(self) -> Matches:
        parts = [self._negation()]
        while self._accept("keyword", "and"):
            parts.append(self._negation())
        return lambda values: all(part(values) for part in parts)

    def _negation(self) -> Matches:
        wanted = True
        while self._accept("keyword", "not"):
            wanted = not wanted
        inner = self._group() if self._peek().value == "(" else self._comparison()
        return lambda values: inner(values) is wanted

    def _group(self) -> Matches:
        opening = self._take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses inside each other", opening)
        inner = self._expression()
        self.depth -= 1
        self._expect(")")
        return inner

    def _comparison(self) -> Matches:
        name = self._name()
        wanted = not self._accept("keyword", "not")
        if self._accept("keyword", "in"):
            test = _is_any_of(self._list())
        elif self._accept("keyword", "like"):
            test = _is_like(self._value("like"))
        elif wanted and self._peek().value in _OPERATORS and self._peek().kind == "mark":
            mark = self._take()
            test, wanted = self._operator(mark)
        else:
            rule = "an operator (= != < <= > >= in like)" if wanted else "'in' or 'like'"
            raise self._error(f"expected {rule} after '{brief(name)}'", self._peek())
        return lambda values: _holds(test, values.get(name)) is wanted

    def _operator(self, mark: _Token) -> tuple["_Test", bool]:
        token = self._peek()
        text = self._value(mark.value)
        if mark.value not in _ORDER:
            return _is_any_of([text]), mark.value != "!="
        bound = _number(text)
        if bound is None:
            raise self._error(f"'{mark.value}' compares numbers, and {shown(text)} is none", token)
        return _is_ordered(_ORDER[mark.value], bound), True

    def _name(self) -> str:
        token = self._take()
        if token.kind not in ("word", "text"):
            raise self._error(f"expected {self.kinds}", token)
        if self.known is not None and token.value not in self.known:
            raise self._error(f"unknown name '{brief(token.value)}'{nearest(token.value, self.known)}", token)
        return token.value

    def _list(self) -> list[str]:
        self._expect("(")
        values = [self._value("(")]
        while self._accept("mark", ","):
            values.append(self._value(","))
        self._expect(")")
        return values

    def _value(self, after: str) -> str:
        token = self._take()
        if token.kind not in ("word", "text"):
            hint = f" (quote it: '{token.value}')" if token.kind == "keyword" else ""
            raise self._error(f"expected a value after '{after}'{hint}", token)
        return token.value

    def _expect(self, mark: str) -> None:
        if not self._accept("mark", mark):
            raise self._error(f"expected '{mark}'", self._peek())

    def _accept(self, kind: str, value: str) -> bool:
        token = self._peek()
        if (token.kind, token.value) != (kind, value):
            return False
        self.next += 1
        return True

    def _take(self) -> _Token:
        token = self._peek()
        self.next = min(self.next + 1, len(self.tokens) - 1)  # the end stays the end
        return token

    def _peek(self) -> _Token:
        return self.tokens[self.next]

    def _tokens(self) -> list[_Token]:
        tokens = []
        position, end = 0, len(self.text.rstrip())
        while position < end:
            found = _TOKEN.match(self.text, position)
            if found is None:
                position += len(self.text[position:]) - len(self.text[position:].lstrip())
                character = self.text[position]
                problem = (
                    "a quote that is not closed" if character in "'\"" else f"'{character}' means nothing"
                )
                raise self._error(problem, _Token("mark", character, position))
            tokens.append(_token(found))
            position = found.end()
        return [*tokens, _Token("end", "", end)]

    def _error(self, problem: str, token: _Token) -> ConfigError:
        """The problem, and the filter around it in one line with a caret below the place."""
        start = max(0, token.position - SHOWN)
        part = self.text[start : token.position + SHOWN]
        line = "".join(character if character.isprintable() else " " for character in part)
        return ConfigError(f"{self.option}: {problem}\n  {line}\n  {' ' * (token.position - start)}^")


def _token(found: re.Match[str]) -> _Token:
    kind = str(found.lastgroup)
    value = found[kind]
    position = found.start(kind)
    if kind == "text":
        return _Token(kind, value[1:-1], position)
    if kind == "word" and value.lower() in _KEYWORDS:
        return _Token("keyword", value.lower(), position)
    return _Token(kind, value, position)


_Test = Callable[[Any], bool]


def _holds(test: _Test, value: Any) -> bool:
    return value is not None and test(value)


def _is_any_of(texts: Sequence[str]) -> _Test:
    return lambda value: any(_equal(value, text) for text in texts)


def _is_like(pattern: str) -> _Test:
    """What stands between two ``%`` is matched where it first can be, and never looked for again.

    That is enough, for what comes later then has the most room; going back would take endless time.
    """
    first, *others = (
        "".join("." if character == "_" else re.escape(character) for character in part)
        for part in pattern.split("%")
    )
    *between, last = others or [""]
    if others:
        first += "".join(f"(?>.*?{part})" for part in between) + f".*{last}"
    compiled = re.compile(first, re.DOTALL)
    return lambda value: compiled.fullmatch(str(value)) is not None


def _is_ordered(compare: Callable[[float, float], bool], bound: float) -> _Test:
    return lambda value: _is_number(value) and compare(value, bound)


def _equal(value: Any, text: str) -> bool:
    if _is_number(value):
        return bool(value == _number(text))
    return str(value).lower() == text.lower() if isinstance(value, bool) else str(value) == text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
