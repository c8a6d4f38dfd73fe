"""The store's folder: can it hold what studies write?"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.upkeep import storage
from ablate.upkeep.findings import Level
from ablate.upkeep.inventory import Inventory
from ablate.upkeep.storage import check_disk, check_store, file_system, needed_bytes, size
from tests.upkeep.conftest import Find, contents


def test_a_good_store_is_named_with_its_file_system_and_left_as_it_was(store: Store) -> None:
    before = set(contents(store.root))
    (finding,) = check_store(Inventory(store))
    assert finding.level is Level.OK
    assert finding.text == (
        f"{store.root} on {file_system(store.root)}; can be written, locks and hard links work"
    )
    assert set(contents(store.root)) == before


def test_an_absent_store_is_not_made(tmp_path: Path) -> None:
    (finding,) = check_store(Inventory(Store(tmp_path / "absent")))
    assert (finding.level, finding.text.split(" does")[0]) == (Level.WARNING, str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


def test_a_store_that_is_a_file_or_has_one_for_a_folder(tmp_path: Path, store: Store, find: Find) -> None:
    (tmp_path / "file").touch()
    (finding,) = check_store(Inventory(Store(tmp_path / "file")))
    assert (finding.level, finding.text) == (Level.PROBLEM, f"{tmp_path}/file is a file, not a folder")
    store.data.touch()
    (finding,) = find(check_store)
    assert finding.text == f"{store.data} is a file, not a folder"
    assert finding.commands == (f"mv {store.data} {store.data}.moved",)


def test_a_store_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    (finding,) = check_store(Inventory(Store(tmp_path / "link")))
    assert (finding.level, finding.commands) == (Level.PROBLEM, (f"mkdir -p {tmp_path}/disk",))


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder with a store to look at only and a store not even to be seen.

    Permissions mean nothing to root, who becomes another user meanwhile.
    """
    before = os.geteuid()
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        for place, mode in ((folder, 0o755), (folder / "readable", 0o555), (folder / "closed", 0o000)):
            place.mkdir(exist_ok=True)
            place.chmod(mode)
        if before == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(before)


def test_a_store_that_may_not_be_written(forbidden: Path) -> None:
    (finding,) = check_store(Inventory(Store(forbidden / "readable")))
    assert finding.level is Level.PROBLEM
    assert "cannot be written: Permission denied; mend that or choose another" in finding.text
    assert str(forbidden / "readable") in finding.commands[0]


def test_a_store_that_may_not_be_seen(forbidden: Path) -> None:
    (finding,) = check_store(Inventory(Store(forbidden / "closed" / "mlruns")))
    assert (finding.level, "Permission denied" in finding.text) == (Level.PROBLEM, True)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder that refuses even root")
def test_a_place_where_nobody_can_write() -> None:
    (finding,) = check_store(Inventory(Store(Path("/proc"))))
    assert finding.level is Level.PROBLEM
    assert finding.text.startswith("/proc cannot be written: ")


def test_a_file_system_without_hard_links(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (finding,) = find(check_store)
    assert "files cannot be linked (Operation not permitted), so two processes could train" in finding.text


def test_a_file_system_whose_locks_other_processes_do_not_see(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "TRY_LOCK", "")  # the other process gets the lock
    (finding,) = find(check_store)
    assert "another process gets a lock that is held" in finding.text


def run_of(folder: Path, weights: int, others: int) -> RunFolder:
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"w" * weights)
    (folder / "result.json").write_bytes(b"r" * others)
    return RunFolder(folder)


def test_what_runs_need_is_told_by_those_that_have_finished(tmp_path: Path) -> None:
    finished = [run_of(tmp_path / "a", 10, 90), run_of(tmp_path / "b", 10, 190)]
    # A folder of (100 + 200) / 2 bytes, MLflow's copy of it, two checkpoints of three times its size.
    assert needed_bytes(finished, [], n_left=4) == 4 * (150 + 150 + 2 * 450)
    assert needed_bytes(finished, [25], n_left=4) == 4 * (150 + 150 + 2 * 25)
    assert needed_bytes([], [], n_left=4) is None
    assert needed_bytes([], [], n_left=0) == 0


@pytest.mark.parametrize(
    ("free", "level", "text"),
    [
        (10**12, Level.OK, "1000.0 GB free; the 2 runs not finished need at most"),
        (2**30 + 1, Level.WARNING, "make room before they are trained"),
        (2**30 - 1, Level.PROBLEM, "make room"),
    ],
)
def test_too_little_room(
    find: Find, monkeypatch: pytest.MonkeyPatch, free: int, level: Level, text: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    (finding,) = find(check_disk, at_least=Level.OK)
    assert (finding.level, text in finding.text.replace("1.0 TB", "1000.0 GB")) == (level, True)
    assert finding.commands == (
        () if level is Level.OK else ("ablate gc --store " + finding.text.split(":")[0],)
    )


def test_links_count_as_themselves(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"o" * 1000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"f" * 10)
    (tmp_path / "folder" / "link").symlink_to("x" * 7)
    assert size(tmp_path / "folder") == 17
