"""How well, how sparingly and how fast ``ablate search`` searches.

``found``: on surfaces whose best is known (``benchmarks/search/surfaces.py``), the best of a search by TPE
beside that of a random one of as many trials, paired by the search's seed. ``best`` is the score, without the
noise that the search sees, of the condition that it would choose, and 0 the best there is; ``found`` counts
the searches whose choice is near: within 0.02 of the smooth surface's best and 0.15 of the rugged one's, and
on the conditional one the right kind with a strength within a factor of 2.

``pruning``: the same for searches with a pruner beside one without, on curves of 27 epochs; ``epochs`` is the
share of the epochs that the trials would have taken without it.

Both run all of a search but its processes and MLflow, with two runs under way at a time.

``speed``: ``ablate search`` as it is typed, with two workers, beside Optuna's own loop in two processes on
one journal file, and beside a grid of as many runs; they take turns. ``trials_per_hour``, ``idle`` and
``overhead_s`` count from the beginning of the first trial to the end of the last one: the latter two are what
the trainings leave of the workers' time, and of a trial's. ``overhead_of_command_s`` is that of the whole
command, with its imports and the creation of MLflow's database, and until MLflow shows every run.

    python -m benchmarks.searching --output benchmarks/results/searching.json
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ablate.analysis.intervals import paired_difference
from benchmarks.common import Row, context, parser, show, write
from benchmarks.search.commands import ablate_grid, ablate_search, optuna_loop
from benchmarks.search.laboratory import Found, Search
from benchmarks.search.surfaces import CURVES, EPOCHS, SURFACES, Surface

PRUNERS = ("median", "percentile", "hyperband")


def found(repeats: int, trials: int) -> Iterator[Row]:
    for surface in SURFACES:
        random = searches(surface, "random", "none", repeats, trials)
        yield {"surface": surface.name, "sampler": "random", **summary(random)}
        tpe = searches(surface, "tpe", "none", repeats, trials)
        yield {"surface": surface.name, "sampler": "tpe", **summary(tpe), **beside(tpe, random)}


def pruning(repeats: int, trials: int) -> Iterator[Row]:
    for surface in CURVES:
        without = searches(surface, "tpe", "none", repeats, trials)
        yield {"surface": surface.name, "pruner": "none", **summary(without)}
        for pruner in PRUNERS:
            pruned = searches(surface, "tpe", pruner, repeats, trials)
            yield {
                "surface": surface.name,
                "pruner": pruner,
                **summary(pruned),
                "epochs": round(_mean([each.epochs / (EPOCHS * each.trials) for each in pruned.values()]), 3),
                **beside(pruned, without),
            }


def searches(surface: Surface, sampler: str, pruner: str, repeats: int, trials: int) -> dict[int, Found]:
    """By the search's seed."""
    return {seed: Search(surface, sampler, seed, pruner).run(trials) for seed in range(repeats)}


def summary(done: Mapping[int, Found]) -> Row:
    return {
        "repeats": len(done),
        "best": round(_mean([each.best for each in done.values()]), 4),
        "found": sum(each.is_found for each in done.values()),
    }


def beside(done: Mapping[int, Found], others: Mapping[int, Found]) -> Row:
    """How much better the best is, paired by seed; an interval takes two."""
    difference = paired_difference(_bests(done), _bests(others))
    assert difference is not None
    ends = [difference.ci_low, difference.ci_high]
    return {
        "gain": round(difference.mean, 4),
        "ci": [None if end is None else round(end, 4) for end in ends],
        "p": difference.p,
        "p_sign_flip": difference.p_permutation,
    }


def _bests(done: Mapping[int, Found]) -> dict[int, float]:
    return {seed: each.best for seed, each in done.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def speed(rounds: int, long: int, short: int) -> Iterator[Row]:
    """``long`` trials of half a second, and ``short`` ones of a hundredth."""
    for _ in range(rounds):
        yield ablate_search("tpe", long, 0.5)
        yield optuna_loop("tpe", long, 0.5)
    for sampler in ("random", "tpe"):
        yield ablate_search(sampler, short, 0.01)
        yield optuna_loop(sampler, short, 0.01)
    yield ablate_grid(short, 0.01)


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--repeats", type=int, default=20, help="searches of each surface, with seeds 0, 1, ..."
    )
    options.add_argument("--trials", type=int, default=40, help="of a search of a surface")
    options.add_argument("--rounds", type=int, default=3, help="of the trials of half a second")
    options.add_argument("--long", type=int, default=60, help="trials of half a second")
    options.add_argument("--short", type=int, default=1000, help="trials of a hundredth of a second")
    options.add_argument("--part", choices=["found", "pruning", "speed"], help="only this")
    chosen = options.parse_args()
    where = context("optuna", "mlflow")
    parts: dict[str, Callable[[], Iterator[Any]]] = {
        "found": lambda: found(chosen.repeats, chosen.trials),
        "pruning": lambda: pruning(chosen.repeats, chosen.trials),
        "speed": lambda: speed(chosen.rounds, chosen.long, chosen.short),
    }
    rows: list[Row] = []
    for part in parts if chosen.part is None else [chosen.part]:
        for row in parts[part]():
            rows.append({"part": part, **row})
            show(rows[-1])
    write(chosen.output, where, rows)


if __name__ == "__main__":
    main()
