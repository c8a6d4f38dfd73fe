"""Tables of results as other programs write them: CSV, Parquet, and the exports of W&B.

Every cell of a CSV file is kept as its text, so that whoever checks it can tell ``0,81`` from ``0.81``.
"""

import ast
import csv
import io
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ablate.ground.errors import DataError
from ablate.subject.levels import COMMA_NUMBER, NUMBER
from ablate.subject.sheet import Line, Sheet, places

DELIMITERS = (",", ";", "\t")
MOST_LINES = 100_000
MOST_TOLD = 20  # problems of one file
LARGEST_CELL = 10**7  # characters

# How W&B's table of runs says what became of them; its export has them in a column of this name.
STATE = "State"
STATES = frozenset(
    {"finished", "running", "crashed", "failed", "killed", "pending", "preempting", "preempted"}
)
# The columns of the table that W&B's guide to its export writes: each cell is a Python dictionary.
NESTED = ("config", "summary")


def read_sheet(source: str, decimal: str = ".") -> Sheet:
    """The table in a file. Rows are numbered as a spreadsheet does: the one with the column names is row 1.

    ``decimal`` is the sign before the decimals of a CSV file. Rows of an export of W&B whose run has not
    finished are left out, and so are rows without any cell.

    Raises DataError that names every malformed row.
    """
    path = Path(source)
    content = _content(path)
    if content.startswith(b"PAR1"):
        columns, rows = _parquet(path)
    elif content.startswith(b"PK"):
        raise DataError(f"{path} is a spreadsheet; save it as CSV UTF-8 and import that")
    else:
        columns, rows = _csv(path, content, decimal)
    if not rows:
        raise DataError(f"{path}: no row of results below the names of the columns")
    if len(rows) > MOST_LINES:
        raise DataError(f"{path}: {len(rows):,} rows are more than the {MOST_LINES:,} runs of a study")
    lines = [Line(place, cells, _seconds(cells)) for place, cells in rows]
    return _finished(_flat(Sheet(source, path.name, tuple(columns), tuple(lines))))


Rows = list[tuple[str, dict[str, Any]]]  # place, cells


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name a CSV or Parquet file, or mlflow:EXPERIMENT") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _text(path: Path, content: bytes) -> str:
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, row {row}: not UTF-8 text; save it as CSV UTF-8") from None
    if "\0" in text:
        raise DataError(f"{path}: not a table of text; name a CSV or Parquet file")
    return text


def _csv(path: Path, content: bytes, decimal: str) -> tuple[list[str], Rows]:
    text = _text(path, content)
    csv.field_size_limit(LARGEST_CELL)
    found: list[list[str]] = []
    try:
        found.extend(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, row {len(found) + 1}: not a row of a CSV file ({error})") from None
    if not found or not any(found[0]):
        raise DataError(f"{path}: the first row must name the columns; it is empty")
    columns = _names(path, found[0])
    rows: Rows = []
    problems: list[str] = []
    for number, cells in enumerate(found[1:], 2):
        texts = [cell.strip() for cell in cells]
        if not any(texts):
            continue
        if len(texts) != len(columns):
            problems.append(
                f"{path}, row {number}: {len(texts)} cells below {len(columns)} column names; quote cells "
                "that contain the separator"
            )
            continue
        values = [_with_point(cell, decimal) or None for cell in texts]
        rows.append((f"row {number}", dict(zip(columns, values, strict=True))))
    if problems:
        raise DataError(some(problems))
    return columns, rows


def _delimiter(text: str) -> str:
    """The separator that divides the first row into the most cells."""

    def n_cells(sign: str) -> int:
        return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=sign), []))

    return max(DELIMITERS, key=n_cells)


def _with_point(cell: str, decimal: str) -> str:
    return cell.replace(",", ".") if decimal == "," and COMMA_NUMBER.fullmatch(cell) else cell


def _names(path: Path, cells: Sequence[str]) -> list[str]:
    """The columns' names; one without, as pandas writes for its index, is called by its place."""
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
    if all(NUMBER.fullmatch(name) for name in names):
        raise DataError(f"{path}: the first row must name the columns; it has only numbers")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DataError([f"{path}, row 1: {names.count(name)} columns are called '{name}'" for name in twice])
    return names


def _parquet(path: Path) -> tuple[list[str], Rows]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(
            f"{path}: Parquet files are read by pyarrow, which is not installed; "
            "`pip install pyarrow`, or save it as CSV"
        ) from None
    try:
        table = parquet.read_table(path)
        columns, found = list(table.column_names), table.to_pylist()
    except Exception as error:  # pyarrow has its own tree of errors
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error
    rows = [
        (f"row {number}", {name: _plain(cell) for name, cell in cells.items()})
        for number, cells in enumerate(found, 2)
    ]
    return _names(path, columns), [row for row in rows if any(cell is not None for cell in row[1].values())]


def _plain(cell: Any) -> Any:
    """A cell of a typed table as text, a number or None."""
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if cell is None or isinstance(cell, (bool, int, float, dict)):
        return cell
    return str(cell).strip() or None


# ---------------------------------------------------------------------------------------------- W&B's exports


def _flat(sheet: Sheet) -> Sheet:
    """With a column for each entry of cells that hold a dictionary: ``config.lr``, ``summary.accuracy``."""
    nested = [name for name in NESTED if name in sheet.columns]
    parsed = [{name: _entries(line.cells[name]) for name in nested} for line in sheet.lines]
    nested = [name for name in nested if all(each[name] is not None for each in parsed)]
    if not nested:
        return sheet
    lines = []
    columns = dict.fromkeys(name for name in sheet.columns if name not in nested)
    for line, entries in zip(sheet.lines, parsed, strict=True):
        cells = {name: cell for name, cell in line.cells.items() if name not in nested}
        for name in nested:
            cells |= {f"{name}.{key}": _plain(value) for key, value in (entries[name] or {}).items()}
        columns |= dict.fromkeys(cells)
        lines.append(Line(line.place, cells, _seconds(cells)))
    return Sheet(sheet.source, sheet.name, tuple(columns), tuple(lines), sheet.notes)


def _entries(cell: Any) -> Mapping[str, Any] | None:
    """The dictionary that a cell holds, as a value or as Python writes it."""
    if cell is None or isinstance(cell, dict):
        return cell or {}
    try:
        value = ast.literal_eval(cell.replace(": nan", ": None"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finished(sheet: Sheet) -> Sheet:
    """Without the rows of runs that had not finished when W&B exported them."""
    states = set(map(str, sheet.column(STATE)))
    if not states or not states <= STATES:
        return sheet
    kept = [line for line in sheet.lines if line.cells[STATE] == "finished"]
    left = [line.place for line in sheet.lines if line.cells[STATE] != "finished"]
    if not left:
        return sheet
    others = ", ".join(sorted(states - {"finished"}))
    if not kept:
        raise DataError(f"{sheet.name}: no run has finished (column '{STATE}': {others})")
    note = f"{places(left)} left out: their runs have not finished (column '{STATE}': {others})"
    return Sheet(sheet.source, sheet.name, sheet.columns, tuple(kept), (*sheet.notes, note))


def _seconds(cells: Mapping[str, Any]) -> float | None:
    """What a run of an export of W&B took."""
    for name in ("Runtime", "summary._runtime"):
        cell = cells.get(name)
        if cell is not None and NUMBER.fullmatch(str(cell)):
            return max(0.0, float(cell))
    return None


def some(problems: Sequence[str]) -> list[str]:
    """No more problems than can be read, and how many more there are."""
    n_more = len(problems) - MOST_TOLD
    return [*problems[:MOST_TOLD], *([f"and {n_more} more of the kind"] if n_more > 0 else [])]
