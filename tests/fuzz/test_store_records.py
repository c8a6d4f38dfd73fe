"""The records of a store beside the run folders, and those that queues and clusters meet in, with changes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.ground.errors import DataError
from ablate.ground.leases import holder, lease
from ablate.launch.tickets import Inbox, Outbox, Queue
from ablate.mtl.data.fetching import Source
from ablate.mtl.data.ledger import Ledger
from ablate.mtl.data.unpacking import Unpacked
from ablate.record.cancellation import Cancellation
from ablate.record.decision import changes, decision_file, read_decision, write_decision
from ablate.record.looks import note_look, read_looks
from ablate.record.rundir import RunFolder
from ablate.record.searches import SearchFolder, TrialNumbers, origin, write_origin
from ablate.record.store import Store
from ablate.schedule.estimate import (
    Calibration,
    Overheads,
    Speed,
    add_calibration,
    calibration_file,
    read_calibration,
)
from ablate.subject.items import Items, Overall, Ratios
from ablate.subject.printed import read_rows
from ablate.upkeep.inventory import Inventory
from tests.faults.light import subject as light
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated
from tests.launch.test_tickets import STARTED, sheet, task
from tests.record.test_decision import LOOKED, PLAN
from tests.record.test_searches import AGAIN, FIRST, SECOND
from tests.schedule.test_search import plan


@dataclass(frozen=True)
class Reader:
    """``write`` makes a valid file in a folder, and ``read`` does with it all that a command may."""

    write: Callable[[Path], Path]
    read: Callable[[Path], object]


def write_decided(folder: Path) -> Path:
    write_decision(Store(folder), LOOKED)
    return decision_file(Store(folder), "s")


def read_decided(folder: Path) -> None:
    decision = read_decision(Store(folder), "s")
    assert decision is not None
    changes(decision.plan, PLAN)
    decision.latest()
    decision.taken(5)


def search_in(folder: Path) -> SearchFolder:
    return SearchFolder.of(Store(folder), "s")


def write_search(folder: Path) -> Path:
    search = search_in(folder)
    with search.claim():
        search.write_plan(plan())
        for trial in (FIRST, SECOND, AGAIN):
            search.append(trial)
    return search.plan_file


def write_trials(folder: Path) -> Path:
    write_search(folder)
    return search_in(folder).trials_file


def read_trials(folder: Path) -> None:
    TrialNumbers(search_in(folder)).of("a" * 16)
    search_in(folder).trials()


def write_origin_of(folder: Path) -> Path:
    write_origin(Store(folder), "s", "found")
    return Store(folder).study_folder("s") / "origin.json"


def write_looks(folder: Path) -> Path:
    Store(folder).study_folder("s").parent.mkdir(parents=True, exist_ok=True)
    note_look(Store(folder), "s", {"a1": 3, "b1": 3})
    return Store(folder).study_folder("s") / "looks.json"


def read_looked(folder: Path) -> None:
    for counts in read_looks(Store(folder), "s").values():
        max(counts)
    note_look(Store(folder), "s", {"a1": 5})


def write_cancelled(folder: Path) -> Path:
    Cancellation(Store(folder), "s").say()
    return Store(folder).study_folder("s") / "cancelled"


ITEMS = Items(
    ("a.wav", "b.wav"),
    {"event_f": Ratios(("car", "dog"), np.array([[1, 2], [0, 3]]), np.array([[2, 2], [1, 4]]))},
    {"micro": Overall("event_f", "micro", ("dog",)), "macro": Overall("event_f", "macro", ())},
)


def write_items(folder: Path) -> Path:
    (folder / "items.npz").write_bytes(ITEMS.to_bytes())
    return folder / "items.npz"


def read_items(folder: Path) -> None:
    items = RunFolder(folder).items()
    assert items is not None
    for metric in items.metrics:
        items.score(metric)
        terms = items.terms(metric)
        if terms is not None:
            terms.alone()
            terms.without_each()
            terms.exposure()


def write_rescored(folder: Path) -> Path:
    RunFolder(folder).add_scores({"f": 0.5, "g": None}, None)
    return folder / "rescored.json"


def write_energy(folder: Path) -> Path:
    RunFolder(folder).note_energy(0.25)
    return folder / "energy.json"


def write_queue(folder: Path) -> Queue:
    queue = Queue(folder)
    queue.open(sheet(folder))
    queue.put(task("a"))
    outbox = Outbox(queue, "1_0")
    outbox.add(STARTED)
    outbox.flush()
    return queue


def write_sheet(folder: Path) -> Path:
    write_queue(folder)
    return folder / "sheet.json"


def write_ticket(folder: Path) -> Path:
    write_queue(folder)
    return next((folder / "waiting").iterdir())


def read_ticket(folder: Path) -> None:
    queue = Queue(folder)
    for ticket in queue.take("1_0", 1):
        queue.put_back("1_0", ticket)


def write_events(folder: Path) -> Path:
    write_queue(folder)
    return folder / "events" / "1_0.jsonl"


def read_events(folder: Path) -> None:
    file = folder / "events" / "1_0.jsonl"
    content = file.read_bytes()
    file.unlink()
    inbox = Inbox(Queue(folder))
    file.write_bytes(content)
    inbox.read()


def write_refused(folder: Path) -> Path:
    write_queue(folder).refuse("1_0", "no GPU é")
    return folder / "refused" / "1_0"


def write_pruned(folder: Path) -> Path:
    write_queue(folder).prune("a", "hopeless é")
    return folder / "pruned" / "a"


def write_claim(folder: Path) -> Path:
    with lease(folder / "lock", 0):
        pass
    return folder / "lock.1"


def read_claim(folder: Path) -> None:
    holder(folder / "lock")
    try:
        with lease(folder / "lock", 0):
            pass
    except TimeoutError:  # of another host, as far as it says
        pass
    for claim in folder.glob("lock.*"):
        claim.unlink()


def write_calibration(folder: Path) -> Path:
    add_calibration(
        Store(folder), light, Calibration(Overheads(1.0, 2.0, 0.5), {"light": {1: Speed(0.1, 3.0)}})
    )
    return calibration_file(Store(folder))


def read_calibrated(folder: Path) -> None:
    known = read_calibration(Store(folder), light)
    sum(vars(known.overheads).values())
    for by_workers in known.speeds.values():
        for workers, speed in by_workers.items():
            float(workers * (speed.step_s + speed.evaluation_s))
    add_calibration(Store(folder), light, Calibration())


SOURCE = Source("https://zenodo.org/a.zip", 100, "0" * 32)


def write_ledger(folder: Path) -> Path:
    Ledger(folder).add(SOURCE, {"audio/a.wav": Unpacked(100, 1, 2)})
    return folder / "download.json"


def write_rows(folder: Path) -> Path:
    (folder / "curves.jsonl").write_text(
        '{"epoch": 1, "seconds": 0.5, "loss": 2}\n{"epoch": 2, "seconds": 1, "loss": 1}\n'
    )
    return folder / "curves.jsonl"


def write_study(folder: Path) -> Path:
    (folder / "s.json").write_text(
        json.dumps({"commands": ['ablate grid "a b"', "ablate study x"]}, indent=1)
    )
    return folder / "s.json"


READERS = {
    "decision.json": Reader(write_decided, read_decided),
    "search.json": Reader(write_search, lambda folder: search_in(folder).plan()),
    "trials.jsonl": Reader(write_trials, read_trials),
    "origin.json": Reader(write_origin_of, lambda folder: origin(Store(folder), "s")),
    "looks.json": Reader(write_looks, read_looked),
    "cancelled": Reader(write_cancelled, lambda folder: Cancellation(Store(folder), "s").is_new()),
    "items.npz": Reader(write_items, read_items),
    "rescored.json": Reader(write_rescored, lambda folder: RunFolder(folder).rescored()),
    "energy.json": Reader(write_energy, lambda folder: RunFolder(folder).noted_energy()),
    "sheet.json": Reader(write_sheet, lambda folder: Queue(folder).sheet()),
    "tickets": Reader(write_ticket, read_ticket),
    "events of jobs": Reader(write_events, read_events),
    "refusals of jobs": Reader(write_refused, lambda folder: Queue(folder).refusals("1")),
    "prunings of jobs": Reader(write_pruned, lambda folder: Queue(folder).why_pruned("a")),
    "claims of leases": Reader(write_claim, read_claim),
    "calibration.json": Reader(write_calibration, read_calibrated),
    "download.json": Reader(write_ledger, lambda folder: Ledger(folder).has(SOURCE)),
    "curves of scripts": Reader(write_rows, lambda folder: read_rows(folder / "curves.jsonl")),
    "commands in studies": Reader(
        write_study, lambda folder: Inventory(Store(folder)).commands_in(folder / "s.json")
    ),
}


def contents(original: bytes) -> st.SearchStrategy[bytes]:
    """Changed bytes; of JSON, also another value in a line."""
    try:
        lines = [json.loads(original)]
    except ValueError:
        try:
            lines = [json.loads(line) for line in original.splitlines()]
        except ValueError:
            return mutated([original])
    return mutated([original]) | changed(lines).map(as_lines)


def as_lines(value: Any) -> bytes:
    """As Python writes it: with NaN, infinity and halves of characters. What it cannot write is replaced."""
    try:
        return b"".join(json.dumps(part).encode() + b"\n" for part in value)
    except (ValueError, RecursionError, TypeError):
        return b"[" * 2000


@pytest.mark.parametrize("name", READERS)
def test_changed_records(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    file = reader.write(tmp_path)
    original = file.read_bytes()
    reader.read(tmp_path)  # as it was written it is accepted

    @fuzzed(quick=25)
    @given(content=contents(original))
    def run(content: bytes) -> None:
        file.write_bytes(content)
        with case(name):
            reader.read(tmp_path)

    run()


DEEP = b"[" * 100_000 + b"\n"
ONCE_BROKE = (
    ("refusals of jobs", b"\xff"),
    ("prunings of jobs", b"\xff"),
    ("events of jobs", DEEP),
    ("claims of leases", DEEP),
    ("claims of leases", b"\xff"),
    ("claims of leases", b'{"host": "here", "kernel": "k", "pid": "x"}'),
    ("curves of scripts", DEEP),
    ("curves of scripts", b'{"epoch": 1, "seconds": 1}\n{"epoch": "b", "seconds": 1}\n'),
    ("trials.jsonl", b'{"number": 0, "name": "x", "draws": {}, "after": []}\n'),
    ("calibration.json", b'{"another host": NaN}'),
    ("commands in studies", b'"ablate grid \\"\n'),
)


@pytest.mark.parametrize(("name", "content"), ONCE_BROKE)
def test_what_once_broke(name: str, content: bytes, tmp_path: Path) -> None:
    READERS[name].write(tmp_path).write_bytes(content)
    with case(name):
        READERS[name].read(tmp_path)


def test_a_value_too_many_or_too_few_is_damage(tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path)
    ledger.write_text(ledger.read_text().replace('"crc32"', '"more": 1, "crc32"'))
    with pytest.raises(DataError, match=r"download.json: cannot be read .*more.*; remove it"):
        Ledger(tmp_path)
    calibration = write_calibration(tmp_path)
    calibration.write_text(calibration.read_text().replace("0.5", "null"))
    assert read_calibration(Store(tmp_path), light) == Calibration()
