"""Text files of a data set, read whole."""

import codecs
from pathlib import Path

# What a byte order mark says of the text behind it. That of UTF-32 begins as that of UTF-16, so it is first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WHAT_TO_DO = "save it as UTF-8"


def read_text(file: Path, problems: list[str], name: str = "") -> str | None:
    """The text of a file without its byte order mark; None, and one problem more, if it has none.

    It is UTF-8 unless a mark says that it is UTF-16 or UTF-32. ``name`` is what a problem begins with, by
    default the file's.
    """
    name = name or file.name
    try:
        if file.exists() and not file.is_file():
            problems.append(f"{name}: not a file")
            return None
        return _decoded(file.read_bytes(), name, problems)
    except FileNotFoundError:
        problems.append(f"{name}: missing in {file.parent}")
    except OSError as error:
        problems.append(f"{name}: cannot be read: {error.strerror}")
    return None


def _decoded(content: bytes, name: str, problems: list[str]) -> str | None:
    mark, encoding = next((known for known in MARKS if content.startswith(known[0])), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        problems.append(_not_text(content[len(mark) :], encoding, error.start, name))
        return None
    if encoding == "utf-8" and 4 * text.count("\0") > len(text):
        problems.append(f"{name}: not UTF-8 text but perhaps UTF-16 without a byte order mark; {WHAT_TO_DO}")
        return None
    return text


def _not_text(content: bytes, encoding: str, place: int, name: str) -> str:
    """The sentence on bytes that are no text: where the first of them is, and what to do."""
    if encoding != "utf-8":
        return f"{name}: not the {encoding[:6].upper()} text that its first bytes promise; {WHAT_TO_DO}"
    line = content[:place].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    return f"{name}:{line}: not UTF-8 text (a byte {content[place]:#04x}); {WHAT_TO_DO}"
