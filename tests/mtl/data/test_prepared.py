import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.ground.errors import DataError
from ablate.mtl.data import arrays
from ablate.mtl.data.features import N_BANDS, Analysis, Features, recording_features
from ablate.mtl.data.prepared import Annotated, Prepared, is_up_to_date, open_prepared, prepare
from tests.mtl.data.folders import RATE_HZ, write_folder, write_noise


def prepared(folder: Path) -> Prepared:
    return open_prepared(prepare(folder, workers=1))


def test_clips_targets_scenes_masks_and_recordings(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "set",
        ["b/x.wav\toffice\t9.9\t10.1\tfan", "a/x.wav\thome\t0.01\t0.05\tdishes", "b/quiet.wav\thome"],
        ["c/x.wav\thome\t\t\t"],
        {"b/x.wav": 15.0, "a/x.wav": 10.0},
    )
    data = prepared(folder)
    development = data.development
    assert (data.name, data.path) == ("set", folder / "prepared")
    assert development.recording_names == ("a/x.wav", "b/quiet.wav", "b/x.wav")
    assert development.recordings.tolist() == [0, 1, 2, 2]
    assert [data.scenes[scene] for scene in development.scenes] == ["home", "home", "office", "office"]
    assert development.mask.sum(axis=1).tolist() == [500, 150, 500, 250]
    assert development.mask[3].tolist() == [1] * 250 + [0] * 250
    fan, dishes = data.events.index("fan"), data.events.index("dishes")
    assert development.events[2, :, fan].nonzero()[0].tolist() == [495, 496, 497, 498, 499]
    assert development.events[3, :, fan].nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert development.events[0, :, dishes].nonzero()[0].tolist() == [0, 1]
    assert development.events.sum() == 12
    assert data.evaluation.events.sum() == 0
    assert (len(development), len(data.evaluation)) == (4, 1)
    assert development.annotated[1] == Annotated(3.0, ())
    assert development.annotated[2].duration_s == 15.0
    assert development.annotated[2].events == ((9.9, 10.1, "fan"),)
    arrays = {name: array for name, array in vars(development).items() if isinstance(array, np.ndarray)}
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "features": "float32",
        "events": "uint8",
        "scenes": "int64",
        "mask": "uint8",
        "recordings": "int32",
    }


def test_features_are_standardised_on_the_development_sets_real_frames(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, seconds={"a.wav": 12.0})
    data = prepared(folder)
    real = data.development.features[data.development.mask > 0]
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(real.std(axis=0), 1, atol=1e-5)
    assert (data.development.features[data.development.mask == 0] == 0).all()
    assert abs(float(data.evaluation.features[data.evaluation.mask > 0].mean())) < 0.2


def test_arrays_are_read_only(tmp_path: Path) -> None:
    data = prepared(write_folder(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        data.development.features[0, 0, 0] = 1


def test_evaluation_clips_of_2017_are_500_frames(tmp_path: Path) -> None:
    """441,001 samples at 44.1 kHz, with an event up to the very end."""
    folder = write_folder(tmp_path)
    (folder / "meta_evaluation.txt").write_text("c.wav\thome\t9.0\t10.000023\tcutlery\n")
    soundfile.write(folder / "c.wav", 0.1 * np.random.default_rng(0).standard_normal(441_001), 44_100)
    data = prepared(folder)
    assert len(data.evaluation) == 1
    assert data.evaluation.mask.sum() == 500
    assert data.evaluation.events.sum() == 50


def test_durations_come_from_the_audio_not_the_annotations(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, seconds={"a.wav": 27.0, "c.wav": 1.0})
    data = prepared(folder)
    assert data.development.mask.sum() == 27 * 50 + 150
    assert data.evaluation.events.sum() == 25  # annotated until 1.5 s, recorded until 1.0 s


def test_recordings_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    rows = ["one/105.wav\thome\t0\t1\tdishes", "two/105.wav\thome\t1\t2\tdishes"]
    data = prepared(write_folder(tmp_path, rows))
    assert data.development.recording_names == ("one/105.wav", "two/105.wav")
    assert not np.array_equal(data.development.features[0], data.development.features[1])


def test_mixed_sample_rates_share_their_bands(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    write_noise(folder / "b.wav", 3.0, rate_hz=16_000)
    assert prepared(folder).development.mask.sum() == 300
    assert json.loads((folder / "prepared" / "manifest.json").read_text())["top_hz"] == RATE_HZ / 2


def test_the_number_of_processes_changes_no_byte(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, seconds={"a.wav": 12.0})
    one, two = prepare(folder, tmp_path / "one", workers=1), prepare(folder, tmp_path / "two", workers=2)
    files = sorted(path.relative_to(one) for path in one.rglob("*.npy"))
    assert len(files) == 10
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    assert open_prepared(one).digest == open_prepared(two).digest


# --------------------------------------------------------------------------------------------- the digest


def test_layout_and_place_do_not_change_the_digest(tmp_path: Path) -> None:
    first = write_folder(tmp_path / "first")
    digest = prepared(first).digest
    second = tmp_path / "second"
    shutil.copytree(first, second, ignore=shutil.ignore_patterns("prepared"))
    rows = (second / "meta_development.txt").read_text().splitlines()
    text = "\r\n".join(["path\tscene_label\tevent_start_time\tevent_end_time\tevent_label", *rows[::-1], ""])
    (second / "meta_development.txt").write_text("\ufeff" + text, newline="")
    assert prepared(second).digest == digest


CHANGES: dict[str, Callable[[Path], object]] = {
    "an onset": lambda folder: replace(folder / "meta_development.txt", "1.0", "1.000001"),
    "a label": lambda folder: replace(folder / "meta_development.txt", "dishes", "cutlery"),
    "a scene": lambda folder: replace(folder / "meta_evaluation.txt", "home", "office"),
    "a split": lambda folder: [
        replace(folder / "meta_development.txt", "b.wav\toffice\t0.0\t3.0\tfan\n", ""),
        (folder / "meta_evaluation.txt").open("a").write("b.wav\toffice\t0.0\t3.0\tfan\n"),
    ],
    "a name": lambda folder: [
        (folder / "a.wav").rename(folder / "A.wav"),
        replace(folder / "meta_development.txt", "a.wav", "A.wav"),
    ],
    "the vocabulary": lambda folder: (folder / "labels.json").write_text(
        '{"scenes": ["home", "office"], "events": ["dishes", "fan", "cutlery"]}'
    ),
}


def replace(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "a split"])
def test_what_is_annotated_decides_the_digest(tmp_path: Path, change: str) -> None:
    folder = write_folder(tmp_path)
    before = prepared(folder).digest
    CHANGES[change](folder)
    assert prepared(folder).digest != before


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 2 * 3 * RATE_HZ - 1), bit=st.integers(0, 7))
def test_any_bit_of_any_sample_decides_the_digest(tmp_path: Path, position: int, bit: int) -> None:
    folder = write_folder(tmp_path / "set")
    before = prepared(folder).digest
    content = bytearray((folder / "b.wav").read_bytes())
    content[len(content) - 1 - position] ^= 1 << bit
    (folder / "b.wav").write_bytes(content)
    assert prepared(folder).digest != before


# -------------------------------------------------------------------------------------------- up to date


def test_preparing_again_does_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    root = prepare(folder, workers=1)
    before = (root / "manifest.json").stat().st_mtime_ns
    assert is_up_to_date(folder)
    prepare(folder, workers=1)
    assert (root / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["a.wav", "meta_evaluation.txt"])
def test_a_touched_file_is_out_of_date(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path)
    prepare(folder, workers=1)
    os.utime(folder / name, ns=(0, 0))
    assert not is_up_to_date(folder)


def test_a_missing_array_is_out_of_date(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    root = prepare(folder, workers=1)
    (root / "evaluation" / "mask.npy").unlink()
    assert not is_up_to_date(folder)
    prepare(folder, workers=1)
    assert open_prepared(folder)


def test_runs_keep_the_old_data_while_new_ones_take_their_place(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    old = prepared(folder)
    before = np.array(old.development.features)
    write_noise(folder / "a.wav", 3.0, seed=99)
    new = prepared(folder)
    assert np.array_equal(old.development.features, before)
    assert not np.array_equal(new.development.features, before)


def test_a_failed_preparation_leaves_the_old_data_and_nothing_else(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    digest = prepared(folder).digest
    soundfile.write(folder / "b.wav", np.full(3 * RATE_HZ, np.nan), RATE_HZ, subtype="FLOAT")
    with pytest.raises(DataError, match="not a finite number"):
        prepare(folder, workers=1)
    assert open_prepared(folder).digest == digest
    assert not [path for path in folder.glob(".prepared*") if path.is_dir()]


def test_what_a_killed_preparation_left_is_cleared(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / ".prepared.new" / "development").mkdir(parents=True)
    (folder / ".prepared.new" / "manifest.json").write_text("{}")
    assert prepared(folder)
    assert not (folder / ".prepared.new").exists()


def interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare until ``a.wav`` is extracted and ``b.wav`` about to be."""

    def interrupted(folder: Path, path: str, analysis: Analysis) -> Features:
        if path == "b.wav":
            raise KeyboardInterrupt
        return recording_features(folder, path, analysis)

    with monkeypatch.context() as patch:
        patch.setattr(arrays, "recording_features", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, workers=1)
    assert not (folder / "prepared").exists()


def extracted_by(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recordings that a preparation extracts."""
    paths = []

    def noted(folder: Path, path: str, analysis: Analysis) -> Features:
        paths.append(path)
        return recording_features(folder, path, analysis)

    with monkeypatch.context() as patch:
        patch.setattr(arrays, "recording_features", noted)
        prepare(folder, workers=1)
    return paths


def test_an_interrupted_preparation_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "set")
    interrupt(folder, monkeypatch)
    assert extracted_by(folder, monkeypatch) == ["b.wav", "c.wav"]
    whole, resumed = prepare(folder, tmp_path / "whole", workers=1), folder / "prepared"
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(resumed) for path in resumed.rglob("*") if path.is_file())
    assert all((whole / file).read_bytes() == (resumed / file).read_bytes() for file in files)


@pytest.mark.parametrize("change", ["the recording", "what was kept of it"])
def test_what_changed_since_an_interruption_is_extracted_again(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path)
    interrupt(folder, monkeypatch)
    if change == "the recording":
        write_noise(folder / "a.wav", 3.0, seed=99)
    else:
        (kept,) = (folder / ".prepared.new" / "extracted").iterdir()
        content = bytearray(kept.read_bytes())
        content[len(content) // 2] ^= 1
        kept.write_bytes(content)
    assert extracted_by(folder, monkeypatch) == ["a.wav", "b.wav", "c.wav"]


# -------------------------------------------------------------------------------------------- bad input


def test_every_unusable_file_is_named_at_once(tmp_path: Path) -> None:
    rows = [f"{name}.wav\thome\t0\t1\tdishes" for name in ("empty", "text", "none", "slow", "gone")]
    folder = write_folder(tmp_path, rows)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not audio")
    soundfile.write(folder / "none.wav", np.zeros(0), RATE_HZ)
    write_noise(folder / "slow.wav", 3.0, rate_hz=4000)
    (folder / "gone.wav").unlink()
    with pytest.raises(DataError) as error:
        prepare(folder, workers=1)
    assert error.value.problems == [
        "1 of 6 annotated recordings missing in .: gone.wav",
        "empty.wav: the file is empty (0 bytes)",
        "none.wav: holds no samples",
        "slow.wav: sample rate 4000 Hz; 8000 to 1000000 Hz can be used",
        "text.wav: cannot be read as audio: Format not recognised",
    ]
    assert not (folder / "prepared").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_unusable_samples_are_named_at_once(tmp_path: Path, workers: int) -> None:
    folder = write_folder(tmp_path)
    samples = np.ones(3 * RATE_HZ)
    samples[RATE_HZ] = np.inf
    soundfile.write(folder / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    samples[RATE_HZ] = 1e10
    soundfile.write(folder / "c.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(DataError) as error:
        prepare(folder, workers=workers)
    assert error.value.problems == [
        "a.wav: sample 8000 (1.000 s) is not a finite number",
        "c.wav: sample 8000 (1.000 s) is 1e+10; samples are to lie within -1 and 1",
    ]


def test_silence_is_a_recording_as_loud_as_the_floor(tmp_path: Path) -> None:
    """A microphone that was off, or a scene rendered without sound, is data: the network may hear nothing."""
    folder = write_folder(tmp_path)
    soundfile.write(folder / "a.wav", np.zeros(3 * RATE_HZ), RATE_HZ)
    development = prepared(folder).development
    silent, loud = development.features[0, :150], development.features[1, :150]
    assert (silent == silent[0]).all()
    assert silent.max() < loud.min()


def test_a_data_set_of_nothing_but_silence_has_features_of_zero(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    for name, length_s in (("a", 3), ("b", 4), ("c", 5)):
        soundfile.write(folder / f"{name}.wav", np.zeros(length_s * RATE_HZ), RATE_HZ)
    assert not prepared(folder).development.features.any()


def test_an_event_after_the_recordings_end_is_a_problem(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ["a.wav\thome\t3.0\t4.0\tdishes"])
    with pytest.raises(
        DataError, match=r"meta_development.txt:1: dishes begins at 3 s, but a.wav ends at 3.000 s"
    ):
        prepare(folder, workers=1)


def test_only_prepared_data_are_replaced(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds something else"):
        prepare(folder, tmp_path / "thesis", workers=1)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_open_takes_the_data_set_or_the_prepared_folder(tmp_path: Path) -> None:
    root = prepare(write_folder(tmp_path), workers=1)
    assert open_prepared(root).digest == open_prepared(tmp_path).digest


def test_opening_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; 'ablate data generate"):
        open_prepared(tmp_path / "nowhere")
    with pytest.raises(DataError, match="neither prepared data nor annotations"):
        open_prepared(tmp_path)
    write_folder(tmp_path)
    with pytest.raises(DataError, match=r"not prepared yet; run 'ablate data prepare"):
        open_prepared(tmp_path)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    root = prepare(write_folder(tmp_path), workers=1)
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "schema": 0}))
    with pytest.raises(DataError, match="prepared under schema 0"):
        open_prepared(tmp_path)


def test_an_incomplete_manifest_is_refused(tmp_path: Path) -> None:
    root = prepare(write_folder(tmp_path), workers=1)
    manifest = json.loads((root / "manifest.json").read_text())
    del manifest["events"], manifest["digest"]
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="digest: Field required; events: Field required"):
        open_prepared(tmp_path)


def test_what_is_unknown_in_a_manifest_is_left_alone(tmp_path: Path) -> None:
    root = prepare(write_folder(tmp_path), workers=1)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["normalisation"]["more"] = "as a later version may write"
    (root / "manifest.json").write_text(json.dumps(manifest))
    hearing = open_prepared(root).hearing
    assert hearing is not None
    assert hearing.normalisation.mean_db.shape == (N_BANDS,)


def test_every_bad_array_is_named(tmp_path: Path) -> None:
    root = prepare(write_folder(tmp_path), workers=1)
    (root / "development" / "mask.npy").unlink()
    (root / "development" / "events.npy").write_bytes(b"rubbish")
    np.save(root / "evaluation" / "scenes.npy", np.zeros(7))
    with pytest.raises(DataError) as error:
        open_prepared(root)
    assert len(error.value.problems) == 3
    assert "missing" in error.value.problems[1]
    assert "float64 (7,), but the manifest says int64 (1,)" in error.value.problems[2]
