"""Bundles: bytes changed, and manifests that somebody has written by hand."""

import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.record.bundle import MANIFEST, open_bundle, write_bundle
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated
from tests.record.test_bundle import small_study


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(small_study(folder / "store"), "small", folder / "small.zip", notes=["a note"])
    return (folder / "small.zip").read_bytes()


def read(content: bytes) -> None:
    """Nothing but what it unpacks to is written."""
    with tempfile.TemporaryDirectory() as scratch:
        file, to = Path(scratch, "file.zip"), Path(scratch, "to")
        file.write_bytes(content)
        to.mkdir()
        try:
            with case("bundles"):
                opened = open_bundle(file, to)
                for folder in opened.store.study_runs(opened.study):
                    folder.history()
        finally:
            assert sorted(path.name for path in Path(scratch).iterdir()) == ["file.zip", "to"]
            assert not [path for path in to.rglob("*") if path.is_symlink()]


@fuzzed(quick=30, share=0.5)
@given(data=st.data())
def test_changed_bytes(original: bytes, data: st.DataObject) -> None:
    read(data.draw(mutated([original])))


@fuzzed(quick=30, share=0.5)
@given(data=st.data())
def test_changed_files_and_manifests(original: bytes, data: st.DataObject) -> None:
    """A file is replaced, and the manifest says so; or the manifest says something else."""
    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest: Any = json.loads(files.pop(MANIFEST))
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(files)))
        files[name] = data.draw(mutated([files[name]]))
        manifest["files"][name] = {
            "size": len(files[name]),
            "sha256": hashlib.sha256(files[name]).hexdigest(),
        }
    else:
        manifest = data.draw(changed(manifest))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, MANIFEST: json.dumps(manifest).encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    read(out.getvalue())
