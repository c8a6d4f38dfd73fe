"""A study knows its experiment by a tag; what users rename and write in MLflow's page stays."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment

from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker
from ablate.tracking.descriptions import DIGEST_TAG
from ablate.upkeep.tracking import experiment_command
from tests.analysis.studies import paper_study
from tests.command import output_of
from tests.fabricate import add_runs, make_run
from tests.tracking.runs import finish, finished, grl_run, shown

NOTE = "mlflow.note.content"


@pytest.fixture
def client(tracker: Tracker) -> MlflowClient:
    return MlflowClient(tracker.uri)


def sync(store: Store, uri: str | None = None) -> Shipped:
    tracker = Tracker(store, "study", uri)
    tracker.prepare()
    return tracker.ship_all(store.folder(path.name) for path in sorted(store.runs.iterdir()))


def named(client: MlflowClient, name: str) -> Experiment:
    found = client.get_experiment_by_name(name)
    assert found is not None
    return found


def names(client: MlflowClient) -> list[str]:
    return sorted(found.name for found in client.search_experiments() if found.name != "Default")


def n_runs(client: MlflowClient, name: str) -> int:
    return len(client.search_runs([named(client, name).experiment_id]))


def test_verdicts_are_tags_that_change_with_the_next_look(
    store: Store, tracker: Tracker, client: MlflowClient
) -> None:
    add_runs(store, "study", [grl_run(0)])
    tracker.show_decision("0123456789abcdef", {"C1": "undecided (n = 5)", "it's & that": "refuted (n = 5)"})
    tracker.show_decision("0123456789abcdef", {"C1": "supported (n = 10)"})
    tags = named(client, "study").tags
    assert {name: value for name, value in tags.items() if name.startswith("ablate.decision")} == {
        "ablate.decision.plan": "0123456789abcdef",
        "ablate.decision.C1": "supported (n = 10)",
        "ablate.decision.it_s _ that": "refuted (n = 5)",
    }


def description(client: MlflowClient, name: str = "study") -> str:
    return str(named(client, name).tags[NOTE])


class TestTheDescription:
    def test_it_says_what_the_study_asks(self, store: Store, client: MlflowClient) -> None:
        paper_study(store, seeds=2, systems=("mtl", "grl_s1"))
        Tracker(store, "paper").prepare()
        asks, facts, heading, claims, _ = description(client, "paper").split("\n\n")
        assert asks.startswith("Do scene labels help event detection")
        assert facts.splitlines() == [
            "- 2 conditions x 2 seeds = 4 runs: `mtl` (the baseline), `grl_s1`",
            "- **Factors**: `grl_pos` (none, S1)",
            "- **Metrics**: scene micro F, scene macro F, event micro F, event macro F",
            "- **Data**: toy (digest `d1d1d1d1d1d1d1d1`)",
            "- **Made by** `ablate study paper.toml`",
        ]
        assert heading == "**Claims**, which `ablate claims` judges:"
        assert claims.splitlines()[0] == "- C1: Scene information helps SED"

    def test_it_follows_the_study(self, store: Store, client: MlflowClient) -> None:
        add_runs(store, "study", [grl_run(0)])
        Tracker(store, "study").prepare()
        assert "- 1 condition x 1 seed = 1 run: `grl_s1`\n" in description(client)
        add_runs(store, "study", [grl_run(1), make_run("baseline", 0)])
        Tracker(store, "study").prepare()
        assert "- 2 conditions, 2 seeds, not all of each: 3 runs: `baseline` (the baseline), `grl_s1`" in (
            description(client)
        )

    def test_of_many_conditions_some_are_named(self, store: Store, client: MlflowClient) -> None:
        add_runs(store, "study", [make_run(f"c{number}", number) for number in range(300)])
        Tracker(store, "study").prepare()
        assert "300 conditions, 300 seeds, not all of each: 300 runs: `c0`, `c1`" in description(client)
        assert "`c11` and 288 more" in description(client)
        assert "`c299`" not in description(client)

    def test_what_a_user_changed_is_never_touched_again(self, store: Store, client: MlflowClient) -> None:
        add_runs(store, "study", [grl_run(0)])
        Tracker(store, "study").prepare()
        theirs = description(client) + "\nSee chapter 3."
        client.set_experiment_tag(named(client, "study").experiment_id, NOTE, theirs)
        add_runs(store, "study", [grl_run(1)])
        Tracker(store, "study").prepare()
        assert description(client) == theirs

    def test_cut_off_between_its_two_tags_it_stays_ours(self, store: Store, client: MlflowClient) -> None:
        add_runs(store, "study", [grl_run(0)])
        Tracker(store, "study").prepare()
        old = named(client, "study")
        add_runs(store, "study", [grl_run(1)])
        Tracker(store, "study").prepare()
        client.set_experiment_tag(old.experiment_id, DIGEST_TAG, old.tags[DIGEST_TAG])  # the second, undone
        Tracker(store, "study").prepare()
        add_runs(store, "study", [grl_run(2)])
        Tracker(store, "study").prepare()
        assert "3 seeds = 3 runs" in description(client)

    def test_a_damaged_run_leaves_the_others_described(self, store: Store, client: MlflowClient) -> None:
        for seed in (0, 1):
            finished(store, grl_run(seed))
        (store.folder(grl_run(0).run_id).path / "config.json").write_text("{")
        Tracker(store, "study").prepare()
        assert "**Data**: toy" in description(client)


class TestRenamed:
    @pytest.fixture(autouse=True)
    def renamed(self, store: Store, client: MlflowClient) -> None:
        """The study's experiment, with one run, under a name that a user gave it."""
        finished(store, grl_run(0))
        add_runs(store, "study", [grl_run(0), grl_run(1)])
        sync(store)
        client.rename_experiment(named(client, "study").experiment_id, "GRL, second try")

    def test_it_goes_on_being_used(self, store: Store, client: MlflowClient) -> None:
        finished(store, grl_run(1))
        assert sync(store) == Shipped(sent=1, current=1, pending=0)
        assert names(client) == ["GRL, second try"]
        assert n_runs(client, "GRL, second try") == 2

    def test_another_one_made_under_the_study_s_name_is_left_alone(
        self, store: Store, client: MlflowClient
    ) -> None:
        client.create_experiment("study")
        finished(store, grl_run(1))
        sync(store)
        assert (n_runs(client, "study"), n_runs(client, "GRL, second try")) == (0, 2)
        assert named(client, "study").tags == {}

    def test_deleted_it_is_restored_under_its_name(self, store: Store, client: MlflowClient) -> None:
        client.delete_experiment(named(client, "GRL, second try").experiment_id)
        sync(store)
        assert names(client) == ["GRL, second try"]

    def test_the_description_that_a_user_wrote_stays(self, store: Store, client: MlflowClient) -> None:
        identifier = named(client, "GRL, second try").experiment_id
        client.set_experiment_tag(identifier, NOTE, "see chapter 3")
        client.set_experiment_tag(identifier, "team", "audio")
        sync(store)
        tags = named(client, "GRL, second try").tags
        assert (tags[NOTE], tags["team"]) == ("see chapter 3", "audio")

    def test_commands_find_it_and_say_what_it_is_called(self, store: Store, client: MlflowClient) -> None:
        said = output_of("sync", "study", store=store.root)
        assert said.startswith("study: 0 runs sent, 1 up to date, 1 not begun  ->  sqlite:///")
        assert said.endswith("mlflow.db, there called 'GRL, second try'\n")
        identifier = named(client, "GRL, second try").experiment_id
        command = experiment_command(store, "study")
        assert command is not None
        assert command.endswith(f"--experiment-id {identifier}")


class TestTheNameIsTaken:
    def test_by_an_experiment_with_runs_of_somebody_else(
        self, store: Store, client: MlflowClient, tracker: Tracker
    ) -> None:
        theirs = client.create_experiment("study", tags={"owner": "Ada"})
        run = client.create_run(theirs)
        folder = finished(store)
        (said,) = tracker.prepare()
        other = f"study ({(store.identity() or '')[:8]})"
        assert said.startswith("MLflow's experiment 'study' at sqlite:///")
        assert said.endswith(f"is not of this store; the study is shown in '{other}'")
        tracker.ship(folder)
        assert [found.info.run_id for found in client.search_runs([theirs])] == [run.info.run_id]
        assert client.get_experiment(theirs).tags == {"owner": "Ada"}
        assert sync(store) == Shipped(sent=0, current=1, pending=0)
        assert names(client) == ["study", other]

    def test_by_another_store_on_the_same_server(
        self, store: Store, tmp_path: Path, empty_database: Path
    ) -> None:
        uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'team.db')}"
        colleague = Store(tmp_path / "colleague")
        for each in (colleague, store):
            each.require_writable()
            finished(each, grl_run(0))
            assert sync(each, uri) == Shipped(sent=1, current=0, pending=0)
        client = MlflowClient(uri)
        assert names(client) == ["study", f"study ({(store.identity() or '')[:8]})"]
        for each in (colleague, store):
            assert sync(each, uri) == Shipped(sent=0, current=1, pending=0)
        assert {n_runs(client, name) for name in names(client)} == {1}

    def test_by_one_in_the_bin(self, store: Store, client: MlflowClient, tracker: Tracker) -> None:
        add_runs(store, "study", [grl_run()])
        theirs = client.create_experiment("study")
        client.create_run(theirs)
        client.delete_experiment(theirs)
        assert len(tracker.prepare()) == 1
        assert client.get_experiment(theirs).lifecycle_stage == "deleted"

    def test_an_empty_one_that_somebody_made_for_the_study_is_used(
        self, store: Store, client: MlflowClient, tracker: Tracker
    ) -> None:
        identifier = client.create_experiment("study", tags={"team": "audio"})
        finished(store)
        assert tracker.prepare() == []
        assert sync(store) == Shipped(sent=1, current=0, pending=0)
        assert n_runs(client, "study") == 1
        tags = client.get_experiment(identifier).tags
        assert (tags["team"], tags["ablate.study"], tags["ablate.store"]) == (
            "audio",
            "study",
            store.identity(),
        )


class TestRuns:
    """What users write at a run stays, also when its numbers have to be replaced."""

    USERS = {"mlflow.runName": "the best one", NOTE: "for the talk", "reviewed": "yes"}  # noqa: RUF012

    def marked(self, store: Store, tracker: Tracker, client: MlflowClient) -> str:
        mlflow_run_id = tracker.ship(finished(store))
        assert mlflow_run_id is not None
        for name, value in self.USERS.items():
            client.set_tag(mlflow_run_id, name, value)
        return mlflow_run_id

    def test_a_sync_leaves_name_tags_and_description(
        self, store: Store, tracker: Tracker, client: MlflowClient
    ) -> None:
        mlflow_run_id = self.marked(store, tracker, client)
        assert sync(store) == Shipped(sent=0, current=1, pending=0)
        run = shown(tracker, mlflow_run_id)
        assert run.info.run_name == "the best one"
        assert self.USERS.items() <= run.data.tags.items()

    def test_trained_again_with_other_numbers_they_go_along(
        self, store: Store, tracker: Tracker, client: MlflowClient
    ) -> None:
        first = self.marked(store, tracker, client)
        folder = store.folder(grl_run().run_id)
        folder.begin()
        folder.write_history([])
        finish(folder, metrics={"scene_micro_f": 0.123})
        second = tracker.ship(folder)
        assert second != first
        assert folder.status().state is State.FINISHED
        run = shown(tracker, second)
        assert run.info.run_name == "the best one"
        assert self.USERS.items() <= run.data.tags.items()
        assert shown(tracker, first).info.lifecycle_stage == "deleted"
