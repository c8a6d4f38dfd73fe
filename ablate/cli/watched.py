"""How a study under way looks: as a picture of a terminal's size, as lines of changes, and in JSON."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ablate.design.runs import replicate
from ablate.ground.durations import duration
from ablate.ground.wording import count
from ablate.record.failures import FailureGroup, members
from ablate.record.rundir import State
from ablate.record.watching import OVER, Look, Seen, Watching, Work
from ablate.schedule.grid import tally

SPARK = "▁▂▃▄▅▆▇█", "_.-~=+*#"  # and where the terminal knows only ASCII
MARKS = {
    State.FINISHED: ("●", "f", "green"),
    State.RUNNING: ("▶", ">", "cyan"),
    State.FAILED: ("✗", "x", "red"),
    State.INTERRUPTED: ("‖", "i", "yellow"),
    State.PENDING: ("·", ".", "dim"),
    State.PRUNED: ("○", "p", "blue"),
    State.DAMAGED: ("!", "!", "red"),
}
MOST_MARKS = 16  # of one condition; of more runs it is said how many have ended
SPARK_WIDTH = 16
MOST_CURVES = 2
LEAST_NAME = 12
MOST_GROUPS = 3  # of failures, in a picture
MOST_LINES_OF_COMMAND = 4


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """A curve in at most ``width`` characters, each the mean of its part; what is not finite is left blank.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), sparkline([3, 3], 8)
    ('▁▂▃▄▅▆▇█', '▁▁')
    """
    levels = SPARK[ascii_only]
    points = [_mean(part) for part in _parts(values, width)]
    finite = [point for point in points if point is not None]
    if not finite:
        return ""
    low, extent = min(finite), max(finite) - min(finite)
    steps = len(levels) - 1
    return "".join(
        " " if point is None else levels[round(steps * (point - low) / extent) if extent else 0]
        for point in points
    )


def _parts(values: Sequence[float], width: int) -> Iterator[Sequence[float]]:
    n = min(width, len(values))
    for place in range(n):
        yield values[place * len(values) // n : (place + 1) * len(values) // n]


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if abs(value) < float("inf")]
    return sum(finite) / len(finite) if finite else None


def continued(command: str, width: int) -> list[str]:
    """A command in lines that a shell reads as one: all but the last end with a backslash.

    >>> continued("ablate grid s --seeds 3", 16)
    ['ablate grid s \\\\', '--seeds 3']
    """
    lines: list[str] = []
    for word in map(shlex.quote, shlex.split(command)):
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def title(seen: Seen) -> str:
    return f"{seen.condition} {replicate(seen.folder.seed or 0, seen.folder.fold)}"


@dataclass(frozen=True)
class Picture:
    """Draws looks for a terminal of ``width`` columns and ``height`` lines; None: as many as it takes."""

    study: str
    watching: Watching
    retry: Mapping[str, str]  # the command that trains runs again, by what they failed of
    width: int
    height: int | None
    ascii_only: bool = False

    def lines(self, look: Look) -> list[Text]:
        """No more than fit: of what there is much, what goes on or went wrong comes before the rest."""
        head, failed = self._head(look), self._failures(look.failures)
        room = None if self.height is None else self.height - len(head) - len(failed) - 1
        works = self._works(look, None if room is None else max(2, room // 2))
        left = None if room is None else max(2, room - len(works))
        return [*head, *works, *self._conditions(look, left), *failed]

    # ---------------------------------------------------------------------------------------- its parts

    def _head(self, look: Look) -> list[Text]:
        states = tally(look.counts)
        first = Text(f"{self.study}: {count(len(look.runs), 'run')}, {states}", style="bold")
        return [*self._wrapped(first), self._bar(look), Text()]

    def _bar(self, look: Look) -> Text:
        words = f" {100 * look.share:.0f} %, {in_words(look)}"
        size = max(4, min(40, self.width - cell_len(words) - 1))
        full = round(size * look.share)
        marks = "#-" if self.ascii_only else "━─"
        bar = Text(marks[0] * full, style="green").append(marks[1] * (size - full), style="dim")
        return self._cut(bar.append(words, style="default"))

    def _works(self, look: Look, room: int | None) -> list[Text]:
        if not look.works:
            return []
        shown = look.works if room is None else look.works[: max(1, room - 2)]
        names = self._name_width([title(work.run) for work in shown], 34)
        hosts = len({work.run.status.host for work in look.works}) > 1
        lines = [self._work(work, look.at, names, with_host=hosts) for work in shown]
        more = len(look.works) - len(shown)
        lines += [Text(f"  and {more} more under way", style="dim")] * bool(more)
        return [Text("At work", style="bold"), *lines, Text()]

    def _work(self, work: Work, now: float, names: int, *, with_host: bool) -> Text:
        of = f"/{work.n_epochs}" if work.n_epochs else ""
        line = Text(f"  {set_cell_size(title(work.run), names)}", style="cyan")
        line.append(f" epoch {work.epoch}{of}".ljust(15), style="default")
        line.append(duration(work.seconds(now)).rjust(10), style="default")
        status = work.run.status
        if with_host:
            line.append(f"  {status.host or '?'}", style="dim")
        return self._with_curves(line, work.curves)

    def _with_curves(self, line: Text, curves: Mapping[str, Sequence[float]]) -> Text:
        """As many of the curves as fit, each with its name and last value."""
        for name, values in list(curves.items())[:MOST_CURVES]:
            label = f"  {name} {values[-1]:.3g} "
            space = self.width - line.cell_len - len(label)
            if space < 4:
                break
            line.append(label, style="dim")
            line.append(sparkline(values, min(SPARK_WIDTH, space), ascii_only=self.ascii_only))
        return self._cut(line)

    def _conditions(self, look: Look, room: int | None) -> list[Text]:
        shown, hidden = list(look.conditions.items()), []
        if room is not None and len(shown) > room - 1:
            shown.sort(key=lambda group: _rank(group[1]))
            n = max(1, room - 2)
            shown, hidden = shown[:n], shown[n:]
        names = self._name_width([name for name, _ in shown], 30)
        lines = [self._condition(name, runs, names) for name, runs in shown]
        if hidden:
            n_over = sum(all(seen.state in OVER for seen in runs) for _, runs in hidden)
            lines.append(Text(f"  and {len(hidden)} more, {n_over} of them over", style="dim"))
        return [Text("Conditions", style="bold"), *lines]

    def _condition(self, name: str, runs: Sequence[Seen], names: int) -> Text:
        n_over = sum(seen.state in OVER for seen in runs)
        line = Text(f"  {set_cell_size(name, names)} ")
        line.append(f"{n_over}/{len(runs)}".rjust(len(str(len(runs))) * 2 + 1) + " ")
        if len(runs) <= MOST_MARKS:
            for seen in runs:
                mark, plain, style = MARKS[seen.state]
                line.append(plain if self.ascii_only else mark, style=style)
        else:
            line.append(_states_in_brief(runs), style="dim")
        chosen = max(runs, key=_last_seen)
        curves = {} if chosen.state is State.PENDING else self.watching.curves(chosen.folder)
        return self._with_curves(line, curves)

    def _failures(self, groups: Sequence[FailureGroup]) -> list[Text]:
        if not groups:
            return []
        lines = [Text(), Text("Failed", style="bold red")]
        for group in groups[:MOST_GROUPS]:
            place = f", at {group.where}" if group.where else ""
            what = f"{count(len(group.runs), 'run')}: {group.kind.words}{place}: {group.message}"
            lines.append(self._cut(Text(f"  {' '.join(what.split())}", style="red")))
        more = len(groups) - MOST_GROUPS
        lines += [Text(f"  and {more} more kinds of failure", style="dim")] * (more > 0)
        command = self.retry.get(str(groups[0].kind))
        if command is None:
            return lines
        wrapped = continued(command, self.width - 4)
        if len(wrapped) > MOST_LINES_OF_COMMAND or max(map(cell_len, wrapped)) > self.width - 4:
            wrapped = [f"ablate failures {self.study}"]
        lines.append(Text("  the first of them again:" if len(groups) > 1 else "  again:"))
        return [*lines, *(self._cut(Text(f"    {line}")) for line in wrapped)]

    # ------------------------------------------------------------------------------------------- fitting

    def _name_width(self, names: Sequence[str], beside: int) -> int:
        """As the longest needs, if ``beside`` characters are left for what stands beside it."""
        widest = max(map(cell_len, names), default=0)
        return min(widest, max(LEAST_NAME, self.width - beside))

    def _cut(self, line: Text) -> Text:
        line.truncate(self.width, overflow="crop" if self.ascii_only else "ellipsis")
        line.no_wrap = True
        return line

    def _wrapped(self, text: Text) -> list[Text]:
        plain, size = text.plain, max(20, self.width)
        parts = [plain[start : start + size] for start in range(0, len(plain), size)]
        return [Text(part, style=text.style, no_wrap=True) for part in parts]


def _rank(runs: Sequence[Seen]) -> int:
    """What a reader wants to see first: what goes on, what has begun, what waits, what is over."""
    states = {seen.state for seen in runs}
    if State.RUNNING in states:
        return 0
    if states & {State.FAILED, State.DAMAGED, State.INTERRUPTED}:
        return 1
    return 2 if not states <= OVER else 3


def _last_seen(seen: Seen) -> tuple[bool, float]:
    return seen.state is State.RUNNING, seen.status.ended_at or seen.status.started_at or 0.0


def _states_in_brief(runs: Sequence[Seen]) -> str:
    counts = {state: sum(seen.state is state for seen in runs) for state in State}
    return ", ".join(f"{n} {state}" for state, n in counts.items() if n)


def in_words(look: Look) -> str:
    """``about 3 min left``, ``nobody trains it now``."""
    if look.is_over:
        return "over"
    if not look.works:
        return "nobody trains it now"
    if look.seconds_left is None:
        return f"{count(len(look.works), 'run')} under way"
    return f"about {duration(look.seconds_left)} left"


# ---------------------------------------------------------------------------------------------- what changes


def changed(look: Look, before: Look | None) -> list[Seen]:
    """The runs that are in another state than at the look before, or in another attempt; at first all."""
    known = {} if before is None else {seen.folder.run_id: _moment(seen) for seen in before.runs}
    return [seen for seen in look.runs if known.get(seen.folder.run_id) != _moment(seen)]


def _moment(seen: Seen) -> tuple[State, int]:
    return seen.state, seen.status.attempt


def news(study: str, look: Look, before: Look | None) -> list[str]:
    """Lines for a reader without a terminal; the first look is told in one."""
    clock = time.strftime("%H:%M:%S", time.localtime(look.at))
    progress = f"{look.n_ended}/{len(look.runs)} ended, {in_words(look)}"
    if before is None:
        return [f"{clock} {study}: {tally(look.counts)}; {progress}"]
    return [f"{clock} {title(seen)} {_told(seen)}; {progress}" for seen in changed(look, before)]


def _told(seen: Seen) -> str:
    status = seen.status
    if seen.state is State.FAILED:
        failure = status.failed_of
        return f"FAILED ({failure.kind.words}): {' '.join((failure.error or status.cause or '').split())}"
    if seen.state is State.RUNNING:
        again = f", attempt {status.attempt}" if status.attempt > 1 else ""
        return f"is under way on {status.host or 'an unknown host'}{again}"
    return f"{seen.state}" + (f": {status.cause}" if status.cause else "")


# ------------------------------------------------------------------------------------------------------ JSON


def describe(
    study: str, store: str, look: Look, before: Look | None, retry: Mapping[str, str]
) -> dict[str, Any]:
    """A look for JSON; ``runs`` are those that have changed since the look before."""
    return {
        "schema": "ablate.watch/1",
        "study": study,
        "store": store,
        "at": look.at,
        "n_runs": len(look.runs),
        "n_ended": look.n_ended,
        "counts": look.counts,
        "share": look.share,
        "seconds_left": look.seconds_left,
        "is_over": look.is_over,
        "works": [_describe_work(work, look.at) for work in look.works],
        "runs": [
            {**_identity(seen), "state": seen.state, "cause": seen.status.cause}
            for seen in changed(look, before)
        ],
        "failures": [_describe_failure(group, retry) for group in look.failures],
    }


def _identity(seen: Seen) -> dict[str, Any]:
    folder = seen.folder
    fold = {} if folder.fold is None else {"fold": folder.fold}
    return {"run_id": folder.run_id, "name": seen.condition, "seed": folder.seed, **fold}


def _describe_work(work: Work, now: float) -> dict[str, Any]:
    status = work.run.status
    return {
        **_identity(work.run),
        "host": status.host,
        "pid": status.pid,
        "job": status.job,
        "attempt": status.attempt,
        "epoch": work.epoch,
        "n_epochs": work.n_epochs,
        "seconds": work.seconds(now),
        "curves": {name: values[-1] for name, values in work.curves.items()},
    }


def _describe_failure(group: FailureGroup, retry: Mapping[str, str]) -> dict[str, Any]:
    return {
        "cause": group.kind,
        "message": group.message,
        "where": group.where,
        "n_runs": len(group.runs),
        "runs": members(group.runs),
        "retry": retry.get(str(group.kind)),
    }
