"""What a program says of its training: curves in the lines that it prints, and results at the end."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TextIO

from pydantic import ConfigDict

from ablate.ground.errors import AblateError, brief, shown
from ablate.ground.failures import Failure
from ablate.ground.files import write_text
from ablate.ground.records import LARGEST, Count, Measured, Number, Record, require
from ablate.subject.interface import Row
from ablate.subject.metrics import Metric
from ablate.subject.scores import Matrix, Scores, Table

ROWS_AT_FULL_RATE = 2_000  # of a run; after as many, every second one is kept, then every fourth, ...
LINES_AT_FULL_RATE = 10_000  # that are kept for a next attempt; after as many, one every KEEP_EVERY_S
KEEP_EVERY_S = 1.0
RESULT_BYTES = 64 << 20
LONGEST_FACT = 200
MOST_NAMED = 12

# "epoch 3/10", "Epoch: 3", "[step=300]", "epoch [3/10]"
COUNTER = re.compile(r"(?<![A-Za-z])(epoch|step)s?[\s:=#\[(]{0,4}(\d{1,15})", re.IGNORECASE)
COUNTERS = ("epoch", "step")
NO_CURVES = (*COUNTERS, "seconds")  # which is measured
NO_METRICS = COUNTERS  # unless they are asked for


class ScriptFailed(AblateError):
    """The program did not end well, or did not say what it was asked for.

    ``failure`` is what its end and its last words say beside that, where it did not end well. ``no_memory``:
    it may need more memory than there is beside other runs.
    """

    def __init__(
        self, problems: str | Sequence[str], *, no_memory: bool = False, failure: Failure | None = None
    ) -> None:
        super().__init__(problems)
        self.no_memory = no_memory
        self.failure = failure


# --------------------------------------------------------------------------------------------------- curves


class Curves:
    """The rows of a run's epochs, from what lines say of each.

    An epoch's row is handed on when the next begins. It is in ``file`` as soon as it is said: when the
    program is started again after an interruption, the epochs before the first one that it trains stay.
    ``start`` gets these before ``report`` gets a first row. Times are seconds of one clock, ``now`` when the
    program began.
    """

    def __init__(
        self, file: Path, start: Callable[[Sequence[Row]], None], report: Callable[[Row], None], now: float
    ) -> None:
        self._path = file
        self._start = start
        self._report = report
        self._earlier: list[dict[str, Any]] | None = read_rows(file)
        self._file: TextIO | None = None
        self._unit: str | None = None
        self._row: dict[str, Any] | None = None
        self._n_rows = self._n_reported = self._n_kept = 0
        self._kept_at = now
        self._row_began = now
        self.n_disordered = 0  # lines of an epoch before the one at hand, which are no part of a curve
        if not self._earlier:
            self._go_on_from(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def ended_at(self) -> float:
        """The time of the last row that was handed on, or of the beginning."""
        return self._row_began

    def add(self, unit: str, number: int, values: Mapping[str, float], now: float) -> None:
        """What a line says of ``epoch`` or ``step`` ``number``.

        The first line decides which of the two the rows are. Where they are steps, what is said of an epoch
        belongs to the last step.
        """
        self._unit = self._unit or unit
        if self._earlier is not None:
            self._go_on_from(number)
        if unit != self._unit:
            if unit == "step" or self._row is None:
                return
            number = self._row["epoch"]
        if self._row is not None and number < self._row["epoch"]:
            self.n_disordered += 1
            return
        if self._row is None or number > self._row["epoch"]:
            self._hand_on()
            self._row = {"epoch": number, "seconds": 0.0}
        self._row.update(values)
        self._row["seconds"] = now - self._row_began
        if self._n_kept < LINES_AT_FULL_RATE or now - self._kept_at >= KEEP_EVERY_S:
            self._keep(self._row, now)

    def end(self, *, finished: bool) -> None:
        """There are no more lines. A run that finished without a new one keeps the rows that it had."""
        if self._earlier is not None and finished:
            self._go_on_from(None)
        self._hand_on(last=True)

    def _go_on_from(self, first: int | None) -> None:
        earlier = [row for row in self._earlier or () if first is None or row["epoch"] < first]
        self._earlier = None
        self._n_rows = self._n_reported = len(earlier)
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in earlier))
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._start(earlier)

    def _keep(self, row: Row, now: float) -> None:
        assert self._file is not None
        self._file.write(json.dumps(row) + "\n")
        self._n_kept += 1
        self._kept_at = now

    def _hand_on(self, *, last: bool = False) -> None:
        if self._row is None:
            return
        self._n_rows += 1
        if last or self._n_rows % 2 ** (self._n_reported // ROWS_AT_FULL_RATE) == 0:
            self._n_reported += 1
            self._row_began += self._row["seconds"]
            self._report(self._row)
        self._row = None


class _Row(Record):
    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Measured]

    epoch: Count
    seconds: Number


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows that an earlier attempt kept, each epoch's last state; what is damaged ends them."""
    rows: dict[int, dict[str, Any]] = {}
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = require(_Row, json.loads(line))
            rows[row["epoch"]] = row
    except (OSError, ValueError, RecursionError):
        pass
    return [rows[epoch] for epoch in sorted(rows)]


class Printed:
    """Reads the lines of a program's output: what they say of epochs, of results, and of asked metrics.

    A line that is a JSON object and has an ``epoch`` or a ``step`` is one of the curves. So is one that
    matches the pattern of a metric, where it has such a word and a number.
    """

    def __init__(self, patterns: Mapping[str, re.Pattern[str]], curves: Curves) -> None:
        self._patterns = patterns
        self._curves = curves
        self.last_object: dict[str, Any] | None = None
        self.matches: dict[str, str] = {}  # metric -> the last text that its pattern found

    def take(self, line: str, now: float) -> None:
        text = line.strip()
        if text.startswith("{") and text.endswith("}"):
            self._take_object(text, now)
        found = {name: _last_match(pattern, line) for name, pattern in self._patterns.items()}
        matches = {name: match for name, match in found.items() if match is not None}
        if not matches:
            return
        self.matches.update(matches)
        counted = COUNTER.search(line)
        numbers = {
            name: number for name, text in matches.items() if (number := read_number(text)) is not None
        }
        if counted and numbers:
            unit = counted[1].lower()
            self._curves.add(unit, int(counted[2]), _drawable(numbers), now)

    def _take_object(self, text: str, now: float) -> None:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return
        self.last_object = found
        for unit in COUNTERS:
            number = found.get(unit)
            if _is_usable(number) and number == int(number) and 0 <= number < 10**15:
                values = {name: value for name, value in found.items() if name not in NO_CURVES}
                numbers = {_plain(name): float(value) for name, value in values.items() if _is_number(value)}
                if numbers:
                    self._curves.add(unit, int(number), _drawable(numbers), now)
                return


def _last_match(pattern: re.Pattern[str], line: str) -> str | None:
    found = None
    for found in pattern.finditer(line):  # noqa: B007 - the last one counts
        pass
    return found[1] if found else None


def read_number(text: str | None) -> float | None:
    """The number that a pattern found, which may have taken a full stop or a comma with it."""
    try:
        return float((text or "").rstrip(".,;:"))
    except ValueError:
        return None


def _drawable(numbers: Mapping[str, float]) -> dict[str, float]:
    return {
        name: math.copysign(math.inf, number) if abs(number) > LARGEST else number
        for name, number in numbers.items()
    }


def _is_number(value: Any) -> bool:
    """Whether a value from JSON is a number: not a truth value, nor an integer that no float can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**300
    return isinstance(value, float)


def _plain(name: str) -> str:
    """A name as trackers accept it: letters, digits, ``_ - .`` and blanks, and ``/`` between parts."""
    parts = (re.sub(r"[^\w.\- ]+", "_", part).strip() for part in name.split("/"))
    return "/".join(part for part in parts if part.strip(".")) or "_"


# -------------------------------------------------------------------------------------------------- results


class Source(NamedTuple):
    """Results that a program gave, and where: "the last JSON object that train.py printed"."""

    where: str
    content: Mapping[str, Any]


def results_of(file: Path, printed: Printed, label: str) -> Source:
    """What the program wrote to its file of results, else the last JSON object that it printed.

    Raises ScriptFailed when the file is no JSON object, or far too large.
    """
    try:
        size = file.stat().st_size
        if size > RESULT_BYTES:
            raise ScriptFailed(
                f"the results that {label} wrote to $ABLATE_RESULT are {size:,} bytes; write numbers there, "
                "and what is large to a file in $ABLATE_FOLDER"
            )
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        where = f"the last JSON object that {label} printed"
        if printed.last_object is None:
            where = f"the output of {label}, which printed no JSON object and wrote none to $ABLATE_RESULT"
        return Source(where, printed.last_object or {})
    except (OSError, ValueError) as error:
        raise ScriptFailed(f"the results that {label} wrote cannot be read: {error}") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScriptFailed(
            f"the results that {label} wrote to $ABLATE_RESULT are not JSON: {error}"
        ) from None
    if not isinstance(content, dict):
        raise ScriptFailed(
            f"the results that {label} wrote to $ABLATE_RESULT are {shown(content)}; write an object, such "
            'as {"accuracy": 0.9}'
        )
    return Source(f"the results that {label} wrote to $ABLATE_RESULT", content)


def scores_of(
    source: Source, printed: Printed, metrics: Sequence[Metric], patterns: Mapping[str, re.Pattern[str]]
) -> Scores:
    """The scores of a run. Raises ScriptFailed that says which metric is missing or no finite number."""
    problems: list[str] = []
    values: dict[str, Any] = {
        _plain(name): float(value) if _is_usable(value) else None
        for name, value in source.content.items()
        if name not in NO_METRICS and (value is None or _is_number(value))
    }
    for metric in metrics:
        try:
            if metric.name in patterns:
                values[metric.name] = _matched(metric.name, printed.matches.get(metric.name), patterns)
            else:
                values.update(_asked(metric, source))
        except ScriptFailed as error:
            problems += error.problems
    if not metrics:
        problems += _problems_of_all(source)
    pictured: dict[str, Any] = {}
    for name, read in (("matrices", _matrix), ("tables", _table)):
        try:
            pictured.update(_each(source, name, read))
        except ScriptFailed as error:
            problems += error.problems
    if problems:
        raise ScriptFailed(problems)
    return Scores({**values, **pictured}, facts=_facts(source.content))


def _is_usable(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and abs(value) <= LARGEST


def _asked(metric: Metric, source: Source) -> dict[str, float]:
    """An asked metric's value, or those of its family."""
    numbers = dict(_nested(source.content))
    names = [metric.name]
    if metric.is_family:
        names = [name for name in numbers if name.startswith(metric.name[:-1])]
    if not names or any(name not in numbers for name in names):
        has = [name for name, value in numbers.items() if _is_number(value)]
        there = f"; it has {_some(has)}" if has else ""
        raise ScriptFailed(f"metric '{metric.name}' is not in {source.where}{there}")
    for name in names:
        if not _is_usable(numbers[name]):
            raise ScriptFailed(
                f"metric '{name}' is {shown(numbers[name])} in {source.where}, which is no finite number"
            )
    return {_plain(name): float(numbers[name]) for name in names}


def _matched(name: str, text: str | None, patterns: Mapping[str, re.Pattern[str]]) -> float:
    pattern = brief(patterns[name].pattern)
    if text is None:
        raise ScriptFailed(f"metric '{name}': no line of the output matches its pattern {pattern}")
    number = read_number(text)
    if number is None or not _is_usable(number):
        raise ScriptFailed(
            f"metric '{name}' is {shown(text)} in the last line that matches its pattern {pattern}, which is "
            "no finite number"
        )
    return number


def _problems_of_all(source: Source) -> Iterator[str]:
    """Where no metric was asked for: there must be one, and all must be finite."""
    found = {
        name: value for name, value in source.content.items() if _is_number(value) and name not in NO_METRICS
    }
    if not found:
        yield (
            f"no metric was found in {source.where}; write them as JSON to $ABLATE_RESULT or to a last line "
            "of the output, or say how to find them: --metric 'loss:min=train loss ([0-9.]+)'"
        )
    for name, value in found.items():
        if not _is_usable(value):
            yield f"metric '{name}' is {shown(value)} in {source.where}, which is no finite number"


def _nested(content: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Values by name, those within objects as ``outer/inner``."""
    for name, value in content.items():
        if isinstance(value, dict) and depth < 4:
            yield from _nested(value, f"{prefix}{name}/", depth + 1)
        else:
            yield f"{prefix}{name}", value


def _facts(content: Mapping[str, Any]) -> dict[str, Any]:
    """Texts and truth values beside the numbers."""
    return {
        _plain(name): value
        for name, value in content.items()
        if isinstance(value, bool) or (isinstance(value, str) and len(value) <= LONGEST_FACT)
    }


def _each(source: Source, kind: str, read: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
    """The matrices or the tables of results. Raises ScriptFailed for what is none."""
    content = source.content.get(kind)
    if content is None or _is_number(content):
        return
    if not isinstance(content, dict):
        raise ScriptFailed(
            f"'{kind}' in {source.where} is {shown(content)}; write an object: name -> content"
        )
    for name, each in content.items():
        try:
            yield _plain(name), read(each)
        except (TypeError, ValueError, KeyError, OverflowError):
            raise ScriptFailed(
                f"'{name}' of the {kind} in {source.where} is none; write {FORMS[kind]}"
            ) from None


FORMS = {
    "matrices": '{"rows": ["a", "b"], "columns": ["a", "b"], "counts": [[5, 1], [0, 6]]}',
    "tables": '{"columns": ["class", "F"], "rows": [["a", 0.9], ["b", 0.8]]}',
}


def _matrix(content: Any) -> Matrix:
    rows = [str(label) for label in content["rows"]]
    columns = [str(label) for label in content.get("columns", rows)]
    counts = [[int(count) for count in row] for row in content["counts"]]
    right = [len(row) for row in counts] == [len(columns)] * len(rows)
    if not right or any(count < 0 for row in counts for count in row):
        raise ValueError("not a count for each row and column")
    return Matrix(rows, counts, columns)


def _table(content: Any) -> Table:
    columns = [str(label) for label in content["columns"]]
    rows = [list(row) for row in content["rows"]]
    cells = [cell for row in rows for cell in row]
    if any(len(row) != len(columns) for row in rows) or not all(map(_is_cell, cells)):
        raise ValueError("not a cell for each column")
    return Table(columns, rows)


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or _is_usable(value)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(map(brief, names[:MOST_NAMED]))}{more}"
