"""A study as one file: the same bytes for the same study, and harmless where it is not what was written."""

import hashlib
import io
import json
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.ground.errors import StoreError
from ablate.ground.files import is_zip
from ablate.mtl.scoring import WEIGHTS
from ablate.record import bundle
from ablate.record.bundle import MANIFEST, open_bundle, write_bundle
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.fabricate import add_runs, fabricate_run, make_run

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


def repacked(content: bytes, change: Callable[[dict[str, bytes], Any], None]) -> bytes:
    """The bundle with other files and another manifest, as somebody who means harm would write it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop(MANIFEST))
    change(files, manifest)
    for name, each in files.items():
        manifest["files"][name] = {"size": len(each), "sha256": hashlib.sha256(each).hexdigest()}
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
