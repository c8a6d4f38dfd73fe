import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ablate.ground.errors import DataError
from ablate.mtl.data.corpora.corpora import CORPORA
from ablate.mtl.data.labelforms.forms import FORMS
from ablate.mtl.data_command import CorpusName, FormName, app
from tests.mtl.data import corpora
from tests.mtl.data.folders import SHARED, needs_annotations, write_folder, write_noise


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def problems_of(*arguments: object) -> list[str]:
    error = invoke(*arguments).exception
    assert isinstance(error, DataError), error
    return error.problems


def generate(folder: Path, *more: object) -> str:
    return run("generate", folder, "--minutes", 0.7, "--eval-minutes", 0.7, "--workers", 1, *more)


def test_from_nothing_to_prepared_data(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert f"{folder}: generated\ndevelopment: 4 recordings, " in generate(folder)
    assert "already generated, with these very arguments" in generate(folder)
    assert f"{folder}: no problems" in run("check", folder, "--workers", 1)
    assert f"{folder}/prepared: prepared\ndevelopment: 4 clips of 4 recordings" in run("prepare", folder)
    assert f"{folder}/prepared: already up to date" in run("prepare", folder)
    assert f"figure: {folder}/event_instances.png" in run("stats", folder)
    assert (folder / "event_instances.png").read_bytes().startswith(b"\x89PNG")
    assert "already up to date" in run("prepare", folder)  # the picture is not part of the data


def test_recorded_sources_are_printed(tmp_path: Path) -> None:
    for name in ("rain", "buzz"):
        write_noise(tmp_path / "sources" / name / "a.wav", 1.0, seed=1)
        write_noise(tmp_path / "sources" / name / "b.wav", 1.0, seed=2)
    output = generate(tmp_path / "set", "--sources", tmp_path / "sources", "--map", "buzz=fan")
    assert [line.split() for line in output.splitlines()[-2:]] == [
        ["fan", "buzz"],
        ["water", "tap", "running", "rain"],
    ]


def test_bad_mappings_are_named_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        "generate",
        tmp_path / "set",
        "--sources",
        tmp_path,
        "--map",
        "rain",
        "--map",
        "a=fan",
        "--map",
        "a=car",
    )
    assert len(problems) == 2
    assert "write CLASS=EVENT" in problems[0]
    assert problems[1] == "--map a: given twice"
    assert "give --sources too" in problems_of("generate", tmp_path / "set", "--map", "rain=fan")[0]


def test_what_cannot_be_downloaded_is_named_before_anything_is_written(tmp_path: Path) -> None:
    assert problems_of("download", "tuz", tmp_path / "set", "--mirror", "ftp://host") == [
        "unknown corpus 'tuz'; did you mean 'tut'?",
        "--mirror ftp://host: give an address that begins with http:// or https://",
    ]
    assert not (tmp_path / "set").exists()


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ["a.wav\thome\t1.0\ttwo\tdishes"])
    (folder / "c.wav").unlink()
    assert len(problems_of("check", folder)) == 2


def test_check_prints_notes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ["a.wav\thome\t1.0\t1.0\tdishes"])
    assert "note: meta_development.txt:1: dishes at 1 s has no length" in run("check", folder, "--workers", 1)


def test_prepare_writes_elsewhere(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    run("prepare", folder, "--out", tmp_path / "out", "--workers", 1)
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert not (folder / "prepared").exists()


def test_stats_as_json_draw_only_when_asked(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    content = json.loads(run("stats", folder, "--format", "json"))
    assert content["splits"]["development"]["instances"]["home"]["dishes"] == 1
    assert content["figure"] is None
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_figures_suffix_decides_its_format(tmp_path: Path, suffix: str) -> None:
    folder = write_folder(tmp_path)
    run("stats", folder, "--figure", tmp_path / f"figure{suffix}")
    assert (tmp_path / f"figure{suffix}").stat().st_size > 1000


def test_a_figure_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    for name in ("no/such/folder.png", "figure.docx"):
        assert "cannot be written" in problems_of("stats", folder, "--figure", tmp_path / name)[0]


def test_labels_go_in_and_out_again(tmp_path: Path) -> None:
    source, data, out = corpora.tut(tmp_path / "corpus"), tmp_path / "data", tmp_path / "labels"
    assert run("import", "tut", source, data, "--evaluation", 0.5).splitlines() == [
        f"{data}: imported from {source} (TUT sound events)",
        "development: 2 recordings, 4 events, 0.2 min",
        "evaluation: 2 recordings, 4 events, 0.2 min",
        "2 scenes: home, residential_area",
        "2 event classes: bird singing, car",
        "evaluation: 50% of the recordings of each scene, chosen by their names; --evaluation names another "
        "share, or a folder",
        "scenes: the folders of the recordings",
        f"audio: links to the files in {source}; --copy makes a data set that needs them no more",
    ]
    assert run("export", "tsv", data, out).splitlines() == [
        f"{out}/development: 2 recordings in 2 files",
        f"{out}/evaluation: 2 recordings in 2 files",
        f"{out}/scenes.txt: the scene of each recording",
    ]
    assert len(problems_of("export", "tsv", data, out)) == 5
    run("export", "tsv", data, out, "--force")


def test_many_notes_of_an_import_are_left_to_its_record(tmp_path: Path) -> None:
    source = corpora.label_tracks(tmp_path / "corpus")
    (source / "bakery 1.txt").write_text("".join(f"{at}\t{at}\tbell\n" for at in range(30)))
    output = run("import", "audacity", source, tmp_path / "data")
    assert output.count("note: ") == 20
    kept = json.loads((tmp_path / "data/import.json").read_text())["notes"]
    assert output.endswith(f"and {len(kept) - 20} more notes, in {tmp_path}/data/import.json\n")


def test_the_commands_know_every_form() -> None:
    assert [*CorpusName] == [*CORPORA]
    assert [*FormName] == [*FORMS]


@needs_annotations
def test_the_studys_figure_1(tmp_path: Path) -> None:
    figure = tmp_path / "figure.png"
    output = run("stats", SHARED / "tut_meta" / "meta", "--figure", figure)
    assert "development: 112 recordings, 4674 events, 25 labels" in output
    assert "evaluation: 136 recordings, 1634 events, 25 labels" in output
    assert "note: meta_development.txt:445: car at 224.691 s has no length; left out" in output
    (car,) = (line.split() for line in output.splitlines() if line.startswith("car "))
    assert car == ["car", "216", "+", "132", "-", "-", "74", "+", "34", "290", "+", "166", "41.73"]
    assert figure.is_file()


@needs_annotations
def test_the_studys_missing_audio_is_named_folder_by_folder() -> None:
    problems = problems_of("check", SHARED / "tut_meta" / "meta")
    assert len(problems) == 9
    assert sum(problem.count(".wav") for problem in problems) == 248
