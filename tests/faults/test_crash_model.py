"""What a disk may hold after a crash, on files that a reader can follow by hand."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.crash.__main__ import main
from tests.faults.crash.disk import (
    ROOT,
    Disk,
    Enter,
    Flush,
    Leave,
    Move,
    Operation,
    Write,
    disk_after,
)
from tests.faults.crash.recording import _Reader, _whole
from tests.faults.crash.states import Crash, Model, crashes, disk_of, journaled, open_to_loss

STORE, DRAFT, NOTE = 1, 2, 3
BEFORE = [Enter(ROOT, "store", STORE, True), Flush(ROOT), Flush(STORE)]

# As a file is replaced: written under another name, which it then changes.
REPLACING: list[Operation] = [
    *BEFORE,
    Enter(STORE, ".a", DRAFT),
    Write(DRAFT, 0, b"new"),
    Move(STORE, ".a", STORE, "a", DRAFT),
]
FLUSHED_BEFORE_ITS_NAME = [*REPLACING[:5], Flush(DRAFT), REPLACING[5]]


def found(operations: Sequence[Operation], model: Model, n: int = 200) -> list[dict[str, bytes | None]]:
    """All that the store may hold after the last operation, as far as ``n`` seeds find it."""
    trees = [disk_of(operations, Crash(len(operations), model, seed)).tree("store") for seed in range(n)]
    return [tree for index, tree in enumerate(trees) if tree not in trees[:index]]


def test_a_killed_process_loses_nothing() -> None:
    assert found(REPLACING, Model.KILLED) == [{"a": b"new"}]


def test_a_file_that_was_not_flushed_may_have_its_name_and_no_content() -> None:
    assert {"a": b""} in found(REPLACING, Model.ORDERED)
    assert {"a": b"\0\0\0"} in found(REPLACING, Model.WRITEBACK)
    assert {"a": b""} in found(REPLACING, Model.UNORDERED)


def test_a_file_that_was_flushed_before_it_got_its_name_is_whole_or_absent() -> None:
    for model in (Model.ORDERED, Model.WRITEBACK, Model.UNORDERED):
        trees = found(FLUSHED_BEFORE_ITS_NAME, model)
        assert {"a": b"new"} in trees
        assert all(tree.get("a", b"new") == b"new" for tree in trees)


def test_a_name_is_there_for_sure_once_its_folder_was_flushed() -> None:
    for model in Model:
        assert found([*FLUSHED_BEFORE_ITS_NAME, Flush(STORE)], model) == [{"a": b"new"}]


def test_names_are_lost_in_any_order_only_where_none_is_promised() -> None:
    """Two files are made; a journal has the second only with the first."""
    operations = [*BEFORE, Enter(STORE, "first", DRAFT), Enter(STORE, "second", NOTE)]
    only_second = {"second": b""}
    assert only_second in found(operations, Model.UNORDERED)
    assert only_second not in found(operations, Model.WRITEBACK)
    assert {"first": b""} in found(operations, Model.WRITEBACK)


def test_a_removal_may_be_undone() -> None:
    operations = [*BEFORE, Enter(STORE, "a", NOTE), Flush(STORE), Leave(STORE, "a", NOTE)]
    trees = found(operations, Model.ORDERED)
    assert len(trees) == 2
    assert {} in trees
    assert {"a": b""} in trees


def test_a_journal_has_all_until_the_last_change_of_what_was_flushed() -> None:
    operations = [
        Enter(ROOT, "a", DRAFT),  # 0
        Enter(ROOT, "b", NOTE),  # 1
        Write(NOTE, 0, b"longer"),  # 2: the size changes, which the journal has
        Enter(ROOT, "c", 4),  # 3
        Flush(NOTE),  # 4
        Write(NOTE, 0, b"again"),  # 5: within the file, so its flush brings no journal
        Flush(NOTE),
    ]
    assert journaled(operations) == 3
    assert open_to_loss(operations) == [0, 1, 3]  # by what POSIX says of names


def test_the_page_shows_the_table_of_the_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    monkeypatch.setattr(sys, "argv", ["crash", "--table", "--output", str(docs / "crashes.json")])
    main()
    assert capsys.readouterr().out in (docs / "reliability.md").read_text(encoding="utf-8")


def test_large_writes_are_torn_between_blocks() -> None:
    old, new = b"o" * 8192, b"n" * 8192
    operations = [*BEFORE, Enter(STORE, "a", NOTE), Write(NOTE, 0, old), Flush(NOTE), Flush(STORE)]
    trees = found([*operations, Write(NOTE, 0, new)], Model.WRITEBACK)
    assert {"a": old[:4096] + new[4096:]} in trees
    assert {"a": new[:4096] + old[4096:]} in trees
    assert all(set(tree["a"] or b"") <= set(b"on") for tree in trees)


def test_no_two_crashes_leave_the_same() -> None:
    digests = [disk.digest("store") for _, disk in crashes(REPLACING, len(BEFORE), 50, seed=0)]
    assert 5 < len(digests) == len(set(digests))


def test_a_trace_is_read_as_operations() -> None:
    """Two threads of ``strace``: a write is cut in two while another thread renames."""

    def text(path: str) -> str:
        return "".join(f"\\x{byte:02x}" for byte in path.encode())

    handle = f"3<{text('/r/.a')}>"
    lines = [
        f'7 openat(AT_FDCWD<{text("/r")}>, "{text(".a")}", O_WRONLY|O_CREAT|O_TRUNC, 0666) = {handle}',
        f'7 write({handle}, "{text("hi")}", 2 <unfinished ...>',
        f'8 mkdir("{text("/r/b")}", 0777) = 0',
        "7 <... write resumed>)              = 2",
        f"7 fsync({handle}) = 0",
        f'7 rename("{text("/r/.a")}", "{text("/r/a")}") = 0',
        f'8 unlink("{text("/r/none")}") = -1 ENOENT (No such file or directory)',
    ]
    reader = _Reader("/r")
    for line in _whole(iter(lines)):
        reader.read(line)
    assert reader.operations == [
        Enter(ROOT, ".a", 1),
        Enter(ROOT, "b", 2, True),
        Write(1, 0, b"hi"),
        Flush(1),
        Move(ROOT, ".a", ROOT, "a", 1),
    ]
    assert disk_after(reader.operations).tree("") == {"a": b"hi", "b": None}


def test_what_has_no_name_is_not_there() -> None:
    disk = Disk()
    disk.apply(Write(NOTE, 0, b"lost"))
    assert disk.tree("") == {}
