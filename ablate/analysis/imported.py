"""Runs from the rows of a table: what its columns are, and everything that is wrong with its cells.

Nothing is guessed in silence. Which columns are factors and metrics is told; a table whose columns are not
told is described instead, with the command to type.
"""

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.analysis.sheets import some
from ablate.design.conditions import show
from ablate.ground.errors import ConfigError, DataError, shown
from ablate.ground.records import LARGEST
from ablate.ground.wording import suggest
from ablate.subject.factors import RESERVED
from ablate.subject.levels import COMMA_NUMBER, MISSING, PERCENT, level_of, number_of, trouble_with
from ablate.subject.metrics import Metric, Metrics, parse_metric
from ablate.subject.settings import SEED, Level
from ablate.subject.sheet import Line, Sheet, places

LARGEST_SEED = 10**15
FEW_LEVELS = 12  # more distinct values than that are hardly a factor
# How measured columns are often called, in the order of what a study is likely about.
SCORES = ("acc", "f1", "auc", "score", "map", "bleu", "precision", "recall", "reward", "return")
COSTS = (
    "loss",
    "error",
    "err",
    "rmse",
    "mae",
    "mse",
    "wer",
    "perplexity",
    "ppl",
    "time",
    "runtime",
    "seconds",
)
PLAUSIBLE_FRACTION = 1.5
SHOWN_VALUES = 3


@dataclass(frozen=True)
class Roles:
    """Which columns are what: ``factors`` and ``metrics`` by the name that they get, each with its column.

    Without a column for the ``seed`` the rows of a condition are numbered in their order.
    """

    factors: Mapping[str, str]
    metrics: Mapping[str, str]
    declared: tuple[Metric, ...]
    seed: str | None


@dataclass(frozen=True)
class Row:
    """A run as it was found. A metric is None where it is undefined."""

    place: str
    levels: Mapping[str, Level]
    seed: int
    metrics: Mapping[str, float | None]
    seconds: float | None = None

    @property
    def name(self) -> str:
        return condition_name(self.levels)

    @property
    def condition(self) -> str:
        """Equal for the runs of one condition, whatever it is called."""
        return condition_key(self.levels)


@dataclass(frozen=True)
class Rows:
    """The runs of a table, and what a reader of their comparison must know, a sentence each."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def condition_name(levels: Mapping[str, Level]) -> str:
    """``lr=0.1 dropout=0``: every factor, as no level is a default."""
    return " ".join(f"{name}={show(level)}" for name, level in levels.items())


def condition_key(levels: Mapping[str, Level]) -> str:
    return json.dumps(levels, sort_keys=True)


# ------------------------------------------------------------------------------------------ what columns are


def choose_roles(
    sheet: Sheet,
    factors: Sequence[str],
    metrics: Sequence[str],
    *,
    units: Sequence[str] = (),
    seed: str | None = None,
    no_seed: bool = False,
) -> Roles:
    """What was told of the columns. ``factors`` are ``COLUMN`` or ``NAME=COLUMN``, comma-separated or not;
    ``metrics`` ``COLUMN:max`` or ``NAME:min=COLUMN``; ``units`` ``NAME=UNIT``.

    Without ``seed``, the column of that name is it. Raises ConfigError with every problem at once.
    """
    problems: list[str] = []
    chosen = _factors(sheet, factors, problems)
    found, declared = _metrics(sheet, metrics, problems)
    declared = _with_units(declared, found, units, problems)
    seed_column = _seed(sheet, seed, no_seed, problems)
    for name, column in chosen.items():
        if column == seed_column:
            problems.append(f"column '{column}' is the seed; leave it out of --factors")
        elif name == SEED or name in RESERVED:
            problems.append(
                f"a factor cannot be called '{name}', which means something else; "
                f"rename it: --factors my_{name}={column}"
            )
        elif column in found.values():
            problems.append(f"column '{column}' is named as a factor and as a metric; it can be one of them")
    if not chosen and not problems:
        problems.append("name the columns that were varied, such as --factors lr,dropout")
    if not found and not problems:
        problems.append("name the columns that were measured, such as --metric accuracy:max")
    if problems:
        raise ConfigError([f"{sheet.name}: {problem}" for problem in problems])
    return Roles(chosen, found, tuple(declared), seed_column)


def _factors(sheet: Sheet, texts: Sequence[str], problems: list[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for text in texts:
        words = [text] if text in sheet.columns else text.split(",")
        for word in filter(None, map(str.strip, words)):
            name, equals, column = word.partition("=")
            if word in sheet.columns or not equals:
                name = column = word
            if name in chosen and chosen[name] != column:
                problems.append(f"two factors are called '{name}'")
            elif column not in sheet.columns:
                problems.append(_unknown(sheet, column))
            else:
                chosen[name.strip()] = column.strip()
    return chosen


def _metrics(sheet: Sheet, texts: Sequence[str], problems: list[str]) -> tuple[dict[str, str], list[Metric]]:
    """The column of each metric, and the metrics as they were declared; a family has a column a class."""
    found: dict[str, str] = {}
    declared: list[Metric] = []
    for text in texts:
        head, equals, column = text.partition("=")
        try:
            metric, _ = parse_metric(head)
        except ConfigError:
            problems.append(
                f"--metric '{text}': write COLUMN:max or COLUMN:min, or NAME:max=COLUMN for a column of "
                "another name"
            )
            continue
        column = column.strip() if equals else metric.name
        if metric.is_family:
            columns = [name for name in sheet.columns if name.startswith(column.removesuffix("*"))]
            prefix = metric.name.removesuffix("*")
            matched = {prefix + name.removeprefix(column.removesuffix("*")): name for name in columns}
        else:
            matched = {metric.name: column} if column in sheet.columns else {}
        if not matched:
            problems.append(_unknown(sheet, column))
        elif found.keys() & matched.keys():
            problems.append(f"metric '{metric.name}' is named twice")
        found |= matched
        declared.append(metric)
    return found, declared


def _with_units(
    declared: Sequence[Metric], found: Mapping[str, str], units: Sequence[str], problems: list[str]
) -> list[Metric]:
    chosen: dict[str, str] = {}
    for text in units:
        name, equals, unit = text.partition("=")
        if not (equals and unit.strip()):
            problems.append(f"--unit '{text}': write METRIC=UNIT such as accuracy=%")
        elif name.strip() not in {metric.name for metric in declared}:
            names = [metric.name for metric in declared] or list(found)
            problems.append(f"--unit '{text}': no metric is called '{name.strip()}'{suggest(name, names)}")
        else:
            chosen[name.strip()] = unit.strip()
    return [replace(metric, unit=chosen.get(metric.name, metric.unit)) for metric in declared]


def _seed(sheet: Sheet, seed: str | None, no_seed: bool, problems: list[str]) -> str | None:
    if no_seed:
        if seed is not None:
            problems.append(f"--seed {seed} and --no-seed contradict each other; give one")
        return None
    if seed is not None:
        if seed not in sheet.columns:
            problems.append(_unknown(sheet, seed))
        return seed
    if SEED in sheet.columns:
        return SEED
    likely = [column for column in sheet.columns if _leaf(column).lower() in ("seed", "random_seed", "trial")]
    example = likely[0] if likely else "COLUMN"
    problems.append(
        f"no column is called '{SEED}'; name the one that numbers the repetitions with --seed {example}, or "
        "say --no-seed to number the rows of each condition in their order, which pairs nothing"
    )
    return None


def _unknown(sheet: Sheet, column: str) -> str:
    """An unknown column; one that ends in the same word is likelier meant than one of similar letters."""
    same = [name for name in sheet.columns if _leaf(name) == column]
    if same and column:
        return f"no column '{column}'; did you mean '{same[0]}'? Write {column}={same[0]} to keep the name"
    return f"no column {shown(column)}{suggest(column, sheet.columns)}"


def _leaf(column: str) -> str:
    return column.replace("/", ".").rpartition(".")[2]


# -------------------------------------------------------------------------------------- what the cells hold


def read_rows(sheet: Sheet, roles: Roles) -> Rows:
    """The runs of a table. Raises DataError that names every bad cell by its row, and every duplicate."""
    reading = _Reading(sheet, roles)
    rows = reading.rows()
    if reading.problems:
        raise DataError(some([f"{sheet.name}, {problem}" for problem in reading.problems]))
    if not rows:
        raise DataError(f"{sheet.name}: no row has a level of a factor or a value of a metric")
    notes = [*sheet.notes, *reading.notes, *_undefined(rows, roles), *_unbalanced(rows)]
    return Rows(tuple(rows), tuple(notes))


@dataclass
class _Reading:
    """One pass over a table, and what it came across."""

    sheet: Sheet
    roles: Roles
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def rows(self) -> list[Row]:
        lines = self._lines()
        numeric = {
            column: any(number_of(cell) is not None for cell in self.sheet.column(column))
            for column in self.roles.factors.values()
        }
        rows: list[Row] = []
        numbered: dict[str, int] = {}
        for line in lines:
            before = len(self.problems)
            levels = {
                name: self._level(line, column, numeric[column])
                for name, column in self.roles.factors.items()
            }
            if self.roles.seed is None:
                condition = condition_key(levels)
                seed: int | None = numbered.get(condition, 0)
                numbered[condition] = numbered.get(condition, 0) + 1
            else:
                seed = self._seed(line, self.roles.seed)
            metrics = {name: self._metric(line, column) for name, column in self.roles.metrics.items()}
            if seed is not None and len(self.problems) == before:
                rows.append(Row(line.place, levels, seed, metrics, line.seconds))
        self._check_spellings(lines)
        self._check_fractions(rows)
        self._check_duplicates(rows)
        if self.roles.seed is None and max(numbered.values(), default=0) > 1:
            self.notes.append(
                "the rows of each condition are numbered in their order: seed 0 of one condition has nothing "
                "to do with seed 0 of another, so pairing them makes differences no more certain"
            )
        return rows

    def _lines(self) -> list[Line]:
        """Those that say anything; a total or a group's heading may stand among them."""
        wanted = [*self.roles.factors.values(), *self.roles.metrics.values()]
        kept: list[Line] = []
        left: list[str] = []
        for line in self.sheet.lines:
            if any(line.cells.get(name) is not None for name in wanted):
                kept.append(line)
            else:
                left.append(line.place)
        if left:
            self.notes.append(f"{places(left)} left out: no factor and no metric has a value there")
        return kept

    def _level(self, line: Line, column: str, is_numeric: bool) -> Level:
        cell = line.cells.get(column)
        if cell is None:
            self._problem(line, f"factor column '{column}' is empty; every run needs a level of every factor")
            return None
        level = level_of(cell)
        if (
            is_numeric
            and isinstance(level, str)
            and (level.lower() in MISSING or COMMA_NUMBER.fullmatch(level) or PERCENT.fullmatch(level))
        ):
            hint = f"; write {level.replace(',', '.')}" if COMMA_NUMBER.fullmatch(level) else ""
            self._problem(
                line, f"factor column '{column}' has {shown(cell)}, where other rows have numbers{hint}"
            )
        return level

    def _seed(self, line: Line, column: str) -> int | None:
        cell = line.cells.get(column)
        if cell is None:
            self._problem(line, f"seed column '{column}' is empty; number the repetitions 0, 1, 2, ...")
            return None
        number = number_of(cell)
        if number is None:
            self._problem(line, f"seed column '{column}' has {shown(cell)}, which is no number")
        elif not math.isfinite(number) or not number.is_integer():
            self._problem(line, f"seed column '{column}' has {shown(cell)}; a seed is a whole number")
        elif not 0 <= number <= LARGEST_SEED:
            self._problem(
                line, f"seed column '{column}' has {shown(cell)}; a seed is between 0 and {LARGEST_SEED:g}"
            )
        else:
            return int(number)
        return None

    def _metric(self, line: Line, column: str) -> float | None:
        cell = line.cells.get(column)
        if cell is None or (isinstance(cell, str) and cell.strip().lower() == "nan"):
            return None
        number = number_of(cell)
        if number is None:
            text = str(cell).strip()
            if text.lower().lstrip("+-") in ("inf", "infinity"):
                self._infinite(line, column, cell)
            else:
                self._problem(
                    line, f"metric column '{column}' has {shown(cell)}, no number; {trouble_with(text)}"
                )
            return None
        if math.isnan(number):
            return None
        if abs(number) > LARGEST:
            self._infinite(line, column, cell)
            return None
        return number

    def _infinite(self, line: Line, column: str, cell: Any) -> None:
        self._problem(
            line,
            f"metric column '{column}' has {shown(cell)}, which nothing can be compared with; leave the cell "
            "empty if the run diverged",
        )

    def _problem(self, line: Line, text: str) -> None:
        self.problems.append(f"{line.place}: {text}")

    def _check_duplicates(self, rows: Sequence[Row]) -> None:
        by_run: dict[tuple[str, int], list[Row]] = {}
        for row in rows:
            by_run.setdefault((row.condition, row.seed), []).append(row)
        for (_, seed), same in by_run.items():
            if len(same) > 1:
                both = "both" if len(same) == 2 else "all"
                self.problems.append(
                    f"{places([row.place for row in same])}: {both} are {same[0].name} seed={seed}; keep "
                    "one, or name the factor that tells them apart"
                )

    def _check_spellings(self, lines: Sequence[Line]) -> None:
        """Texts that are one number, such as the versions 1.1 and 1.10."""
        for column in self.roles.factors.values():
            spelt: dict[Level, dict[str, None]] = {}
            for line in lines:
                cell = line.cells.get(column)
                if isinstance(cell, str):
                    spelt.setdefault(level_of(cell), {})[cell.strip()] = None
            for level, texts in spelt.items():
                if len(texts) > 1:
                    self.notes.append(f"column '{column}': {' and '.join(texts)} are taken as {show(level)}")

    def _check_fractions(self, rows: Sequence[Row]) -> None:
        known = Metrics(self.roles.declared)
        for name, column in self.roles.metrics.items():
            if known.of(name).is_fraction:
                above = [row.place for row in rows if abs(row.metrics[name] or 0.0) > PLAUSIBLE_FRACTION]
                if above:
                    self.problems.append(
                        f"{places(above)}: metric column '{column}' is more than 1, and --unit {name}=% is "
                        "for fractions, which are shown times 100; leave --unit out"
                    )


def _undefined(rows: Sequence[Row], roles: Roles) -> Iterator[str]:
    for name, column in roles.metrics.items():
        without = [row.place for row in rows if row.metrics[name] is None]
        if len(without) == len(rows):
            raise DataError(f"metric column '{column}' has no value in any row; leave it out")
        if without:
            yield f"{places(without)}: metric '{name}' has no value and counts as undefined"


def _unbalanced(rows: Sequence[Row]) -> Iterator[str]:
    """Seeds that some conditions have and others lack: what is paired by seed has fewer pairs there."""
    seeds: dict[str, set[int]] = {}
    names: dict[str, str] = {}
    for row in rows:
        seeds.setdefault(row.condition, set()).add(row.seed)
        names[row.condition] = row.name
    every = set().union(*seeds.values())
    lacking = {names[key]: sorted(every - found) for key, found in seeds.items() if every - found}
    for name, missing in list(lacking.items())[:SHOWN_VALUES]:
        noun = "seeds" if len(missing) > 1 else "seed"
        yield f"{name}: {noun} {_listed(missing)} missing, which other conditions have"
    if len(lacking) > SHOWN_VALUES:
        yield f"{len(lacking) - SHOWN_VALUES} more conditions lack seeds that others have"


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return ", ".join(map(str, numbers[:10])) + more


# ------------------------------------------------------------------------------- a table that is not told of


@dataclass(frozen=True)
class ColumnLook:
    """What a column looks like: how many ``distinct`` values it has, whether all are numbers, and some."""

    name: str
    distinct: int
    empty: int
    kind: str  # "numbers", "whole numbers", "text", "nothing"
    examples: tuple[str, ...]


def look_at(sheet: Sheet) -> list[ColumnLook]:
    """Every column of a table, as its owner would describe it."""
    return [_look(sheet, name) for name in sheet.columns]


def _look(sheet: Sheet, name: str) -> ColumnLook:
    cells = [cell for cell in sheet.column(name) if str(cell).lower() != "nan"]
    numbers = [number_of(cell) for cell in cells]
    if not cells:
        kind = "nothing"
    elif any(number is None for number in numbers):
        kind = "text"
    else:
        whole = all(number is not None and number.is_integer() for number in numbers)
        kind = "whole numbers" if whole else "numbers"
    distinct = dict.fromkeys(str(cell) for cell in cells)
    examples = tuple(text if len(text) <= 24 else f"{text[:20]} ..." for text in distinct)[:SHOWN_VALUES]
    return ColumnLook(name, len(distinct), len(sheet.lines) - len(cells), kind, examples)


def example_command(sheet: Sheet, looks: Sequence[ColumnLook]) -> str:
    """A command that could be meant, to be corrected: few values are a factor's, many a metric's.

    It is only shown. What is imported is what is typed.
    """
    seeds = [look.name for look in looks if _leaf(look.name).lower() == SEED]
    others = [look for look in looks if look.name not in seeds and look.distinct > 1]
    named = [look for look in others if _called(look.name, (*SCORES, *COSTS))]
    many = [look for look in others if look.kind == "numbers" and look.distinct > len(sheet.lines) / 2]
    measured = [look.name for look in (named or many) if look.kind != "text"]
    metrics = sorted(measured, key=lambda name: _called(name, COSTS))
    factors = [
        look.name
        for look in others
        if look.name not in metrics
        and look not in many
        and look.name not in (*RESERVED, "Name", "State")
        and look.distinct <= min(FEW_LEVELS, max(2, len(sheet.lines) // 2))
    ]
    words = ["ablate", "import", sheet.source, "--factors", ",".join(factors) or "A,B"]
    best = "min" if metrics and _called(metrics[0], COSTS) else "max"
    words += ["--metric", f"{metrics[0] if metrics else 'METRIC'}:{best}"]
    if seeds and seeds[0] != SEED:
        words += ["--seed", seeds[0]]
    elif not seeds:
        words += ["--seed", "COLUMN"]
    return shlex.join(words)


def _called(column: str, words: Sequence[str]) -> bool:
    """Whether a column's name has one of the words in it: ``val_loss``, ``test/acc``."""
    parts = re.split(r"[^a-z0-9]+", column.lower())
    return any(part.startswith(word) if len(word) > 2 else part == word for part in parts for word in words)
