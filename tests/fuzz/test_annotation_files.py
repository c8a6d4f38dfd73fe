"""Annotation files and label files: bytes changed, and rows of awkward fields."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.ground.errors import DataError
from ablate.mtl.data.annotations import read_annotations, write_annotations
from ablate.mtl.data.check import survey
from ablate.mtl.data.stats import read_stats
from ablate.mtl.data.vocabulary import EVENTS, SCENES
from tests.fuzz.cases import case, check_refusal, fuzzed
from tests.fuzz.inputs import CORPUS, changed, mutated, nested, texts

VALID = (
    "path\tscene_label\tevent_start_time\tevent_end_time\tevent_label\n"
    "audio/a.wav\thome\t0.5\t1.25\tdishes\naudio/a.wav\thome\t1.0\t1.5\tcutlery\r\n"
    "b.wav\toffice\t0.0\t3.0\tfan\nc.wav\tresidential_area\t\t\t\n\n"
)
EVALUATION = "d.wav\thome\t0.5\t1.5\tcutlery\n"
LABELS = '{"scenes": ["home", "office", "residential_area"], "events": ["dishes", "cutlery", "fan"]}'

PATHS = (
    "a.wav",
    "b/c.wav",
    "/etc/passwd",
    "../a.wav",
    "a/../b.wav",
    "C:\\a.wav",
    "C:a.wav",
    "a\\b.wav",
    "~/a.wav",
)
PATHS += (
    ".",
    "..",
    "./a.wav",
    "a//b.wav",
    "a.wav/",
    "日本.wav",
    "x" * 300 + ".wav",
    "x/" * 3000 + "a.wav",
    "\x7fa.wav",
)
TIMES = (
    "0",
    "0.0",
    "1",
    "1.5",
    "-1",
    "-0",
    "nan",
    "inf",
    "-inf",
    "1e5",
    "1e305",
    "1e309",
    "1e-400",
    "1_0",
    "0x1",
    "٣",
)
TIMES += ("１２", "1,5", "1:30", "+1", "1.", ".5", "1e", "00001", "9" * 400, "0." + "9" * 5000, "10.000023")

fields = st.one_of(
    st.sampled_from(PATHS), st.sampled_from(SCENES), st.sampled_from(EVENTS), st.sampled_from(TIMES), texts
)


@st.composite
def rows(draw: st.DrawFn) -> str:
    """A valid row in which about one field in six is another one, and now and then one is lost or added."""
    row = [
        draw(st.sampled_from(PATHS[:2])),
        "home",
        draw(st.sampled_from(TIMES[:3])),
        draw(st.sampled_from(("1.5", "2", "1e5"))),
        draw(st.sampled_from(EVENTS)),
    ]
    for place in range(len(row)):
        if draw(st.integers(0, 5)) == 0:
            row[place] = draw(fields)
    change = draw(st.integers(0, 20))
    if change == 0:
        row = row[: draw(st.integers(0, 4))]
    elif change == 1:
        row += draw(st.lists(fields, max_size=4))
    return "\t".join(row)


line_ends = st.sampled_from(("\n", "\n", "\r\n", "\r", "\x00", "\u2028"))
files = st.builds(lambda end, lines: end.join(lines), line_ends, st.lists(rows(), min_size=1, max_size=4))


def read(folder: Path, development: bytes, labels: bytes | None = None) -> None:
    """Whatever is read is also counted, and held against audio that is not there."""
    (folder / "meta_development.txt").write_bytes(development)
    (folder / "meta_evaluation.txt").write_text(EVALUATION)
    if labels is not None:
        (folder / "labels.json").write_bytes(labels)
    with case("annotations" if labels is None else "labels"):
        found = survey(folder)
        if found.annotations.problems:
            check_refusal(DataError(found.problems))
        read_stats(folder)
        annotations = read_annotations(folder)
        for recording in annotations.recordings:
            assert (folder / recording.path).resolve().is_relative_to(folder.resolve())
            assert all(0 <= event.onset_s < event.offset_s for event in recording.events)
        write_annotations(folder / "meta_development.txt", annotations.development)
        again = read_annotations(folder).development
        assert [(each.path, each.scene) for each in again] == [
            (each.path, each.scene) for each in annotations.development
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("file", sorted(CORPUS.glob("annotations/*")), ids=lambda file: file.name)
def test_what_once_broke(file: Path, folder: Path) -> None:
    if file.suffix == ".json":
        read(folder, VALID.encode(), file.read_bytes())
    else:
        read(folder, file.read_bytes())


@fuzzed(quick=80, share=0.5)
@given(content=mutated([VALID.encode()]))
def test_changed_bytes(content: bytes, folder: Path) -> None:
    read(folder, content)


@fuzzed(quick=150, share=0.5)
@given(text=files)
def test_awkward_rows(text: str, folder: Path) -> None:
    read(folder, text.encode("utf-8", "surrogatepass"))


@fuzzed(quick=60)
@given(content=mutated([LABELS.encode()]) | changed(json.loads(LABELS)).map(json.dumps).map(str.encode))
def test_labels(content: bytes, folder: Path) -> None:
    read(folder, VALID.encode(), content)


def make_fifo(file: Path) -> None:
    import os

    os.mkfifo(file)


def make_loop(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.parametrize("make", [Path.mkdir, make_fifo, make_loop], ids=["folder", "pipe", "loop"])
@pytest.mark.parametrize("name", ["meta_development.txt", "labels.json"])
def test_something_else_than_a_file(make: Callable[[Path], None], name: str, folder: Path) -> None:
    for other in ("meta_development.txt", "meta_evaluation.txt"):
        if other != name:
            (folder / other).write_text(EVALUATION)
    make(folder / name)
    with case("annotations"):
        read_annotations(folder)


def test_many_recordings_and_many_mistakes_take_no_long(folder: Path) -> None:
    read(folder, "".join(f"{n}.wav\thome\t0\t1\tcar\n" for n in range(5_000)).encode())
    read(folder, b"\t" * 1_000_000)
    read(folder, b"x\t" * 20_000)
    read(folder, b"a.wav\thome\n" * 20_000)
    names = ", ".join(f'"e{n}"' for n in range(5_000))
    read(folder, VALID.encode(), f'{{"scenes": ["home"], "events": [{names}]}}'.encode())
    with case("labels"):
        (folder / "labels.json").write_text(str(nested(900)))
        read_annotations(folder)
