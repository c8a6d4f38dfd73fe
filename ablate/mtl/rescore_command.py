"""``ablate rescore``: other scores of runs that have been trained, with nothing trained again."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.console import print_json, say, say_command
from ablate.cli.options import (
    Printout,
    PrintoutOption,
    StoreOption,
    StudyArgument,
    StudyOption,
    open_store,
    pick_study,
)
from ablate.ground.errors import ConfigError, DataError, StudyError
from ablate.ground.wording import count, suggest

if TYPE_CHECKING:
    from ablate.mtl.rescored import Selected
    from ablate.record.store import Store

TUNED = "tuned"
EXPLAINED = "event_f (frames), event_f_segment, event_f_collar, event_f_intersection, event_map, psds1, psds2"

MetricsOption = Annotated[
    str | None,
    typer.Option("--metrics", metavar="NAME,..", help=f"Of {EXPLAINED}.  [default: all of them]"),
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="P|tuned",
        help="Detect events above this probability, or above that of each class that is best on development "
        "data.  [default: the run's own]",
    ),
]
MedianOption = Annotated[
    float | None,
    typer.Option(
        "--median",
        min=0,
        max=60,
        metavar="SECONDS",
        help="Length of a median filter before detection; 0: none.  [default: the run's own]",
    ),
]
BoxesOption = Annotated[
    bool | None,
    typer.Option(
        "--boxes/--frames",
        help="Detect whole events, by bounding boxes (cSEBBs), or frames.  [default: the run's own]",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, max=1024, help="Processes.  [default: one per core]")
]


def rescore(
    study: StudyArgument = None,
    metrics: MetricsOption = None,
    threshold: ThresholdOption = None,
    median: MedianOption = None,
    boxes: BoxesOption = None,
    again: Annotated[bool, typer.Option("--again", help="Compute also what is there.")] = False,
    workers: WorkersOption = None,
    study_name: StudyOption = None,
    store: StoreOption = None,
    output: PrintoutOption = Printout.TABLE,
) -> None:
    """Score a study's runs by other metrics, thresholds or smoothing; nothing is trained again.

    The scores are computed from what each run has kept of what its network said, and stand beside its own
    in compare, report, claims and MLflow. Their names say how they were made: event_map.median_0.5s.
    """
    from ablate.mtl.rescored import Options, select

    opened = open_store(store)
    name = pick_study(opened, study, study_name)
    _require_built_in(opened, name)
    groups = _groups(metrics)
    options = Options(_threshold(threshold), threshold == TUNED, median, boxes)
    opened.require_writable()
    chosen = select(opened, name, groups, options, again=again)
    started = time.perf_counter()
    n_asked_again, problems = _score(chosen, workers)
    seconds = time.perf_counter() - started
    n_scored = len(chosen.tasks) - len(problems)
    names = [options.name(group) for group in groups]
    _track(opened, name)
    if output is Printout.JSON:
        counts = {"scored": n_scored, "scored_before": chosen.n_scored, "asked_again": n_asked_again}
        left_out = {"unfinished": chosen.n_unfinished, "without_events": chosen.n_without_events}
        head = {"schema": "ablate.rescore/1", "study": name, "metrics": names}
        print_json({**head, **counts, **left_out, "problems": problems})
    else:
        _tell(name, chosen, n_scored, n_asked_again, seconds)
        if n_scored or chosen.n_scored:
            say_command(f"ablate compare {name} --metrics {','.join(names)}", before="To compare them: ")
    for problem in problems:
        print(f"ablate: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(1)


def _require_built_in(store: "Store", study: str) -> None:
    card = store.study_card(study)
    if card.spec.get("kind") != "built-in":
        raise StudyError(
            f"study '{study}' has runs of '{card.name}', of which nothing is kept to score again; "
            "ablate rescore is for networks of the built-in subject"
        )


def _groups(metrics: str | None) -> tuple[str, ...]:
    """Raises ConfigError that names every unknown one."""
    from ablate.mtl.metrics.named import GROUPS

    if metrics is None:
        return tuple(GROUPS)
    names = tuple(dict.fromkeys(name.strip() for name in metrics.split(",") if name.strip()))
    problems = [
        f"--metrics: unknown '{name}'{suggest(name, GROUPS)}; known are {', '.join(GROUPS)}"
        for name in names
        if name not in GROUPS
    ]
    if problems or not names:
        raise ConfigError(problems or [f"--metrics: name some of {', '.join(GROUPS)}"])
    return names


def _threshold(text: str | None) -> float | None:
    if text in (None, TUNED):
        return None
    try:
        value = float(str(text))
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ConfigError(f"--threshold '{text}': give a probability above 0 and below 1, or '{TUNED}'")
    return value


def _score(chosen: "Selected", workers: int | None) -> tuple[int, list[str]]:
    """How many networks had to be asked again, and what went wrong with the runs that could not be scored."""
    from ablate.mtl.data.parallel import run_each
    from ablate.mtl.rescored import score_run

    n_asked_again = 0
    try:
        for _, was_asked in run_each(score_run, chosen.tasks, workers=workers, label="scores", progress=True):
            n_asked_again += was_asked
    except DataError as error:
        return n_asked_again, list(error.problems)
    return n_asked_again, []


def _track(store: "Store", study: str) -> None:
    """Add the scores to MLflow, unless it is away."""
    from ablate.tracking import Tracker, TrackingUnavailable

    tracker = Tracker(store, study)
    try:
        tracker.prepare()
        tracker.ship_all(store.study_runs(study))
    except TrackingUnavailable as error:
        print(f"ablate: {error}; `ablate sync {study}` adds the scores later", file=sys.stderr)


def _tell(name: str, chosen: "Selected", n_scored: int, n_asked_again: int, seconds: float) -> None:
    parts = [f"{count(n_scored, 'run')} scored in {seconds:.1f} s"]
    if chosen.n_scored:
        parts.append(f"{chosen.n_scored} had the scores already")
    if chosen.n_unfinished:
        parts.append(f"{chosen.n_unfinished} not finished")
    if chosen.n_without_events:
        parts.append(f"{chosen.n_without_events} without events")
    say(f"{name}: {', '.join(parts)}")
    if n_asked_again:
        say(
            f"  {count(n_asked_again, 'run')} had kept no scores of frames: their networks were asked again, "
            "by their weights, and the scores are kept now"
        )
