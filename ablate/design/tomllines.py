"""On which line of a TOML text each key stands. The standard library's parser keeps no positions."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Keys = tuple[str | int, ...]

# What decides where a statement of a valid TOML text ends: strings and comments, which hide all else,
# brackets, and line ends.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"""+ | \'\'\'.*?\'\'\'+ | "(?:\\.|[^"\\])*" | '[^']*' | \#[^\n]* | [][{}\n]''',
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[Keys, int]:
    """The line, from 1, of every key of a valid TOML text; ``("claims", "C1", "metric")`` -> 12.

    Elements of arrays have their place as the last part of the path. What a statement of several lines holds
    is said to stand on its first line.
    """
    lines: dict[Keys, int] = {}
    arrays: dict[Keys, int] = {}  # arrays of tables, with the index of their last table
    table: Keys = ()
    for number, statement in _statements(text):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(content, statement.lstrip().startswith("[["), arrays)
            lines[table] = number
        else:
            for path in _paths(content):
                lines.setdefault(table + path, number)
    return lines


def line_of(lines: Mapping[Keys, int], path: Keys) -> int | None:
    """The line of a path or, where it has none, of the nearest path above it."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header or assignment with its first line. It ends with the first line end outside of brackets."""
    start, first, number, depth = 0, 1, 1, 0
    for token in _TOKEN.finditer(text + "\n"):
        number += token[0].count("\n")
        depth += (token[0] in ("[", "{")) - (token[0] in ("]", "}"))
        if token[0] == "\n" and depth == 0:
            statement = text[start : token.end()]
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield first, statement
            start, first = token.end(), number


def _header(content: dict[str, Any], is_array: bool, arrays: dict[Keys, int]) -> Keys:
    """The path of the table that a header opens, with the index of each array of tables on the way."""
    path: Keys = ()
    node: Any = content
    while isinstance(node, dict) and node:
        ((key, node),) = node.items()
        path = (*path, key)
        last = not (isinstance(node, dict) and node)
        if last and is_array:
            arrays[path] = arrays.get(path, -1) + 1
        if path in arrays:
            path = (*path, arrays[path])
    return path


def _paths(content: Any, above: Keys = ()) -> Iterator[Keys]:
    """The path of every key and element below a value."""
    if isinstance(content, dict):
        items: Iterable[tuple[str | int, Any]] = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    else:
        return
    for key, value in items:
        yield (*above, key)
        yield from _paths(value, (*above, key))
