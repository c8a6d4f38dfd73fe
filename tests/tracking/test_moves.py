"""A store that was moved or copied: everything is shown and written where it is now, nothing where it was."""

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils

from ablate.mtl.data.datasets import NAME
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker, moves
from ablate.tracking.database import experiments
from ablate.tracking.owner import Owner
from ablate.upkeep import doctor
from ablate.upkeep.findings import Level, shell
from ablate.upkeep.inventory import Inventory
from ablate.upkeep.tracking import check_mlflow, check_shipping
from tests.command import SMALL, ablate_here, output_of
from tests.fabricate import BASE, CARD, add_runs
from tests.tracking.runs import finished, grl_run
from tests.upkeep.conftest import contents

NOT_OF_THE_STORE = ("torch", "subject")  # checks of doctor that take seconds
FILES = {"config.json", "events.json", "scene_confusion.json", "scene_confusion.png", "scenes.json"}


@pytest.fixture(autouse=True)
def as_in_commands_of_their_own() -> None:
    """MLflow remembers in each process where a run's files are; a command has one store."""
    utils._artifact_repos_cache.clear()


@pytest.fixture
def shipped(store: Store) -> Store:
    """A store with a run that MLflow shows, at a place of an awkward name."""
    place = store.root.rename(store.root.with_name("an old pläce"))
    store = Store(place)
    finished(store, grl_run(0))
    add_runs(store, "study", [grl_run(0)])
    sync(store)
    return store


def sync(store: Store, uri: str | None = None) -> Shipped:
    tracker = Tracker(store, "study", uri)
    tracker.prepare()
    return tracker.ship_all(store.study_runs("study"))


def moved(store: Store, name: str) -> Store:
    place = (store.root.parent / name).resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(store.root, place)
    utils._artifact_repos_cache.clear()
    return Store(place)


def copied(store: Store, name: str) -> Store:
    utils._artifact_repos_cache.clear()
    return Store(shutil.copytree(store.root, store.root.parent / name))


def places(store: Store, uri: str | None = None) -> set[Path]:
    """The folders from which MLflow reads the files of the study's runs, each downloaded to prove it."""
    client = MlflowClient(uri or f"sqlite:///{store.database}")
    utils._artifact_repos_cache.clear()
    found = set()
    for experiment in client.search_experiments(filter_string="tags.`ablate.study` = 'study'"):
        for run in client.search_runs([experiment.experiment_id]):
            assert {file.path for file in client.list_artifacts(run.info.run_id)} >= FILES
            parent = str(store.root.parent)
            picture = client.download_artifacts(run.info.run_id, "scene_confusion.png", parent)
            assert Path(picture).read_bytes()
            found.add(Path(unquote(run.info.artifact_uri).removeprefix("file://")))
    return found


def rows(store: Store, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(store.database)) as connection, connection:
        return list(connection.execute(query))


def is_in(store: Store, paths: set[Path]) -> bool:
    return bool(paths) and all(path.is_relative_to(store.root) for path in paths)


@pytest.mark.parametrize("name", ["new", "deep/er, ünd spaced", "an old pläce 2", "a"])
def test_a_moved_store_is_shown_where_it_is_once_it_was_synced(shipped: Store, name: str) -> None:
    here = moved(shipped, name)
    assert sync(here) == Shipped(sent=0, current=1, pending=0)
    assert is_in(here, places(here))
    assert not shipped.root.exists()


def test_a_store_that_was_moved_into_its_former_place_and_out_again(shipped: Store) -> None:
    aside = moved(shipped, "aside")
    shipped.root.mkdir()
    within = Store(shipped.root / "2026")
    shutil.move(aside.root, within.root)
    sync(within)
    assert is_in(within, places(within))
    out = moved(within, "../aside")
    shutil.rmtree(shipped.root)
    back = moved(out, shipped.root.name)
    sync(back)
    assert is_in(back, places(back))


def test_a_copy_beside_the_original_when_both_are_used_later(shipped: Store) -> None:
    copy = copied(shipped, "copy")
    before = contents(shipped.root)
    finished(copy, grl_run(1))
    add_runs(copy, "study", [grl_run(1)])
    assert sync(copy) == Shipped(sent=1, current=1, pending=0)
    assert is_in(copy, places(copy))
    assert contents(shipped.root) == before
    finished(shipped, grl_run(2))
    add_runs(shipped, "study", [grl_run(2)])
    assert sync(shipped) == Shipped(sent=1, current=1, pending=0)
    assert is_in(shipped, places(shipped))
    assert is_in(copy, places(copy))


def test_training_in_a_moved_store_writes_where_it_is_without_a_sync(shipped: Store) -> None:
    here = moved(shipped, "new")
    finished(here, grl_run(1))
    add_runs(here, "study", [grl_run(1)])
    Tracker(here, "study").ship(here.folder(grl_run(1).run_id))
    assert is_in(here, places(here))
    assert not shipped.root.exists()


def test_what_users_have_put_beside_the_studies_comes_along(shipped: Store) -> None:
    """An experiment made in MLflow's page, one in its bin, and the place of MLflow's own default one."""
    client = MlflowClient(f"sqlite:///{shipped.database}")
    client.create_experiment("mine", f"{shipped.artifacts.as_uri()}/2")
    far = client.create_experiment("far", "s3://bucket/artifacts/far")
    client.delete_experiment(client.get_experiment_by_name("study").experiment_id)
    rows(shipped, f"UPDATE experiments SET artifact_location = '{shipped.root}/0' WHERE experiment_id = 0")
    here = moved(shipped, "new")
    moves.mend(Owner.of(here, f"sqlite:///{here.database}"), f"sqlite:///{here.database}")
    found = {one.name: one.location for one in experiments(f"sqlite:///{here.database}")}
    assert found == {
        "Default": f"{here.root}/0",
        "far": "s3://bucket/artifacts/far",
        "mine": f"{here.artifacts.as_uri()}/2",
        "study": f"{here.artifacts.as_uri()}/study",
    }
    assert far


def test_an_experiment_whose_files_somebody_keeps_elsewhere_stays(shipped: Store, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere" / "artifacts" / "other").as_uri()
    MlflowClient(f"sqlite:///{shipped.database}").create_experiment("other", elsewhere)
    here = moved(shipped, "new")
    sync(here)
    found = {one.name: one.location for one in experiments(f"sqlite:///{here.database}")}
    assert found["other"] == elsewhere


def test_a_neighbour_whose_name_differs_in_a_letter_stays(shipped: Store) -> None:
    """In SQL an underscore stands for any letter."""
    former = moved(shipped, "a_b")
    sync(former)
    neighbour = (former.root.with_name("axb") / "artifacts" / "other").as_uri()
    MlflowClient(f"sqlite:///{former.database}").create_experiment("other", neighbour)
    here = moved(former, "new")
    sync(here)
    found = {one.name: one.location for one in experiments(f"sqlite:///{here.database}")}
    assert found["other"] == neighbour
    assert is_in(here, places(here))


def test_this_mlflow_keeps_addresses_where_they_are_looked_for(store: Store) -> None:
    for table, column in moves.ADDRESSES:
        rows(store, f"SELECT {column} FROM {table}")  # an error where there is none


def test_a_link_to_the_store_is_the_store(shipped: Store) -> None:
    here = moved(shipped, "new")
    shipped.root.symlink_to(here.root)
    before = here.database.read_bytes()
    for root in (shipped.root, here.root):
        assert Tracker(Store(root), "study").prepare() == []
    assert here.database.read_bytes() == before


def test_artifacts_on_another_disk_stay_there(shipped: Store) -> None:
    disk = shipped.root.parent / "disk"
    shutil.move(shipped.artifacts, disk)
    shipped.artifacts.symlink_to(disk)
    assert Tracker(shipped, "study").prepare() == []
    here = moved(shipped, "new")
    sync(here)
    assert {path.parents[2] for path in places(here)} == {disk}


def test_cut_off_half_way_nothing_was_changed_and_the_next_command_mends_it(
    shipped: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = moved(shipped, "new")
    query = "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs"
    before = rows(here, query)
    with monkeypatch.context() as patch:
        patch.setattr(moves, "ADDRESSES", (*moves.ADDRESSES[:2], ("runs", "no such column")))
        with pytest.raises(Exception, match="no such column"):
            Tracker(here, "study").prepare()
    assert rows(here, query) == before
    sync(here)
    assert is_in(here, places(here))


def test_two_commands_at_the_same_time(shipped: Store) -> None:
    here = moved(shipped, "new")
    said: list[str] = []
    trackers = [Tracker(here, "study") for _ in range(2)]
    threads = [threading.Thread(target=lambda one=one: said.extend(one.prepare())) for one in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 1
    assert said[0].endswith(f"MLflow now looks for its files in {here.root}")
    assert is_in(here, places(here))


def test_hosts_that_know_the_store_by_different_paths(shipped: Store) -> None:
    """Each makes MLflow look where its own path leads before it writes, however often the other did."""
    here = Tracker(shipped, "study")
    here.prepare()
    there = moved(shipped, "mount")
    sync(there)
    shutil.move(there.root, shipped.root)
    finished(shipped, grl_run(1))
    add_runs(shipped, "study", [grl_run(1)])
    here.ship(shipped.folder(grl_run(1).run_id))
    assert is_in(shipped, places(shipped))
    assert not there.root.exists()


class TestAnotherDatabase:
    """``MLFLOW_TRACKING_URI`` names a database that does not move with the store, and may show several."""

    @pytest.fixture
    def uri(self, tmp_path: Path, empty_database: Path) -> str:
        return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'team.db')}"

    def test_a_moved_store_takes_its_addresses_along(self, shipped: Store, uri: str) -> None:
        sync(shipped, uri)
        here = moved(shipped, "new")
        assert sync(here, uri) == Shipped(sent=0, current=1, pending=0)
        assert is_in(here, places(here, uri))

    def test_a_copy_leaves_the_original_its_own(self, shipped: Store, uri: str) -> None:
        sync(shipped, uri)
        copy = copied(shipped, "copy")
        before = contents(shipped.root)
        (told,) = [text for text in Tracker(copy, "study", uri).prepare() if "is not of this store" in text]
        assert sync(copy, uri) == Shipped(sent=1, current=0, pending=0)
        assert f"shown in 'study ({copy.identity()[:8]})'" in told  # type: ignore[index]
        assert len(places(copy, uri)) == 2
        assert contents(shipped.root) == before
        assert Tracker(shipped, "study", uri).prepare() == []


class TestDoctor:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Doctor also warns of studies in the default store of the folder that it is called in."""
        monkeypatch.chdir(tmp_path)

    def test_it_knows_and_names_the_command_that_mends_it(self, shipped: Store) -> None:
        here = moved(shipped, "new")
        found = list(check_mlflow(Inventory(here)))
        (warning,) = [finding for finding in found if finding.level is Level.WARNING]
        assert f"moved or copied here from {shipped.root}, where MLflow still looks" in warning.text
        assert warning.commands == (f"ablate sync study --store {here.root}",)
        output_of("sync", "study", store=here.root)
        assert {finding.level for finding in check_mlflow(Inventory(here))} == {Level.OK}
        assert is_in(here, places(here))

    def test_a_move_does_not_make_runs_look_as_if_mlflow_lacked_them(self, shipped: Store) -> None:
        (finding,) = check_shipping(Inventory(moved(shipped, "new")))
        assert finding.text == "MLflow shows every run as far as it is"

    def test_looking_changes_nothing(self, shipped: Store) -> None:
        here = moved(shipped, "new")
        before = contents(here.root)
        list(check_mlflow(Inventory(here)))
        assert contents(here.root) == before

    def test_a_command_that_named_the_former_place_is_shown_for_this_one(self, shipped: Store) -> None:
        typed = shell(["ablate", "grid", "--store", shipped.root, "--seeds", 2])
        shipped.add_to_study("study", [grl_run(0)], typed, card=CARD, base=BASE)
        here = moved(shipped, "new")
        assert Inventory(here).studies[0].commands == [
            f"ablate grid --store {here.root}",
            f"ablate grid --seeds 2 --store {here.root}",
        ]


@pytest.fixture
def read_only(shipped: Store) -> Iterator[Store]:
    """A copy of the store on a file system that cannot be written, with the original gone."""
    place = shipped.root.parent / "read-only"
    copy = moved(shipped, "new")
    place.mkdir()
    bind = subprocess.run(["mount", "--bind", str(copy.root), str(place)], capture_output=True, check=False)
    if bind.returncode:
        pytest.skip("only a privileged user on Linux can mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield Store(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_before_it_is_shown_a_moved_store_is_mended(shipped: Store, tmp_path: Path) -> None:
    here = moved(shipped, "new")
    uri = f"sqlite:///{here.database}"
    assert moves.mended(here, uri, tmp_path) == uri
    assert is_in(here, places(here))


def test_a_read_only_copy_is_viewed_by_a_copy_of_its_database(read_only: Store, tmp_path: Path) -> None:
    folder = tmp_path / "view"
    folder.mkdir()
    before = contents(read_only.root)
    uri = moves.mended(read_only, f"sqlite:///{read_only.database}", folder)
    assert uri == f"sqlite:///{folder / 'mlflow.db'}"
    assert is_in(read_only, places(read_only, uri))
    assert contents(read_only.root) == before
    for command in (["status"], ["runs"], ["compare"], ["doctor"]):
        assert output_of(*command, store=read_only.root, code=1 if command == ["doctor"] else 0)


def test_every_command_answers_and_writes_nothing_at_the_old_place(
    tmp_path: Path, tiny_data: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data lie in the store, too: in place of those that come with ablate, which take long to make."""
    monkeypatch.chdir(tmp_path)
    checks = {name: check for name, check in doctor.CHECKS.items() if name not in NOT_OF_THE_STORE}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    (tmp_path / "new").mkdir()
    old, copy, moved_to = tmp_path / "old" / "mlruns", tmp_path / "copy", tmp_path / "new" / "mlruns"
    grid = ["grid", "--factors", "shuffle", "--levels", "shuffle=none,scene", *SMALL, "--launcher", "inline"]
    old.mkdir(parents=True)
    shutil.copy(empty_database, Store(old).database)
    shutil.copytree(tiny_data, Store(old).data / NAME)
    output_of(*grid, "--seeds", "1", store=old)
    shutil.copytree(old, copy)
    before = contents(old)
    every_command(Store(copy), old, grid)
    assert contents(old) == before
    shutil.move(old, moved_to)
    every_command(Store(moved_to), old, grid)
    assert not old.exists()


def every_command(store: Store, old: Path, grid: list[str]) -> None:
    """Look at a store of a grid of one seed from all sides, train another seed, and look at that."""
    show, gc = ["show", "baseline seed=0"], ["gc", "--dry-run"]
    for command in (["status"], ["runs"], ["compare"], ["claims"], show, gc):
        assert str(old) not in ablate_here(*command, store=store)
    assert f"moved or copied here from {old}," in ablate_here("doctor", store=store)
    assert "2 finished" in ablate_here(*grid, "--seeds", "1", "--dry-run", store=store)
    output = ablate_here(*grid, "--seeds", "2", store=store)
    assert f"moved or copied here from {old}; MLflow now looks for its files in {store.root}" in output
    page = store.root.parent / "report.html"
    ablate_here("report", "-o", page, store=store)
    assert "Event instances in each scene" in page.read_text()
    assert "0 runs sent, 4 up to date" in ablate_here("sync", store=store)
    client = MlflowClient(f"sqlite:///{store.database}")
    shown = client.search_runs([client.get_experiment_by_name("grid").experiment_id])
    assert len(shown) == 4 + 1  # and the report
    for run in shown:
        assert run.info.artifact_uri.startswith(store.root.as_uri())
        assert client.list_artifacts(run.info.run_id)
