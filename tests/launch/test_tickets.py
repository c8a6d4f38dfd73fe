"""Tickets change hands once, whoever reaches for them at the same moment, and none is ever lost."""

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.ground.errors import StoreError
from ablate.launch.base import Event, Kind, Task
from ablate.launch.tickets import Inbox, Outbox, Queue, Sheet


def sheet(folder: Path) -> Sheet:
    return Sheet(str(folder), "s", {"kind": "built-in"}, "0.1.0")


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    queue = Queue(tmp_path / "queue")
    queue.open(sheet(tmp_path))
    return queue


def task(name: str) -> Task:
    return Task(Path("/store/runs") / name, Path("/store/data"))


def put(queue: Queue, *names: str) -> None:
    for name in names:
        queue.put(task(name))


def ids(queue: Queue, member: str, n: int, first: int = 0) -> list[str]:
    return [ticket.task.run_id for ticket in queue.take(member, n, first)]


def test_tickets_are_taken_in_the_order_of_planning(queue: Queue) -> None:
    put(queue, "b", "a", "c")
    assert ids(queue, "1_0", 2) == ["b", "a"]
    assert ids(queue, "1_1", 2) == ["c"]
    assert ids(queue, "1_0", 2) == []


def test_members_that_look_at_the_same_moment_begin_at_places_of_their_own(queue: Queue) -> None:
    put(queue, "a", "b", "c")
    assert ids(queue, "1_1", 1, first=1) == ["b"]
    assert ids(queue, "1_5", 2, first=5) == ["c", "a"]


def test_members_share_what_waits(queue: Queue) -> None:
    put(queue, *"abcdefghij")
    assert [ticket.task.run_id for ticket in queue.take("1_0", 8, among=4)] == ["a", "b", "c"]
    assert [ticket.task.run_id for ticket in queue.take("1_1", 8, among=4)] == ["d", "e"]


def test_a_ticket_holds_its_task(queue: Queue) -> None:
    whole = Task(Path("/store/runs/b"), Path("/data"), weights_of=Path("/store/runs/a"))
    queue.put(whole)
    (ticket,) = queue.take("1_0", 1)
    assert ticket.task == whole


def test_what_a_member_has_not_done_goes_back_when_it_leaves(queue: Queue) -> None:
    put(queue, "a", "b")
    with queue.joined("1_0"):
        first, _ = queue.take("1_0", 2)
        queue.done("1_0", first)
        assert queue.n_waiting() == 0
    assert queue.tickets() == {"b"}
    assert queue.n_waiting() == 1


def test_what_a_dead_member_had_is_reclaimed_and_what_a_living_one_has_is_not(queue: Queue) -> None:
    put(queue, "a", "b")
    with queue.joined("1_0"):
        assert ids(queue, "1_0", 1) == ["a"]
        assert ids(queue, "gone", 1) == ["b"]
        assert queue.reclaim() == 1
        assert ids(queue, "1_0", 2) == ["b"]


def test_a_member_that_is_begun_again_finds_what_it_had(queue: Queue) -> None:
    put(queue, "a")
    assert ids(queue, "1_0", 1) == ["a"]
    with queue.joined("1_0"):
        assert ids(queue, "1_0", 1) == ["a"]


def test_withdrawing_leaves_what_is_taken(queue: Queue) -> None:
    put(queue, "a", "b", "c")
    queue.take("1_0", 1)
    assert queue.withdraw() == 2
    assert queue.tickets() == {"a"}


def test_a_damaged_ticket_is_dropped_for_the_controller_to_write_anew(queue: Queue) -> None:
    put(queue, "a", "b")
    damaged = next((queue.path / "waiting").glob("*-a.json"))
    damaged.write_text("{")
    assert ids(queue, "1_0", 2) == ["b"]
    assert queue.tickets() == {"b"}


def test_a_later_controller_goes_on_after_the_tickets_that_are_there(queue: Queue, tmp_path: Path) -> None:
    put(queue, "a", "b")
    later = Queue(queue.path)
    later.open(sheet(tmp_path))
    put(later, "c")
    assert ids(later, "1_0", 3) == ["a", "b", "c"]


def test_a_sheet_is_read_as_it_was_written(queue: Queue, tmp_path: Path) -> None:
    assert queue.sheet() == sheet(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"store": 1}'])
def test_a_sheet_that_is_none_is_named(queue: Queue, text: str) -> None:
    (queue.path / "sheet.json").write_text(text)
    with pytest.raises(StoreError, match=r"sheet\.json: cannot be read"):
        queue.sheet()


def test_a_controller_is_seen_as_long_as_it_is_there(queue: Queue) -> None:
    assert not queue.is_controlled()
    with queue.controlled(), queue.controlled():  # a second one does without the lease
        assert queue.is_controlled()
    assert not queue.is_controlled()


# Events.

STARTED, EPOCH, ENDED = Event(Kind.STARTED, "a"), Event(Kind.EPOCH, "a", 1), Event(Kind.FINISHED, "a")


def test_events_come_once_and_in_order(queue: Queue) -> None:
    inbox, outbox = Inbox(queue), Outbox(queue, "1_0")
    for event in (STARTED, EPOCH, ENDED):
        outbox.add(event)
    assert inbox.read() == [STARTED, EPOCH, ENDED]
    assert inbox.read() == []


def test_a_later_inbox_is_told_what_comes_after_it(queue: Queue) -> None:
    outbox = Outbox(queue, "1_0")
    outbox.add(STARTED)
    inbox = Inbox(queue)
    outbox.add(ENDED)
    assert inbox.read() == [ENDED]


def test_half_a_line_is_read_when_it_is_whole(queue: Queue) -> None:
    inbox, outbox = Inbox(queue), Outbox(queue, "1_0")
    outbox.add(STARTED)
    file = queue.path / "events" / "1_0.jsonl"
    line = file.read_bytes()
    file.write_bytes(line[:10])
    assert inbox.read() == []
    file.write_bytes(line)
    assert inbox.read() == [STARTED]


@given(st.binary(max_size=60))
def test_a_line_that_is_no_event_is_no_event(line: bytes) -> None:
    from ablate.launch.tickets import _event

    found = _event(line.replace(b"\n", b""))
    assert found is None or isinstance(found, Event)


# Many at once.

N_TICKETS, N_MEMBERS = 60, 4


def _take_all(path: Path, member: str, found: "multiprocessing.Queue[tuple[str, list[str]]]") -> None:
    queue = Queue(path)
    taken: list[str] = []
    while tickets := queue.take(member, 3, first=os.getpid()):
        taken += [ticket.task.run_id for ticket in tickets]
    found.put((member, taken))


def test_each_ticket_is_taken_by_one_of_several_processes(queue: Queue) -> None:
    put(queue, *(f"run{i}" for i in range(N_TICKETS)))
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[tuple[str, list[str]]] = context.Queue()
    members = [
        context.Process(target=_take_all, args=(queue.path, f"1_{k}", found)) for k in range(N_MEMBERS)
    ]
    for member in members:
        member.start()
    taken = [found.get(timeout=60) for _ in members]
    for member in members:
        member.join(60)
    everything = [run_id for _, ids in taken for run_id in ids]
    assert sorted(everything) == sorted(f"run{i}" for i in range(N_TICKETS))
