"""What the fuzz tests hand over: awkward texts, awkward JSON, and valid files with a few bytes changed."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"  # what once broke

TEXTS = (
    "",
    " ",
    "-",
    "..",
    "/",
    "\\",
    "none",
    "nan",
    "inf",
    "-inf",
    "-0",
    "1e309",
    "1_0",
    "0x1F",
    "٣",
    "１２",
    "1e-400",
    "9" * 30,
    "9" * 5000,
    "true",
    "null",
    "%",
    "%n%s",
    "a\x00b",
    "\x1b[31m",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "\ufeff",
    "\u202e",
    "e\u0301",
    "日本語",
    "\ud800",
    "x" * 3000,
    "../../etc/passwd",
    "C:\\Windows",
    "con",
    "{0}",
    "[bold]",
    "a=b",
    "a,b",
    "'",
    '"',
)
NUMBERS = (
    0,
    -1,
    1,
    2,
    2**31,
    2**63,
    2**64,
    10**30,
    10**400,
    -(10**400),
    0.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
)

texts = st.sampled_from(TEXTS) | st.text(max_size=20)
numbers = st.sampled_from(NUMBERS) | st.integers() | st.floats()
scalars = st.none() | st.booleans() | numbers | texts
# Python writes and reads NaN and infinity in JSON, so a file can hold them.
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=6,
)


def nested(depth: int) -> list[Any]:
    """A list in a list in a list, ``depth`` times."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


_CHUNKS = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc3", b"\r", b"\n", b"\t",
    b"\x1b[2J", b'"', b"'''", b"[[", b"]", b"{", b"}", b"=", b".", b",", b":", b"#", b"-", b"%", b"0",
    b"e5", b"nan", b"NaN", b"Infinity", b"1e999", b"9" * 40, b"true", b"null",
)  # fmt: skip


# One number decides all changes of a case: to draw each of them would take longer than most readers do.
_seeds = st.integers(0, 2**64 - 1)


def mutated(originals: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of some valid files, with up to six edits: bytes changed, cut out, put in, moved; or cut short."""
    return _seeds.map(lambda seed: _mutated(originals, Random(seed)))


def _mutated(originals: Sequence[bytes], draw: Random) -> bytes:
    content = bytearray(draw.choice(originals))
    for _ in range(draw.randint(1, 6)):
        at = draw.randint(0, len(content))
        length = draw.randint(0, draw.choice((12, 400)))
        edit = draw.choice(("put", "replace", "cut", "repeat", "flip", "end"))
        if edit == "put":
            content[at:at] = _chunk(draw)
        elif edit == "replace":
            content[at : at + length] = _chunk(draw)
        elif edit == "cut":
            del content[at : at + length]
        elif edit == "repeat":
            content[at:at] = content[at : at + length] * draw.randint(1, 4)
        elif edit == "flip" and at < len(content):
            content[at] ^= 1 << draw.randint(0, 7)
        elif edit == "end" and draw.randint(0, 3) == 0:
            del content[at:]
    return bytes(content)


def _chunk(draw: Random) -> bytes:
    return draw.choice(_CHUNKS) if draw.randint(0, 1) else draw.randbytes(draw.randint(0, 6))


def changed(original: Any) -> st.SearchStrategy[Any]:
    """A valid JSON value with one to three changes somewhere in it: a value, a key, an item more or less."""
    return _seeds.map(lambda seed: _changed(original, Random(seed)))


def _changed(value: Any, draw: Random) -> Any:
    for _ in range(draw.randint(1, 3)):
        value = _change(value, draw)
    return value


def _change(value: Any, draw: Random) -> Any:
    if isinstance(value, Mapping) and value and draw.randint(0, 9) > 0:
        key = draw.choice(sorted(value))
        kind = draw.randint(0, 9)
        if kind == 0:
            return {name: item for name, item in value.items() if name != key}
        if kind == 1:
            return {**value, _text(draw): _json_value(draw)}
        return {**value, key: _change(value[key], draw)}
    if isinstance(value, list) and value and draw.randint(0, 9) > 0:
        place = draw.randrange(len(value))
        kind = draw.randint(0, 9)
        if kind == 0:
            return value[:place] + value[place + 1 :]
        if kind == 1:
            return [*value, _json_value(draw)]
        return [*value[:place], _change(value[place], draw), *value[place + 1 :]]
    return _json_value(draw)


def _json_value(draw: Random, depth: int = 2) -> Any:
    kind = draw.randint(0, 7 if depth else 5)
    if kind == 6:
        return [_json_value(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    if kind == 7:
        return {_text(draw): _json_value(draw, depth - 1) for _ in range(draw.randint(0, 3))}
    if kind > 3:
        return _text(draw)
    return draw.choice((None, True, False)) if kind == 0 else _number(draw)


def _number(draw: Random) -> float:
    kind = draw.randint(0, 3)
    if kind == 0:
        return draw.randint(-1000, 1000)
    if kind == 1:
        (number,) = struct.unpack("d", draw.randbytes(8))  # any that there is
        return float(number)
    return draw.choice(NUMBERS)


def _text(draw: Random) -> str:
    if draw.randint(0, 2):
        return draw.choice(TEXTS)
    return "".join(
        chr(draw.choice((draw.randrange(128), draw.randrange(0x110000)))) for _ in range(draw.randint(0, 20))
    )
