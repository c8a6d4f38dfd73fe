"""How a plan looks: in words, and as a table of conditions and seeds; and how long it takes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ablate.analysis.layout import Column
from ablate.api.page import Page
from ablate.design.conditions import BASELINE, show
from ablate.design.runs import Run
from ablate.design.study import Study
from ablate.ground.documents import RunState
from ablate.ground.durations import duration
from ablate.ground.errors import StoreError
from ablate.ground.wording import count
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.schedule.grid import Plan, tally
from ablate.subject.factors import Factor
from ablate.subject.interface import NO_DATA, Subject

if TYPE_CHECKING:
    from ablate.api.training import Training
    from ablate.schedule.estimate import Forecast

SHOWN_CELLS = 8
SEEDS_LOOKED_UP = 20  # of the baseline, for its noise
LEAST_SEEDS_OF_NOISE = 3


class Shown(Protocol):
    """A run of a plan, or one that a study has."""

    @property
    def run_id(self) -> str: ...
    @property
    def condition_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def condition(self) -> Mapping[str, Any]: ...
    @property
    def seed(self) -> int: ...
    @property
    def fold(self) -> int | None: ...
    @property
    def state(self) -> State: ...
    @property
    def cause(self) -> str | None: ...


def describe_run(run: Shown) -> RunState:
    """A run for JSON."""
    content = RunState(
        run_id=run.run_id,
        name=run.name,
        condition=run.condition,
        seed=run.seed,
        state=str(run.state),
        cause=run.cause,
    )
    if run.fold is not None:
        content["fold"] = run.fold
    return content


def forecast(subject: Subject, training: "Training", todo: Sequence[Run]) -> "Forecast":
    """How long ``todo`` takes with the devices' workers, and with fewer where that is known.

    With ``--calibrate`` this machine is measured first, for a minute, and the store keeps what it says.
    """
    from ablate.schedule.estimate import (
        Forecast,
        Known,
        add_calibration,
        predict,
        read_calibration,
        read_evidence,
    )

    crews, store = _crews(training.devices), training.store
    if not todo:  # then neither the data nor other runs need to be looked at
        return Forecast({len(crew): 0.0 for crew in crews})
    if training.calibrate:
        from ablate.campaign.calibration import calibrate

        add_calibration(store, subject, calibrate(subject, todo, crews, training.tell))
    size = subject.data.size(training.data, store.data)
    known = Known(subject, size, read_calibration(store, subject), read_evidence(store, subject, size))
    return predict(todo, [len(crew) for crew in crews], known)


def _crews(devices: Sequence[str]) -> list[list[str]]:
    """The devices of 1, 2, 4, ... workers and of all; on GPUs, whose number is no choice, of all."""
    n = len(devices)
    smaller = [2**k for k in range(n.bit_length()) if 2**k < n] if set(devices) == {"cpu"} else []
    return [list(devices[:workers]) for workers in [*smaller, n]]


def add_forecast(page: Page, forecast: "Forecast", workers: int, *, can_calibrate: bool = True) -> None:
    """The time with ``workers``, then that with other numbers of them."""
    seconds = forecast.by_workers.get(workers)
    if seconds is None:
        hint = "--calibrate measures it in a minute" if can_calibrate else "the first finished runs will tell"
        page.say(f"  estimated time: unknown; {hint}")
        return
    if seconds == 0:
        page.say("  nothing to train")
        return
    numbers = [workers, *(other for other in forecast.by_workers if other != workers)]
    times = [f"{duration(forecast.by_workers[n])} with {count(n, 'worker')}" for n in numbers]
    page.say(f"  estimated time: {', '.join(times)}")
    if forecast.best_workers != workers:
        page.say(f"  --workers {forecast.best_workers} is faster")


def kept_bytes(subject: Subject, training: "Training", todo: Sequence[Run]) -> float:
    """About how much the runs will keep of what they are scored on."""
    if subject.lean or not todo:
        return 0.0
    size = subject.data.size(training.data, training.store.data)
    return sum(subject.kept_bytes(run.config, size) for run in todo)


def add_plan(page: Page, study: Study, plan: Plan, profile: str | None) -> None:
    """The plan in a few lines."""
    n_conditions, n_seeds = len(study.conditions), len(study.seeds)
    folds = f" x {study.n_folds} folds" if study.n_folds else ""
    dataset = plan.runs[0].run.dataset
    page.say(
        f"Study {study.name}: {count(n_conditions, 'condition')} x {count(n_seeds, 'seed')}{folds} = "
        f"{count(len(plan.runs), 'run')}"
        + (f" on {dataset.name} data" if dataset.digest != NO_DATA else "")
        + (f", profile {profile}" if profile else "")
        + _designs(study)
    )
    for remark in study.remarks:
        page.say(f"  {remark}")
    counts = plan.counts()
    page.say(f"  {tally(counts)}")
    if counts[State.DAMAGED]:
        page.say(
            "  damaged runs are trained again once they are moved away: ablate doctor says which and how"
        )
    _add_excluded(page, study)
    if study.collapsed:
        n = len(study.collapsed)
        page.say(f"  {count(n, 'cell')} of the design not trained, the same training as another one:")
    _add_some(page, [f"{cell.name} -> {cell.same_as}, since {cell.why}" for cell in study.collapsed])


def _designs(study: Study) -> str:
    """``, design both and 1 more grid (ofat)``; nothing where the user has named the conditions."""
    if not study.designs:
        return ""
    main, *more = study.designs
    return f", design {main}" + (f" and {count(len(more), 'more grid')} ({', '.join(more)})" if more else "")


def _add_some(page: Page, lines: list[str]) -> None:
    """The first of many lines, and how many more there are."""
    for line in lines[:SHOWN_CELLS]:
        page.say(f"    {line}")
    if len(lines) > SHOWN_CELLS:
        page.say(f"    and {len(lines) - SHOWN_CELLS} more; --dry-run --format json lists all")


def _add_excluded(page: Page, study: Study) -> None:
    """What the study leaves out, the reason once."""
    by_reason: dict[str, list[str]] = {}
    for excluded in study.excluded:
        by_reason.setdefault(excluded.why, []).append(excluded.name)
    for why, names in by_reason.items():
        page.say(f"  {count(len(names), 'combination')} excluded: {why}")
        _add_some(page, names)


def add_noise(page: Page, study: Study, plan: Plan, store: Store, baseline: str | None) -> None:
    """What seeds of the baseline that the store has finished, of whatever study, say of this one's."""
    runs = [planned.run for planned in plan.runs if planned.name == (baseline or BASELINE)]
    if not runs or study.n_folds:  # a seed's score is then that of several runs together
        return
    folders = [store.folder(runs[0].with_seed(seed).run_id) for seed in range(SEEDS_LOOKED_UP)]
    if sum((folder.path / "result.json").exists() for folder in folders) < LEAST_SEEDS_OF_NOISE:
        return  # without a look at scipy, which takes its time
    from ablate.analysis.noise import in_a_line, noise_of

    results = [result for folder in folders if (result := _result(folder)) is not None]
    metrics = study.subject.card.metrics
    for name in metrics.headline([name for result in results for name in result])[:1]:
        scores = [result[name] for result in results if result.get(name) is not None]
        noise = noise_of(metrics.of(name), name, scores)
        if noise is not None and noise.n >= LEAST_SEEDS_OF_NOISE:
            page.say(f"  noise: {in_a_line(noise, metrics, len(study.seeds))}")


def _result(folder: RunFolder) -> dict[str, Any] | None:
    """The metrics of a finished run; a damaged one has none."""
    try:
        result = folder.look()[1]
    except StoreError:
        return None
    return None if result is None else result["metrics"]


def add_states(page: Page, runs: Sequence[Shown], names: Mapping[str, str] | None = None) -> None:
    """One row a condition, one column a seed. ``names`` (condition id -> name) tells namesakes apart.

    Folds of a seed that are in one state share a word; else it is said how many are in which.
    """
    seeds = sorted({run.seed for run in runs})
    states: dict[str, dict[int, Counter[State]]] = {}
    shown = dict(names or {})
    for run in runs:
        shown.setdefault(run.condition_id, run.name)
        states.setdefault(run.condition_id, {}).setdefault(run.seed, Counter())[run.state] += 1
    columns = [
        Column(
            (f"seed {seed}",), tuple(_in_words(by_seed.get(seed)) for by_seed in states.values()), text=True
        )
        for seed in seeds
    ]
    label = Column(("condition",), tuple(shown[condition] for condition in states), text=True)
    page.table(label, [[column] for column in columns])


def _in_words(counts: Counter[State] | None) -> str:
    if counts is None:
        return "-"
    return str(next(iter(counts))) if len(counts) == 1 else tally(counts)


def _explained(study: Study, factor: Factor) -> str:
    """What a factor is or, where nobody has said that, which level the baseline has."""
    if factor.help or study.named:
        return f": {factor.help}" if factor.help else ""
    return f": {show(factor.level(study.base))} in the baseline"


def add_reading_aid(page: Page, study: Study) -> None:
    """What the names of the conditions and the scores mean, for whoever sees the table for the first time."""
    page.say()
    if study.named:
        page.say("The study file names the conditions; they differ in:")
    else:
        page.say("A condition is named by what it changes of the baseline:")
    for factor in study.factors:
        page.say(f"  {factor.name}{_explained(study, factor)}")
    if study.subject.reading_aid:
        page.say(study.subject.reading_aid)
