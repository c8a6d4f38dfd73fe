"""What the fuzz tests hand over: awkward texts, awkward JSON, and valid files with a few bytes changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
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


@st.composite
def mutated(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """One of some valid files, with up to six edits: bytes changed, cut out, put in, moved; or cut short."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 12) | st.integers(0, 400))
        edit = draw(st.sampled_from(("put", "replace", "cut", "repeat", "flip", "end")))
        if edit == "put":
            content[at:at] = draw(st.sampled_from(_CHUNKS) | st.binary(max_size=6))
        elif edit == "replace":
            content[at : at + length] = draw(st.sampled_from(_CHUNKS) | st.binary(max_size=6))
        elif edit == "cut":
            del content[at : at + length]
        elif edit == "repeat":
            content[at:at] = content[at : at + length] * draw(st.integers(1, 4))
        elif edit == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif edit == "end" and draw(st.integers(0, 3)) == 0:
            del content[at:]
    return bytes(content)


@st.composite
def changed(draw: st.DrawFn, original: Any) -> Any:
    """A valid JSON value with one to three changes somewhere in it: a value, a key, an item more or less."""
    value = original
    for _ in range(draw(st.integers(1, 3))):
        value = _change(draw, value)
    return value


def _change(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, Mapping) and value and draw(st.integers(0, 9)) > 0:
        key = draw(st.sampled_from(sorted(value)))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            return {name: item for name, item in value.items() if name != key}
        if kind == 1:
            return {**value, draw(texts): draw(json_values)}
        return {**value, key: _change(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)) > 0:
        place = draw(st.integers(0, len(value) - 1))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            return value[:place] + value[place + 1 :]
        if kind == 1:
            return [*value, draw(json_values)]
        return [*value[:place], _change(draw, value[place]), *value[place + 1 :]]
    return draw(json_values)
