"""Prepared data of which the manifest or an array was damaged, and checkpoints that are none."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.data.prepared import is_up_to_date, open_prepared, prepare
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated
from tests.mtl.data.folders import write_folder

ARRAYS = ("features", "events", "scenes", "mask", "recordings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = dict.fromkeys(("a.wav", "b.wav", "c.wav"), 0.2)
    folder = write_folder(
        tmp_path_factory.mktemp("prepared"),
        evaluation=["c.wav\thome\t0.0\t0.1\tcutlery"],
        development=["a.wav\thome\t0.0\t0.1\tdishes", "b.wav\toffice\t\t\t"],
        seconds=short,
    )
    prepare(folder, workers=1)
    return folder


def read(folder: Path, parser: str, file: Path, content: bytes) -> None:
    """Damaged data are refused; what can be opened has shapes and indices that training can rely on."""
    original = file.read_bytes()
    # Another file, for the old one may be mapped into memory still.
    file.unlink()
    file.write_bytes(content)
    try:
        with case(parser):
            is_up_to_date(folder)
            data = open_prepared(folder)
            assert isinstance(data.name + data.digest, str)
            for split in (data.development, data.evaluation):
                assert split.features.shape == (len(split), 500, 64)
                assert split.events.shape == (len(split), 500, len(data.events))
                assert all(0 <= scene < len(data.scenes) for scene in split.scenes)
                assert all(0 <= recording < len(split.recording_names) for recording in split.recordings)
    finally:
        file.unlink()
        file.write_bytes(original)


@fuzzed(quick=60)
@given(drawn=st.data())
def test_manifests(drawn: st.DataObject, folder: Path) -> None:
    file = folder / "prepared" / "manifest.json"
    original = file.read_bytes()
    content = drawn.draw(mutated([original]) | changed(json.loads(original)).map(json.dumps).map(str.encode))
    read(folder, "manifest.json", file, content)


def array_files(folder: Path) -> list[Path]:
    splits = [folder / "prepared" / split for split in ("development", "evaluation")]
    return [split / f"{name}.npy" for split in splits for name in ARRAYS]


HEADERS = (
    "", "{", "[" * 300, "(" * 9000 + ")" * 9000, "x" * 20_000, "{'shape': ()}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 500, 64), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (10**18, 500, 64), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000, 500, 64), }",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': 2}",
    "{'descr': '<i8', 'fortran_order': True, 'shape': (-1,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': [[]], 'fortran_order': False, 'shape': (2,)}",
)  # fmt: skip


@fuzzed(quick=60)
@given(drawn=st.data())
def test_arrays(drawn: st.DataObject, folder: Path) -> None:
    file = drawn.draw(st.sampled_from(array_files(folder)))
    original = file.read_bytes()
    head = drawn.draw(mutated([original[:200]]))
    header = drawn.draw(st.sampled_from(HEADERS)).encode()
    content = drawn.draw(
        st.sampled_from(
            (head + original[200:], head, original[: len(original) // 2], original + head, b"",
             b"\x93NUMPY\x01\x00" + (len(header) % 2**16).to_bytes(2, "little") + header + original[128:],
             b"PK\x03\x04" + original, b"\x80\x04" + original,
             original[:128] + b"\xff" * (len(original) - 128))
        )
    )  # fmt: skip
    read(folder, "prepared arrays", file, content)


def test_an_array_of_another_split_is_refused(folder: Path) -> None:
    file = folder / "prepared" / "development" / "scenes.npy"
    read(folder, "prepared arrays", file, np.lib.format.magic(1, 0))
