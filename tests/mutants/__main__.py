"""Change the core in small ways, one at a time, and count which changes the tests notice.

    python -m tests.mutants --output docs/mutants.json
    python -m tests.mutants --area leases --each 20 --output leases.json
    python -m tests.mutants --output docs/mutants.json --survivors
    python -m tests.mutants --output docs/mutants.json --area leases --again --tests tests/ground

Typed again after an interruption, it goes on where it was.
"""

import argparse
import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.mutants.mutations import Source
from tests.mutants.plan import AREAS, Area
from tests.mutants.record import SURVIVED, Record, equal, survivors, table
from tests.mutants.trials import Laboratory, Reach, laboratory

CONTROL_EVERY = 25  # the same tests on the module as it is, which must pass


def main(areas: Mapping[str, Area] = AREAS) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, default=Path("mutants.json"), help="what was found, as JSON")
    parser.add_argument(
        "--area", action="append", choices=list(areas), help="one of the core's (default: all)"
    )
    parser.add_argument(
        "--each", type=int, default=40, help="mutants of each module, picked by --seed; 0: all"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="try survivors again, and no others")
    parser.add_argument("--tests", nargs="+", help="with --again: the new ones, which are quicker alone")
    parser.add_argument("--table", action="store_true", help="print the table of --output; try nothing")
    parser.add_argument(
        "--survivors", action="store_true", help="print those that are not equal; try nothing"
    )
    options = parser.parse_args()
    if options.tests and not options.again:
        parser.error("--tests is for --again: other mutants are tried with all tests of their area")
    record = Record.open(options.output.absolute())
    names = options.area or list(areas)
    if not options.table and not options.survivors:
        for name in names:
            area = replace(areas[name], tests=tuple(options.tests or areas[name].tests))
            with laboratory(area) as made:
                examine(made, name, record, options)
    if options.survivors:
        print_survivors(record, names)
    else:
        print(table(record.content, equal()))


def examine(made: Laboratory, name: str, record: Record, options: argparse.Namespace) -> None:
    """Try the mutants of an area that have not been tried."""
    todo = {module: _todo(made.area, name, module, record, options) for module in made.area.modules}
    if not any(todo.values()):
        return
    started = time.monotonic()
    reach = made.reach()
    if not options.tests:
        record.area(name)["failed"] = reach.failed
    took = time.monotonic() - started
    print(
        f"{name}: {len(reach.seconds)} tests, {took:.0f} s; without {len(reach.failed)} that do not pass",
        flush=True,
    )
    for module, names in todo.items():
        _try_each(made, name, module, names, reach, record)


def _todo(area: Area, name: str, module: str, record: Record, options: argparse.Namespace) -> list[str]:
    there = Source(_text(area, module)).mutants
    verdicts = record.module(name, module, there)["verdicts"]
    if options.again:
        return [each for each, verdict in verdicts.items() if verdict == SURVIVED]
    sample = sorted(there, key=lambda each: hashlib.sha256(f"{options.seed} {each}".encode()).hexdigest())
    return [each for each in sample[: options.each or None] if each not in verdicts]


def _try_each(
    made: Laboratory, name: str, module: str, names: list[str], reach: Reach, record: Record
) -> None:
    text = _text(made.area, module)
    mutants = Source(text).mutants
    area: dict[str, Any] = record.area(name)
    for place, each in enumerate(names):
        mutant = mutants[each]
        tests = reach.tests(module, mutant)
        seconds = sum(reach.seconds[test] for test in tests)
        verdict, cpu_s = made.verdict(module, mutant.text, tests, seconds) if tests else (SURVIVED, 0.0)
        record.add(area["modules"][module], each, mutant, verdict)
        print(
            f"{module} {each} {mutant.where}: {verdict} ({len(tests)} tests, {cpu_s:.1f} CPU s)", flush=True
        )
        if tests and place % CONTROL_EVERY == 0:
            control, _ = made.verdict(module, text, tests, seconds)
            if control != SURVIVED:
                raise RuntimeError(f"{module} as it is was {control}: {made.log.read_text()}")
            area["controls"] += 1
    record.save()


def _text(area: Area, module: str) -> str:
    return (area.root / module).read_text(encoding="utf-8")


def print_survivors(record: Record, areas: list[str]) -> None:
    known = equal()
    for name in areas:
        for (module, where, was, becomes), reason in survivors(record.area(name), known):
            if reason is None:
                print(f"\n{module} {where}\n- {was}\n+ {becomes}")


if __name__ == "__main__":
    main()
