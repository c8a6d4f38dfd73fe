"""Label files of other programs: bytes changed, values changed, and texts that are none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.mtl.data.corpora.corpora import CORPORA
from ablate.mtl.data.corpora.importing import import_corpus
from ablate.mtl.data.corpora.reading import Options
from ablate.mtl.data.labelforms.forms import FORMS, read_labels, write_labels
from ablate.mtl.data.labelforms.labelled import Labelled
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated
from tests.mtl.data.folders import write_noise

SCAPER = {"label": "dog", "role": "foreground", "event_time": 0.5}
JAMS = {
    "annotations": [
        {"namespace": "scaper", "data": [{"time": 0.5, "duration": 1, "value": SCAPER, "confidence": 1}]},
        {"namespace": "tag_open", "data": {"time": [1], "duration": [2.5], "value": ["car"]}},
    ],
    "file_metadata": {"duration": 5.0},
}
VALID = {
    "audacity": "0.5\t1.5\tdog\n\\\t100.0\t200.0\n1\t2\tcar\n",
    "tsv": "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.5\tdog\nb.wav\t\t\t\n",
    "raven": "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n"
    "1\tWaveform 1\t0.5\t1.5\ta.wav\t0.5\tdog\n2\tWaveform 1\t7\t8\tb.wav\t2\tcar\n",
    "jams": json.dumps(JAMS),
    "maestro": "0\t1\tdog\t0.7\n1\t2\tdog\t0.51\n0\t1\tcar\t0.2\n",
    "tut": "0.5\t1.5\tdog\n1\t2\tcar\n",
}
contents = st.one_of(
    *(st.tuples(st.just(form), mutated([text.encode()])) for form, text in VALID.items()),
    st.tuples(st.just("jams"), changed(JAMS).map(json.dumps).map(str.encode)),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for seed, name in enumerate("ab"):
        write_noise(folder / f"{name}.wav", 5.0, seed=seed)
    return folder


@fuzzed(quick=120, share=1.5)  # a third are of forms that are only imported
@given(content=contents)
def test_changed_label_files(content: tuple[str, bytes], corpus: Path, tmp_path: Path) -> None:
    form, text = content
    name = "desed" if form == "tsv" else form
    file = corpus / f"a.{CORPORA[name].form.suffix.rpartition('.')[2]}"
    file.write_bytes(text)
    try:
        if form in FORMS:
            with case("label files"):
                found = read_labels(form, file)
                assert all(0 <= event.onset_s < event.offset_s for each in found for event in each.events)
                write_labels(
                    form, tmp_path, [Labelled("a.wav", 5.0, each.events) for each in found], overwrite=True
                )
        with case("imports"):
            import_corpus(name, corpus, tmp_path / "made", Options(), force=True)
    finally:
        file.unlink()


def test_nested_json_takes_no_long(tmp_path: Path) -> None:
    (tmp_path / "a.jams").write_text("[" * 100_000 + "]" * 100_000)
    with case("label files"):
        read_labels("jams", tmp_path / "a.jams")
