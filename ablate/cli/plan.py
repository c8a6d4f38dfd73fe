"""How a plan looks: in words, as a table of conditions and seeds, and in JSON."""

from collections.abc import Mapping
from typing import Any

from ablate.cli.console import print_table
from ablate.cli.words import count
from ablate.design.study import Study
from ablate.rundir import State
from ablate.schedule.grid import Plan, PlannedRun

SHOWN_CELLS = 8


def describe_run(planned: PlannedRun) -> dict[str, Any]:
    """A planned run for JSON."""
    run, status = planned.run, planned.status
    return {
        "run_id": run.run_id,
        "name": run.name,
        "condition": run.condition,
        "seed": run.seed,
        "state": status.state,
        "cause": status.cause,
    }


def describe_plan(study: Study, plan: Plan, seconds: float | None) -> dict[str, Any]:
    """A plan for JSON: what is to be trained, what need not be, and why."""
    dataset = plan.runs[0].run.dataset
    return {
        "study": study.name,
        "dataset": {"name": dataset.name, "digest": dataset.digest},
        "n_conditions": len(study.conditions),
        "seeds": study.seeds,
        "counts": plan.counts(),
        "estimated_seconds": seconds,
        "runs": [describe_run(planned) for planned in plan.runs],
        "excluded": [vars(excluded) for excluded in study.excluded],
        "collapsed": [vars(collapsed) for collapsed in study.collapsed],
    }


def print_plan(study: Study, plan: Plan, profile: str) -> None:
    """The plan in a few lines."""
    n_conditions, n_seeds = len(study.conditions), len(study.seeds)
    print(
        f"Study {study.name}: {count(n_conditions, 'condition')} x {count(n_seeds, 'seed')} = "
        f"{count(len(plan.runs), 'run')} on {plan.runs[0].run.dataset.name} data, profile {profile}"
    )
    print(f"  {plan.summary()}")
    _print_excluded(study)
    if study.collapsed:
        n = len(study.collapsed)
        print(f"  {count(n, 'cell')} of the design not trained, the same training as another one:")
    _print_some([f"{cell.name} -> {cell.same_as}, since {cell.why}" for cell in study.collapsed])


def _print_some(lines: list[str]) -> None:
    """The first of many lines, and how many more there are."""
    for line in lines[:SHOWN_CELLS]:
        print(f"    {line}")
    if len(lines) > SHOWN_CELLS:
        print(f"    and {len(lines) - SHOWN_CELLS} more; --dry-run --format json lists all")


def _print_excluded(study: Study) -> None:
    """What the study leaves out, the reason once."""
    by_reason: dict[str, list[str]] = {}
    for excluded in study.excluded:
        by_reason.setdefault(excluded.why, []).append(excluded.name)
    for why, names in by_reason.items():
        print(f"  {count(len(names), 'combination')} excluded: {why}")
        _print_some(names)


def print_states(plan: Plan, names: Mapping[str, str] | None = None) -> None:
    """One row a condition, one column a seed. ``names`` (condition id -> name) tells namesakes apart."""
    seeds = sorted({planned.run.seed for planned in plan.runs})
    states: dict[str, dict[int, State]] = {}
    shown = dict(names or {})
    for planned in plan.runs:
        condition = planned.run.condition_id
        shown.setdefault(condition, planned.run.name)
        states.setdefault(condition, {})[planned.run.seed] = planned.status.state
    rows = [
        [shown[condition], *(by_seed.get(seed, "-") for seed in seeds)]
        for condition, by_seed in states.items()
    ]
    print_table(["condition", *(f"seed {seed}" for seed in seeds)], rows)


def print_reading_aid(study: Study) -> None:
    """What the names of the conditions and the scores mean, for whoever sees the table for the first time."""
    if study.named:
        print("\nThe study file names the conditions; they differ in:")
    else:
        print("\nA condition is named by what it changes of the baseline:")
    for factor in study.factors:
        print(f"  {factor.name}: {factor.help}")
    print(
        "Scores are of the evaluation data. Scene micro F is the share of clips whose scene is right; event"
    )
    print("micro F is of the events detected in frames of 20 ms.")
