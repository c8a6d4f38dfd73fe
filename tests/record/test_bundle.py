"""A study as one file: the same bytes for the same study, and harmless where it is not what was written."""

import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.ground.errors import StoreError, StudyError
from ablate.ground.files import is_zip
from ablate.ground.version import VERSION
from ablate.mtl.scoring import WEIGHTS
from ablate.record import bundle
from ablate.record.bundle import MANIFEST, open_bundle, write_bundle
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import add_runs, fabricate_run, make_result, make_run

SEED_0, SEED_1 = make_run(seed=0), make_run(seed=1)


def small_study(root: Path) -> Store:
    """A finished run with weights, and one that has failed."""
    store = Store(root)
    store.require_writable()
    fabricate_run(store, SEED_0)
    fabricate_run(store, SEED_1, state=State.FAILED, cause="no luck")
    add_runs(store, "small", [SEED_0, SEED_1])
    return store


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(small_study(folder / "store"), "small", folder / "small.zip")
    return (folder / "small.zip").read_bytes()


def content_of(folder: Path) -> dict[str, str]:
    """Every file below a folder by its name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def opened(content: bytes) -> dict[str, str]:
    """What a bundle of these bytes unpacks to. Raises StoreError; nothing may be written elsewhere."""
    with tempfile.TemporaryDirectory() as scratch:
        file, to = Path(scratch, "file.zip"), Path(scratch, "to")
        file.write_bytes(content)
        to.mkdir()
        try:
            open_bundle(file, to)
            return content_of(to)
        finally:
            assert sorted(path.name for path in Path(scratch).iterdir()) == ["file.zip", "to"]


def repacked(
    content: bytes,
    change: Callable[[dict[str, bytes], Any], None],
    lie: Callable[[Any], None] = lambda _manifest: None,
) -> bytes:
    """The bundle with other files and another manifest, as somebody who means harm would write it.

    The manifest says what there is, unless ``lie`` changes it.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop(MANIFEST))
    change(files, manifest)
    for name, each in files.items():
        manifest["files"][name] = {"size": len(each), "sha256": hashlib.sha256(each).hexdigest()}
    lie(manifest)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, each in {**files, MANIFEST: json.dumps(manifest).encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), each, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    store = small_study(tmp_path / "store")
    first = write_bundle(store, "small", tmp_path / "a.zip")
    second = write_bundle(store, "small", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert first.digest == second.digest == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert first.states == {"finished": 1, "failed": 1}


def test_a_bundle_is_a_store_of_one_study(original: bytes, tmp_path: Path) -> None:
    (tmp_path / "small.zip").write_bytes(original)
    assert is_zip(tmp_path / "small.zip")
    (tmp_path / "to").mkdir()
    found = open_bundle(tmp_path / "small.zip", tmp_path / "to")
    states = [folder.status().state for folder in found.store.study_runs("small")]
    assert (found.study, states) == ("small", [State.FINISHED, State.FAILED])


def test_weights_stay_behind_and_their_digest_does_not(original: bytes, tmp_path: Path) -> None:
    (tmp_path / "small.zip").write_bytes(original)
    (tmp_path / "to").mkdir()
    folder = open_bundle(tmp_path / "small.zip", tmp_path / "to").store.folder(SEED_0.run_id)
    seal = json.loads((folder.path / "seal.json").read_text())
    assert not (folder.path / WEIGHTS).exists()
    assert seal["left_out"][WEIGHTS]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert folder.damage(files=True) is None


def test_weights_come_along_when_they_are_asked_for(tmp_path: Path) -> None:
    write_bundle(small_study(tmp_path / "store"), "small", tmp_path / "w.zip", weights=True)
    (tmp_path / "to").mkdir()
    folder = open_bundle(tmp_path / "w.zip", tmp_path / "to").store.folder(SEED_0.run_id)
    assert (folder.path / WEIGHTS).read_bytes() == b"weights"
    assert folder.damage(files=True) is None


def test_a_damaged_run_is_bundled_and_named_and_stays_damaged(tmp_path: Path) -> None:
    store = small_study(tmp_path / "store")
    (store.folder(SEED_0.run_id).path / "history.jsonl").write_text("{}\n")
    written = write_bundle(store, "small", tmp_path / "d.zip")
    assert written.states == {"damaged": 1, "failed": 1}
    assert written.notes == [
        f"run {SEED_0.run_id} is damaged: history.jsonl was changed after the run had finished"
    ]
    (tmp_path / "to").mkdir()
    found = open_bundle(tmp_path / "d.zip", tmp_path / "to")
    assert found.store.folder(SEED_0.run_id).status().state is State.DAMAGED


def test_a_run_whose_folder_is_gone_is_no_reason_not_to_bundle_the_others(tmp_path: Path) -> None:
    store = small_study(tmp_path / "store")
    shutil.rmtree(store.folder(SEED_1.run_id).path)
    assert write_bundle(store, "small", tmp_path / "g.zip").states == {"finished": 1, "pending": 1}
    (tmp_path / "to").mkdir()
    open_bundle(tmp_path / "g.zip", tmp_path / "to")


@settings(max_examples=150)
@given(st.data())
def test_a_flipped_bit_is_noticed_or_changes_nothing(original: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 8 * len(original) - 1))
    changed = bytearray(original)
    changed[place // 8] ^= 1 << place % 8
    try:
        found = opened(bytes(changed))
    except StoreError:
        return
    assert found == opened(original)


@settings(max_examples=40)
@given(st.data())
def test_a_cut_file_is_noticed(original: bytes, data: st.DataObject) -> None:
    with pytest.raises(StoreError, match=r"no bundle that can be read|is damaged|missing"):
        opened(original[: data.draw(st.integers(0, len(original) - 1))])


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "runs/../../evil",
        "runs/0123456789abcdef/../evil",
        "runs/0123456789abcdef/.hidden",
        "runs\\0123456789abcdef\\evil",
        "runs/0123456789abcdef/a/b",
        "runs/0123456789abcdef/ä",
        "studies/small/evil.json",
        "C:evil",
        "runs/0123456789abcdef/",
    ],
)
def test_a_name_that_no_bundle_has_is_refused(original: bytes, name: str) -> None:
    evil = repacked(original, lambda files, _: files.update({name: b"x"}))
    with pytest.raises(StoreError, match=r"is no name of a bundle's file|no bundle that can be read"):
        opened(evil)


def test_a_run_of_no_study_is_refused(original: bytes) -> None:
    evil = repacked(original, lambda files, _: files.update({"runs/0123456789abcdef/config.json": b"{}"}))
    with pytest.raises(StoreError, match="run 0123456789abcdef is none of the study's"):
        opened(evil)


def test_what_is_left_out_of_a_bundle_is_named(original: bytes) -> None:
    name = f"runs/{SEED_0.run_id}/result.json"
    with pytest.raises(StoreError, match=rf"{name} is missing"):
        opened(repacked(original, lambda files, _: files.pop(name)))


def test_a_run_that_no_longer_is_what_the_manifest_counts_is_noticed(original: bytes) -> None:
    def change(files: dict[str, bytes], _: Any) -> None:
        files[f"runs/{SEED_0.run_id}/history.jsonl"] = b"{}\n"

    with pytest.raises(StoreError, match=r"its runs are .*'damaged': 1, 'failed': 1.*, and were"):
        opened(repacked(original, change))


def test_two_files_of_one_name_and_links_are_refused(original: bytes) -> None:
    name, out = f"runs/{SEED_0.run_id}/config.json", io.BytesIO(original)
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, "{}")
    with pytest.raises(StoreError, match="is there twice"):
        opened(out.getvalue())
    link = zipfile.ZipInfo(f"runs/{SEED_0.run_id}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    out = io.BytesIO(original)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(StoreError, match=r"is not in the manifest|is not a plain file"):
        opened(out.getvalue())


def test_a_bomb_is_not_unpacked(original: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "FREE_OF_RATIO", 1 << 20)
    name = f"runs/{SEED_0.run_id}/zeros"
    with pytest.raises(StoreError, match="more than 200 times as many"):
        opened(repacked(original, lambda files, _: files.update({name: bytes(32 << 20)})))


def test_a_bundle_of_another_version_is_refused_in_a_sentence(original: bytes) -> None:
    with pytest.raises(StoreError, match=r"its records have schema 1, this version reads 2"):
        opened(repacked(original, lambda _, manifest: manifest.update({"records": 1})))
    with pytest.raises(
        StoreError, match=r"its form is 'ablate.bundle/9', this version reads ablate.bundle/1"
    ):
        opened(repacked(original, lambda _, manifest: manifest.update({"schema": "ablate.bundle/9"})))


def bundle_of(original: bytes, tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    (tmp_path / "small.zip").write_bytes(original)
    return tmp_path / "small.zip"


def test_a_bundle_says_what_it_has(tmp_path: Path) -> None:
    store = small_study(tmp_path / "store")
    written = write_bundle(store, "small", tmp_path / "r.zip", report="<p>é</p>", notes=["a note"])
    assert (written.file, written.n_bytes) == (tmp_path / "r.zip", (tmp_path / "r.zip").stat().st_size)
    assert written.notes == ["a note"]
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        entries, manifest = archive.infolist(), json.loads(archive.read(MANIFEST))
    assert {(each.date_time, each.external_attr >> 16, each.compress_type) for each in entries} == {
        ((1980, 1, 1, 0, 0, 0), stat.S_IFREG | 0o644, zipfile.ZIP_DEFLATED)
    }
    names = [each.filename for each in entries]
    assert names[:2] == ["report.html", "studies/small.json"]
    assert names[-1] == "manifest.json"
    runs = [name for name in names if name.startswith("runs/")]
    assert {name.split("/")[1] for name in runs} == {SEED_0.run_id, SEED_1.run_id}
    files = manifest.pop("files")
    assert files["report.html"] == {"size": 9, "sha256": hashlib.sha256("<p>é</p>".encode()).hexdigest()}
    assert manifest == {
        "schema": "ablate.bundle/1",
        "records": 2,
        "ablate": VERSION,
        "study": "small",
        "states": {"finished": 1, "failed": 1},
        "weights": False,
        "scores": False,
        "notes": ["a note"],
    }


def test_of_what_a_training_kept_beside_its_weights_the_scores_come_along_when_asked_for(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    store.require_writable()
    folder = store.folder(SEED_0.run_id)
    folder.create(SEED_0)
    folder.begin()
    for name in (WEIGHTS, "outputs.npz"):
        (folder.path / name).write_bytes(name.encode())
    folder.write_result({**make_result(SEED_0), "kept": ["outputs.npz"]})
    folder.end(State.FINISHED)
    add_runs(store, "small", [SEED_0])
    there = {}
    for name, asked in {"n": {}, "s": {"scores": True}, "w": {"weights": True}}.items():
        write_bundle(store, "small", tmp_path / f"{name}.zip", **asked)
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
            there[name] = {Path(each).name for each in archive.namelist()} & {WEIGHTS, "outputs.npz"}
    assert there == {"n": set(), "s": {"outputs.npz"}, "w": {WEIGHTS}}


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    store = small_study(tmp_path / "store")
    with pytest.raises(StoreError, match="No such file or directory"):
        write_bundle(store, "small", tmp_path / "gone" / "b.zip")
    with pytest.raises(StudyError, match="no study 'other'"):
        write_bundle(store, "other", tmp_path / "b.zip")


def test_a_bundle_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = small_study(tmp_path / "store"), tmp_path / "b.zip"
    flushed, flush = [], os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(file.exists())
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_bundle(store, "small", file)
    assert flushed == [False, True]


def test_a_file_is_a_bundle_by_how_it_begins(original: bytes, tmp_path: Path) -> None:
    file = bundle_of(original, tmp_path)
    assert is_zip(file)
    file.write_bytes(b"PK\x03")
    assert not is_zip(file)
    assert not is_zip(tmp_path)
    assert not is_zip(tmp_path / "gone")


def test_what_is_opened_is_where_it_was_asked_for(original: bytes, tmp_path: Path) -> None:
    found = open_bundle(bundle_of(original, tmp_path), tmp_path / "to")
    assert (found.store.root, found.study, found.n_bytes) == (tmp_path / "to", "small", len(original))
    assert found.manifest["states"] == {"finished": 1, "failed": 1}


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("MOST_FILES", 5, "more than 5 files"),
        ("MOST_OF_RECORD", 100, r"a manifest of \d+ bytes"),
        ("MOST_BYTES", 1000, r"\d+ bytes unpacked, more than the 1000 that a bundle can have"),
    ],
)
def test_a_bundle_beyond_the_limits_is_refused(
    original: bytes, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, said: str
) -> None:
    monkeypatch.setattr(bundle, limit, value)
    with pytest.raises(StoreError, match=said):
        opened(original)


def test_a_bundle_at_the_limits_is_opened(original: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        sizes = {each.filename: each.file_size for each in archive.infolist()}
    monkeypatch.setattr(bundle, "MOST_FILES", len(sizes))
    monkeypatch.setattr(bundle, "MOST_OF_RECORD", sizes.pop(MANIFEST))
    monkeypatch.setattr(bundle, "MOST_BYTES", sum(sizes.values()))
    monkeypatch.setattr(bundle, "FREE_OF_RATIO", 0)
    opened(original)


def test_a_disk_without_room_is_told_before_anything_is_unpacked(
    original: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bundle_of(original, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10))
    with pytest.raises(StoreError, match=r"unpacked it takes \d+ bytes, and .*to has room for 10"):
        open_bundle(file, tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": 9}, r"studies/small.json has \d+ bytes, not 9"),
        ({"sha256": "0" * 64}, "studies/small.json is damaged$"),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says_is_named(
    original: bytes, changed: dict[str, Any], said: str
) -> None:
    def lie(manifest: Any) -> None:
        manifest["files"]["studies/small.json"] |= changed

    with pytest.raises(StoreError, match=said):
        opened(repacked(original, lambda _files, _manifest: None, lie))


def test_a_link_is_refused_though_the_manifest_has_it(original: bytes) -> None:
    link = zipfile.ZipInfo(f"runs/{SEED_0.run_id}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    out = io.BytesIO(repacked(original, lambda files, _: files.update({link.filename: b"/etc/passwd"})))
    with zipfile.ZipFile(out) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, each in files.items():
            archive.writestr(link if name == link.filename else zipfile.ZipInfo(name), each)
    with pytest.raises(StoreError, match="link is not a plain file"):
        opened(out.getvalue())


def test_a_bundle_of_a_study_that_is_not_in_it_is_refused(original: bytes) -> None:
    with pytest.raises(StoreError, match="there is no record of the study 'another'"):
        opened(repacked(original, lambda _, manifest: manifest.update({"study": "another"})))


def test_of_many_problems_the_first_twenty_are_told(original: bytes) -> None:
    names = {f"runs/0123456789abcdef/.{number}": b"x" for number in range(25)}
    with pytest.raises(StoreError) as caught:
        opened(repacked(original, lambda files, _: files.update(names)))
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].endswith("and 5 more")


def test_a_run_that_was_under_way_is_an_interrupted_one_in_a_bundle(tmp_path: Path) -> None:
    store = small_study(tmp_path / "store")
    run = make_run(seed=2)
    folder = store.folder(run.run_id)
    folder.create(run)
    add_runs(store, "small", [SEED_0, SEED_1, run])
    with folder.claim():
        folder.begin()
        assert write_bundle(store, "small", tmp_path / "u.zip").states == {
            "finished": 1,
            "failed": 1,
            "running": 1,
        }
    (tmp_path / "to").mkdir()
    found = open_bundle(tmp_path / "u.zip", tmp_path / "to")
    assert found.store.folder(run.run_id).status().state is State.INTERRUPTED
