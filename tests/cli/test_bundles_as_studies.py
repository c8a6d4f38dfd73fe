"""A bundle in place of a study's name: the same answers as from the store."""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ablate
from ablate.ground.errors import ConfigError, StoreError
from ablate.record.bundle import write_bundle
from ablate.record.rundir import State
from ablate.record.store import Store
from tests.analysis.studies import paper_study
from tests.command import answer, output_of
from tests.fabricate import add_runs, fabricate_run, make_run

READING = [
    ["status"],
    ["runs"],
    ["compare"],
    ["claims"],
    ["effects"],
    ["noise"],
    ["failures"],
    ["show", "mtl seed=0"],
    ["diff", "mtl seed=0", "grl_s1 seed=0"],
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store, and a bundle of each of its studies; ``failed`` has a failed run."""
    folder = tmp_path_factory.mktemp("bundles")
    store = Store(folder / "store")
    paper_study(store, seeds=3, systems=("mtl", "grl_s1"))
    good, failed = make_run(seed=8), make_run(seed=9)
    fabricate_run(store, good)
    fabricate_run(store, failed, state=State.FAILED, cause="no luck")
    add_runs(store, "failed", [good, failed])
    for study in ("paper", "failed"):
        write_bundle(store, study, folder / f"{study}.zip")
    return folder


def named(words: list[str], study: object) -> list[str]:
    """The words of a command that is asked about a study, which ``diff`` takes as an option."""
    return [*words, *(["--study"] if words[0] == "diff" else []), str(study)]


def content(printed: str) -> dict[str, Any]:
    """A document without where files are, and without logs, which bundles do not have."""
    told: dict[str, Any] = json.loads(printed)
    for each in [*told.get("groups", []), *told.get("runs", [])]:
        each.pop("log_tail", None)
        each.pop("log", None)
    return {key: value for key, value in told.items() if key not in ("store", "files")}


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_a_bundle_answers_as_its_study(words: list[str], place: Path, tmp_path: Path) -> None:
    of_store = output_of(*named(words, "paper"), "--format", "json", store=place / "store")
    of_bundle = output_of(*named(words, place / "paper.zip"), "--format", "json", store=tmp_path / "none")
    assert content(of_bundle) == content(of_store)


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_no_answer_names_the_folder_that_a_bundle_was_unpacked_to(words: list[str], place: Path) -> None:
    printed, errors = answer(*named(words, place / "paper.zip"), store=place / "none")
    assert "ablate-bundle-" not in printed + errors


def test_what_failed_in_a_bundle_is_retried_where_it_was_imported(place: Path) -> None:
    for command in ("status", "failures"):
        printed = output_of(command, place / "failed.zip", store=place / "none")
        assert "no luck" in printed
        assert f"put it into a store: ablate import {place / 'failed.zip'}" in printed
        assert "--retry" not in printed


@pytest.mark.parametrize(
    "words", [["watch"], ["sync"], ["cancel"], ["rescore"], ["reproduce", "mtl seed=0"]], ids=lambda w: w[0]
)
def test_what_writes_to_a_study_says_to_import_the_bundle(words: list[str], place: Path) -> None:
    _, errors = answer(*words, place / "paper.zip", store=place / "store", code=2)
    assert "is a bundle, which can only be read; `ablate import" in errors


def test_files_of_a_bundled_run_are_named_as_in_the_bundle(place: Path) -> None:
    printed = output_of("show", "mtl seed=0", place / "paper.zip", store=place / "none")
    assert re.search(rf"bundle +{re.escape(str(place / 'paper.zip'))}\n", printed)
    assert re.search(r"config +runs/[0-9a-f]{16}/config.json\n", printed)
    _, errors = answer("show", "mtl seed=0", place / "paper.zip", "--log", store=place / "none", code=2)
    assert "a bundle has no logs" in errors


def test_a_study_that_is_called_as_a_file_is_still_a_study(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    paper_study(store, seeds=2, study="a.zip", systems=("mtl",))
    assert "Study a.zip in" in output_of("status", "a.zip", store=store.root)


def test_python_takes_the_file_as_well(place: Path) -> None:
    file = place / "paper.zip"
    for ask in (ablate.compare, ablate.claims, ablate.effects, ablate.noise, ablate.status):
        of_bundle: Any = ask(file)
        of_store: Any = ask("paper", store=place / "store")
        same = {key: value for key, value in of_store.document.items() if key != "store"}
        assert {key: value for key, value in of_bundle.document.items() if key != "store"} == same
    frames = [ablate.load(str(file)), ablate.load("paper", store=place / "store")]
    of_bundle, of_store = (frame.drop(columns="log") for frame in frames)
    assert of_bundle.equals(of_store)
    assert (place / "paper.html") == ablate.report(file).save(place / "paper.html")


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda place: ablate.compare(place / "nowhere.zip"), StoreError, "nowhere.zip: cannot be read"),
        (
            lambda place: ablate.compare(place / "store"),
            StoreError,
            "no bundle of `ablate bundle`, but a folder",
        ),
        (lambda place: ablate.load(place / "paper.zip", store=place), ConfigError, "name no store beside it"),
        (
            lambda place: ablate.load(store=place / "paper.zip"),
            ConfigError,
            "in place of a study, not of a store",
        ),
        (lambda _: ablate.load(3), ConfigError, "give a name or a path, not 3"),
    ],
    ids=["absent", "folder", "beside a store", "as a store", "number"],
)
def test_what_is_no_bundle_is_refused_in_a_sentence(
    ask: Callable[[Path], object], error: type[Exception], message: str, place: Path
) -> None:
    with pytest.raises(error, match=message):
        ask(place)


def test_a_truncated_bundle_is_refused_and_leaves_nothing_behind(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "half.zip"
    content = (place / "paper.zip").read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        _, errors = answer("compare", file, store=place / "none", code=2)
    assert "half.zip: no bundle that can be read" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["half.zip"]


def test_an_unpacked_bundle_goes_when_nothing_reads_it_any_more(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "again.zip"
    file.write_bytes((place / "paper.zip").read_bytes())
    from ablate.record import opening

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        found = ablate.compare(file)
        assert len(list(tmp_path.glob("ablate-bundle-*"))) == 1
        opening._unpacked.cache_clear()
        assert "mtl" in str(found)
        del found
    assert not list(tmp_path.glob("ablate-bundle-*"))
