"""The long form: barrages of two thousand injections, two hundred races, a hundred moments of a study of the
built-in subject, every other fault, and searches that are killed; counted.

    python -m tests.faults --output docs/reliability.json
    python -m tests.faults --replay "barrage, local workers" 4711

Typed again after an interruption, it goes on where it was. Exit code 1 when anything was found.
"""

import argparse
import gc
import itertools
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.faults.laboratory import BARRAGES, LIGHT_RACES, PRUNERS, RACES, Laboratory
from tests.faults.record import Record, Trial, tables
from tests.faults.scenarios import MOMENTS, OTHERS, may_mount

# Injections that must meet a running study; what a cluster costs more, it is asked for less.
INJECTIONS = {"local workers": 1000, "inline": 500, "MLflow's server": 200, "Slurm": 150, "Ray": 150}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--barrages",
        default=",".join(f"{name}={number}" for name, number in INJECTIONS.items()),
        metavar="NAME=INJECTIONS,..",
        help="injections by barrages; default: %(default)s",
    )
    parser.add_argument("--in-a-barrage", type=int, default=20, help="injections that a study gets, at most")
    parser.add_argument("--races", type=int, default=50, help="races of each form, of light runs")
    parser.add_argument("--moments", type=int, default=100, help="moments at which a process gets a signal")
    parser.add_argument("--others", type=int, default=3, help="trials of each other fault")
    parser.add_argument("--crowds", type=int, default=3, help="races of each form, of the built-in subject's")
    parser.add_argument(
        "--searches", type=int, default=10, help="searches of each form, killed again and again"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first trial; the next have the next")
    parser.add_argument("--replay", nargs=2, metavar=("SCENARIO", "SEED"), help="one trial, and keep it")
    parser.add_argument("--output", type=Path, default=Path("faults.json"), help="the trials, as JSON")
    parser.add_argument("--table", action="store_true", help="print the tables of --output; run nothing")
    options = parser.parse_args()
    # A shell that runs this in the background has Ctrl-C ignored, which the commands would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()  # else the forks copy what is only looked through
    if options.table:
        print(tables(json.loads(options.output.read_text())["sittings"]))
        return
    laboratory = Laboratory.open(options.in_a_barrage)
    with laboratory.cleanup:
        if options.replay:
            name, seed = options.replay
            print(json.dumps(laboratory.perform(name, int(seed)), indent=1))
            return
        record = Record.open(options.output, options.seed)
        for trial in trials(laboratory, record, options):
            record.add(trial)
    print(tables(record.content["sittings"][-1:]))
    sys.exit(any(trial["problems"] for trial in record.trials))


def trials(laboratory: Laboratory, record: Record, options: argparse.Namespace) -> Iterator[Trial]:
    """Everything that was asked for, from the record where it has been done."""

    def perform(scenario: str, seed: int) -> Trial:
        return record.find(scenario, seed) or laboratory.perform(scenario, seed)

    def until(injections: int, scenarios: Mapping[str, object]) -> Iterator[Trial]:
        """The scenarios in turn; a trial whose study was over before the moment counts for nothing."""
        met = 0
        for seed, name in zip(itertools.count(options.seed), itertools.cycle(scenarios)):
            if met >= injections:
                return
            trial = perform(name, seed)
            met += len(trial["injections"])
            yield trial

    def repeated(number: int, scenarios: Mapping[str, object]) -> Iterator[Trial]:
        for seed, name in itertools.product(range(options.seed, options.seed + number), scenarios):
            yield perform(name, seed)

    asked = dict(each.split("=") for each in filter(None, options.barrages.split(",")))
    for name, ground in BARRAGES.items():
        yield from until(int(asked.get(ground, 0)), {name: ground})
    yield from repeated(options.races, LIGHT_RACES)
    yield from until(options.moments, MOMENTS)
    mountable = may_mount(laboratory.folder / "disk")
    yield from repeated(
        options.others, {name: of for name, of in OTHERS.items() if name != "disk full" or mountable}
    )
    yield from repeated(options.crowds, RACES)
    yield from repeated(options.searches, PRUNERS)


if __name__ == "__main__":
    main()
