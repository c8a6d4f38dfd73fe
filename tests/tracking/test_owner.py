"""Whose an experiment of MLflow is, by its tags and by where its files are."""

from pathlib import Path

import pytest

from ablate.record.store import Store
from ablate.tracking.owner import Move, Owner, is_own, local_folder, study_of
from ablate.tracking.views import CONDITIONS, VIEW_TAG

OURS = {"ablate.study": "s", "ablate.store": "id"}


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    """A store whose runs are shown by a database elsewhere."""
    (tmp_path / "here" / "artifacts" / "s").mkdir(parents=True)
    return Owner(tmp_path / "here", tmp_path / "here" / "artifacts", "id", has_database=False)


def test_a_store_has_the_database_in_its_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert Owner.of(store, f"sqlite:///{store.database}") == Owner(
        tmp_path, tmp_path / "artifacts", None, has_database=True
    )
    for elsewhere in (f"sqlite:///{tmp_path}/other.db", "http://host:5000"):
        assert not is_own(store, elsewhere)
        assert not Owner.of(store, elsewhere).has_database


def test_in_its_own_database_every_experiment_of_a_study_is_the_store_s(owner: Owner) -> None:
    alone = Owner(owner.root, owner.artifacts, "id", has_database=True)
    for tags in ({"ablate.study": "s"}, {VIEW_TAG + CONDITIONS: "..."}, {**OURS, "ablate.store": "other"}):
        assert alone.owns(tags, "/anywhere")
        assert not owner.owns(tags, "/anywhere")
    assert not alone.owns({"team": "ears"}, "/anywhere")


def test_elsewhere_it_is_known_by_its_identity_unless_a_copy_of_the_store_is_there(
    owner: Owner, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / "artifacts" / "s"
    assert owner.owns(OURS, str(owner.artifacts / "s"))
    assert owner.owns(OURS, str(copy))  # moved from there
    assert owner.owns(OURS, "s3://bucket/s")
    copy.mkdir(parents=True)
    assert not owner.owns(OURS, str(copy))


def test_a_move_is_from_the_store_that_the_files_were_in(owner: Owner) -> None:
    assert owner.move(OURS, "renamed", "file:///old/place/artifacts/s") == Move(
        Path("/old/place"), owner.root
    )
    assert owner.move(OURS, "renamed", "/old%20place/artifacts/s") == Move(Path("/old place"), owner.root)
    assert owner.move(OURS, "renamed", str(owner.artifacts / "s")) is None


@pytest.mark.parametrize(
    "location", ["/old/artifacts/other", "/old/files/s", "s3://bucket/artifacts/s", "/s"]
)
def test_files_that_are_in_no_store_are_no_move(owner: Owner, location: str) -> None:
    assert owner.move(OURS, "s", location) is None


def test_artifacts_on_another_disk_are_moved_alone(owner: Owner, tmp_path: Path) -> None:
    linked = Owner(owner.root, tmp_path / "disk", "id", has_database=False)
    assert linked.move(OURS, "s", "/old/artifacts/s") == Move(Path("/old/artifacts"), tmp_path / "disk")


def test_names_and_tags(owner: Owner) -> None:
    nobody = Owner(owner.root, owner.artifacts, None, has_database=False)
    known = Owner(owner.root, owner.artifacts, "0123456789abcdef", has_database=False)
    assert (owner.tags("s"), nobody.tags("s")) == (OURS, {"ablate.study": "s"})
    assert (known.other_name("s"), nobody.other_name("s")) == ("s (01234567)", "s ()")
    assert (study_of(OURS, "renamed"), study_of({}, "named")) == ("s", "named")
    assert local_folder("https://host/a") is None
