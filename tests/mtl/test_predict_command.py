"""``ablate predict`` as a user types it, on a run that was really trained."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ablate.mtl.data.labelforms.forms import FORMS, read_labels
from ablate.record.store import Store
from tests.command import answer, output_of
from tests.mtl.data.folders import write_noise
from tests.mtl.trained import RUN, empty_store, train
from tests.terminal import on_screen

pytestmark = pytest.mark.usefixtures("one_thread")

LOW = ["--threshold", "0.01"]  # a network that was trained for a moment is sure of nothing


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings: other rates, channels and formats than the training's, and one cut short."""
    folder = tmp_path_factory.mktemp("clips")
    write_noise(folder / "a.wav", 12.0, rate_hz=44_100, channels=2)
    for name in ("b.flac", "b.ogg", "street/c.mp3"):
        write_noise(folder / name, 3.0, rate_hz=16_000)
    return folder


def predict(store: Store, *arguments: object, code: int = 0) -> str:
    return output_of("predict", RUN, *arguments, store=store.root, code=code)


def as_json(store: Store, *arguments: object) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(predict(store, *arguments, "--format", "json"))
    return content


def problems(store: Store, *arguments: object) -> list[str]:
    _, errors = answer("predict", *arguments, store=store.root, code=2)
    return errors.splitlines()


def test_every_recording_of_a_folder_has_a_table(trained_store: Store, clips: Path) -> None:
    text = predict(trained_store, clips, *LOW)
    assert f"{clips}/a.wav: 12.00 s at 44.1 kHz\n  scene: " in text
    assert f"{clips}/street/c.mp3: 3.00 s at 16 kHz" in text
    assert re.search(
        r"\nevent +from \(s\)  to \(s\)  probability\n─+\n.* \d+\.\d\d +\d+\.\d\d +0\.\d\d\n", text
    )
    assert "\n4 recordings, " in text


def test_json_has_all_probabilities(trained_store: Store, clips: Path) -> None:
    content = as_json(trained_store, clips / "a.wav", *LOW)
    assert (content["name"], content["seed"], content["threshold"]) == ("baseline", 0, 0.01)
    (recording,) = content["recordings"]
    assert set(recording["scenes"]) == set(content["scenes"])
    assert sum(recording["scenes"].values()) == pytest.approx(1, abs=1e-6)
    assert [clip["offset_s"] for clip in recording["clips"]] == [10.0, 12.0]
    assert all(0 <= event["onset_s"] < event["offset_s"] <= 12.0 for event in recording["events"])
    assert all(event["probability"] > 0.01 for event in recording["events"])
    assert {event["label"] for event in recording["events"]} <= set(content["events"])


def test_formats_sound_alike(trained_store: Store, tmp_path: Path) -> None:
    """What is lossless has the same numbers, and what is not nearly so."""
    tone = np.round(3000 * np.sin(2 * np.pi * 440 * np.arange(3 * 8000) / 8000)).astype(np.int16)
    files = [tmp_path / f"{suffix}.{suffix}" for suffix in ("wav", "flac", "ogg", "mp3")]
    for file in files:
        soundfile.write(file, tone, 8000)
    content = as_json(trained_store, *files)
    wav, flac, ogg, mp3 = (recording["scenes"] for recording in content["recordings"])
    assert flac == wav
    for other in (ogg, mp3):
        assert other == pytest.approx(wav, abs=0.1)


def test_csv_has_a_row_for_each_scene_and_event(trained_store: Store, clips: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(predict(trained_store, clips / "a.wav", *LOW, "--format", "csv"))))
    assert list(rows[0]) == ["recording", "kind", "label", "onset_s", "offset_s", "probability"]
    assert [row["kind"] for row in rows[:5]] == ["scene"] * 4 + ["event"]
    assert float(rows[0]["probability"]) >= float(rows[1]["probability"])


def test_a_damaged_recording_is_named_at_the_end_and_the_others_are_done(
    trained_store: Store, clips: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clips, tmp_path / "some")
    (folder / "cut.flac").write_bytes((folder / "b.flac").read_bytes()[:50_000])
    (folder / "d.wav").write_bytes(b"no audio")
    output, errors = answer("predict", RUN, folder, store=trained_store.root, code=1)
    assert "\n4 recordings, " in output
    first, *others = errors.splitlines()
    assert first == "ablate: 2 of 6 recordings could not be read:"
    assert [line.split(": ")[1] for line in others] == [f"{folder}/cut.flac", f"{folder}/d.wav"]


def test_a_recording_with_less_than_the_network_knows_is_remarked(
    tmp_path: Path, trained_store: Store
) -> None:
    write_noise(tmp_path / "a.wav", 3.0, rate_hz=8000)
    assert "note:" not in predict(trained_store, tmp_path / "a.wav")  # trained at 8 kHz


@pytest.mark.parametrize("form", FORMS)
def test_labels_in_every_form_say_the_events(
    form: str, trained_store: Store, clips: Path, tmp_path: Path
) -> None:
    content = as_json(trained_store, clips, *LOW, "--labels", form, "--output", tmp_path)
    events = {
        Path(recording["path"]).relative_to(clips).as_posix(): {
            (event["label"], round(event["onset_s"], 5), round(event["offset_s"], 5))
            for event in recording["events"]
        }
        for recording in content["recordings"]
    }
    names = (
        {name: name.rpartition(".")[0] for name in events}
        if form != "tsv"
        else {name: name for name in events}
    )
    names |= {name: name for name in events if name.startswith("b.")}  # b.flac and b.ogg
    read = {
        recording.path: {
            (event.label, round(event.onset_s, 5), round(event.offset_s, 5)) for event in recording.events
        }
        for recording in read_labels(form, tmp_path)
    }
    assert read == {names[name]: found for name, found in events.items()}
    assert sorted(content["labels"]) == sorted(str(file) for file in tmp_path.rglob("*") if file.is_file())


def test_pictures_are_drawn_with_what_is_annotated(
    trained_store: Store, tiny_data: Path, tmp_path: Path
) -> None:
    file = tiny_data / "audio" / "evaluation-home.wav"
    content = as_json(trained_store, file, "--plot", "--output", tmp_path / "drawn")
    (picture,) = content["recordings"][0]["pictures"]
    assert picture == str(tmp_path / "drawn" / "evaluation-home.png")
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert ORANGE in colours(Path(picture))  # the car that is annotated there

    elsewhere = Path(shutil.copy(file, tmp_path / "copy.wav"))
    predict(trained_store, elsewhere, "--plot", "--output", tmp_path / "drawn")
    assert ORANGE not in colours(tmp_path / "drawn" / "copy.png")


ORANGE = (0xE6, 0x9F, 0x00)


def colours(picture: Path) -> set[tuple[int, ...]]:
    from PIL import Image

    with Image.open(picture) as image:
        found = image.convert("RGB").getcolors(maxcolors=10**7)
    assert found is not None
    return {colour for _, colour in found}


def test_files_that_are_there_are_not_replaced_unless_asked(
    trained_store: Store, clips: Path, tmp_path: Path
) -> None:
    words = [clips / "a.wav", "--labels", "audacity", "--output", tmp_path]
    predict(trained_store, *words)
    (line,) = problems(trained_store, RUN, *words)
    assert line == f"ablate: {tmp_path}/a.txt: there already; replace with --force, or name another --output"
    predict(trained_store, *words, "--force")


def test_a_narrow_terminal_loses_nothing(
    trained_store: Store, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_STORE", str(trained_store.root))
    monkeypatch.chdir(clips)
    lines = on_screen("predict", RUN, "a.wav", *LOW, columns=40)
    assert max(map(len, lines)) <= 40
    assert "a.wav: 12.00 s at 44.1 kHz" in lines


def test_what_cannot_be_done_is_a_sentence(trained_store: Store, clips: Path, tmp_path: Path) -> None:
    file = clips / "a.wav"
    assert problems(trained_store, RUN, file, "--threshold", "2", "--output", tmp_path) == [
        "ablate: --threshold 2: a probability between 0 and 1 is needed",
        "ablate: --output says where files go; ask for some with --labels or --plot",
    ]
    assert problems(trained_store, RUN, tmp_path / "gone.wav") == [
        f"ablate: {tmp_path}/gone.wav: no such file or folder"
    ]
    assert "no such device here" in problems(trained_store, RUN, file, "--device", "cuda:9")[0]
    assert "no run 'abc'" in problems(trained_store, "abc", file)[0]
    assert "no such folder" in problems(trained_store, RUN, file, "--plot", "--data", tmp_path / "gone")[0]


def test_a_run_of_another_subject_predicts_nothing(tmp_path: Path, clips: Path, empty_database: Path) -> None:
    store, script = empty_store(tmp_path / "store", empty_database), tmp_path / "train.py"
    script.write_text("print('score', 1)\n")
    words = ["--script", script, "--metric", "score=score ([0-9]+)", "--seeds", "1", "--launcher", "inline"]
    output_of("grid", "others", "--levels", "lr=1", *words, store=store.root)
    run_id = next((store.root / "runs").iterdir()).name
    (line,) = problems(store, run_id, clips / "a.wav")
    assert f"({run_id}, others) is of the subject 'train'" in line
    assert line.endswith("only networks of the built-in subject can predict on files")


def test_a_run_that_was_trained_before_networks_were_kept_asks_its_data(
    tmp_path: Path, tiny_data: Path, clips: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(tiny_data, tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr("ablate.mtl.scoring.network_files", lambda *_: {})
        store = train(empty_store(tmp_path / "store", empty_database), data)
    assert "1 recording, " in predict(store, clips / "a.wav")
    shutil.rmtree(data)
    (line,) = problems(store, RUN, clips / "a.wav")
    assert "an older version has trained this run, and kept no network.json with it" in line
