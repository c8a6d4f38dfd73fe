"""Where a study's data come from, and where their prepared form goes."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ablate.ground.errors import ConfigError
from ablate.mtl.data import datasets
from ablate.mtl.data.annotations import read_annotations
from ablate.mtl.data.datasets import identify, provide
from ablate.mtl.data.vocabulary import Vocabulary


def silent(_message: str) -> None:
    """Says nothing."""


@pytest.fixture
def folder(tiny_data: Path, tmp_path: Path) -> Path:
    """The tiny data set, not prepared yet."""
    return Path(shutil.copytree(tiny_data, tmp_path / "mine", ignore=shutil.ignore_patterns("prepared")))


def test_the_identity_of_data_is_known_without_preparing_them(folder: Path, tmp_path: Path) -> None:
    name, digest, path = identify(folder, tmp_path / "store", silent)
    assert not (folder / "prepared").exists()
    prepared = provide(folder, tmp_path / "store", silent)
    assert (prepared.name, prepared.digest, prepared.path) == (name, digest, path)
    assert path == folder / "prepared"
    assert identify(folder, tmp_path / "store", silent) == (name, digest, path)


def test_data_that_cannot_be_written_beside_are_prepared_in_the_store(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = provide(folder, tmp_path / "store", silent)
    shutil.rmtree(folder / "prepared")
    # The tests may run as root, for whom every folder can be written.
    monkeypatch.setattr(datasets.os, "access", lambda path, mode: mode != os.W_OK or path != folder)
    prepared = provide(folder, tmp_path / "store", silent)
    assert prepared.path.parent == tmp_path / "store"
    assert prepared.digest == beside.digest
    assert not (folder / "prepared").exists()
    assert identify(folder, tmp_path / "store", silent)[2] == prepared.path


@pytest.mark.parametrize("find", [provide, identify], ids=lambda find: find.__name__)
def test_data_are_refused_for_their_classes_before_they_are_prepared(
    find: Callable[..., object], folder: Path, tmp_path: Path
) -> None:
    expected = read_annotations(folder).vocabulary
    seen = []

    def refuse(vocabulary: Vocabulary, _scenes: Sequence[str]) -> None:
        seen.append((vocabulary.scenes, vocabulary.events))
        raise ConfigError("other classes, please")

    for is_prepared in (False, True):
        with pytest.raises(ConfigError, match="other classes"):
            find(folder, tmp_path / "store", silent, refuse)
        assert (folder / "prepared").exists() == is_prepared
        provide(folder, tmp_path / "store", silent)
    assert seen == [(expected.scenes, expected.events)] * 2


def test_without_a_folder_they_are_soundscapes_that_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "MINUTES", 4 / 6)  # a clip of each scene
    monkeypatch.setattr(datasets, "EVAL_MINUTES", 4 / 6)
    said: list[str] = []
    identity = identify(None, tmp_path / "planned", said.append)
    assert said == ["Finding out the identity of the embedded data ..."]
    assert not (tmp_path / "planned").exists()

    said.clear()
    first = provide(None, tmp_path / "store", said.append)
    place = tmp_path / "store" / datasets.NAME
    assert said == [
        f"Generating 0.666667 + 0.666667 minutes of soundscapes in {place} ...",
        f"Extracting the features of {place} ...",
    ]
    assert (first.name, first.digest) == identity[:2]
    assert first.path == place / "prepared"
    assert (len(first.development), len(first.evaluation)) == (4, 4)

    said.clear()
    assert provide(None, tmp_path / "store", said.append).digest == first.digest
    assert identify(None, tmp_path / "store", said.append) == (*identity[:2], first.path)
    assert said == []
