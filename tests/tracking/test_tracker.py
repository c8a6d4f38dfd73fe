"""Shipping to a real MLflow database: what arrives, and that it arrives once whatever was cut off."""

import json
import math
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from ablate.ground.errors import StoreError
from ablate.record.rundir import State
from ablate.record.searches import SearchFolder, Trial, write_origin
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker
from ablate.tracking.client import Client
from ablate.tracking.summary import Summary
from tests.fabricate import add_runs, make_run
from tests.schedule.test_search import plan
from tests.tracking.runs import (
    all_points,
    begin,
    curve,
    files,
    finish,
    finished,
    grl_run,
    row,
    run_ids,
    shown,
)


def read_table(tracker: Tracker, mlflow_run_id: str, name: str, to: Path) -> dict[str, list[object]]:
    path = download_artifacts(
        run_id=mlflow_run_id, artifact_path=name, dst_path=str(to), tracking_uri=tracker.uri
    )
    table: dict[str, list[object]] = json.loads(Path(path).read_text())
    return table


class TestWhatIsShown:
    def test_curves_scores_and_params_of_a_finished_run(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        run = shown(tracker, tracker.ship(folder))
        result = folder.result()
        assert result is not None
        assert run.info.run_name == "grl_s1 seed=0"
        assert run.info.status == "FINISHED"
        assert curve(tracker, run.info.run_id, "curves/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
        assert run.data.metrics["event_micro_f"] == result["metrics"]["event_micro_f"]
        assert run.data.metrics["duration_s"] == result["duration_s"]
        assert run.data.params["condition"] == "grl_s1"
        assert run.data.params["grl_pos"] == "S1"
        assert run.data.params["lambda"] == "1"
        assert run.data.params["seed"] == "0"
        assert run.data.params["run_id"] == folder.run_id
        assert run.data.params["n_parameters"] == "12345"
        assert run.data.tags["version.ablate"] == "0.1.0"
        assert run.data.tags["ablate.device"] == "cpu"

    def test_a_field_shown_as_a_factor_is_not_shown_again_by_its_dotted_name(
        self, store: Store, tracker: Tracker
    ) -> None:
        params = shown(tracker, tracker.ship(finished(store))).data.params
        assert params["optim.lr"] == "0.001"
        assert "grl.position" not in params

    def test_a_run_of_a_search_has_its_trial_and_one_of_its_best_the_name_of_the_search(
        self, store: Store, tracker: Tracker
    ) -> None:
        folder = finished(store)
        search = SearchFolder.of(store, "study")
        with search.claim():
            search.write_plan(plan("random", seed=3))
            search.append(Trial(0, "grl_s1", {"grl_pos": "S1"}, runs=(folder.run_id,)))
        tags = shown(tracker, tracker.ship(folder)).data.tags
        assert (tags["ablate.trial"], tags["ablate.sampler"], tags["ablate.search_seed"]) == (
            "0",
            "random",
            "3",
        )
        assert "ablate.search" not in tags
        add_runs(store, "study.best", [folder.run()])
        write_origin(store, "study.best", "study")
        best = Tracker(store, "study.best")
        tags = shown(best, best.ship(folder)).data.tags
        assert tags["ablate.search"] == "study"
        assert "ablate.trial" not in tags

    def test_of_the_scores_per_class_only_f_is_a_metric(self, store: Store, tracker: Tracker) -> None:
        metrics = shown(tracker, tracker.ship(finished(store))).data.metrics
        assert "event_f/object_banging" in metrics
        assert "scene_f/home" in metrics
        assert not [key for key in metrics if "precision/" in key or "recall/" in key]

    def test_artifacts(self, store: Store, tracker: Tracker, tmp_path: Path) -> None:
        mlflow_run_id = tracker.ship(finished(store))
        assert mlflow_run_id is not None
        assert files(tracker, mlflow_run_id) == {
            "config.json",
            "events.json",
            "scene_confusion.json",
            "scene_confusion.png",
            "scenes.json",
            "weights.safetensors",
        }
        table = read_table(tracker, mlflow_run_id, "events.json", tmp_path)
        assert table["columns"] == ["class", "F %", "precision %", "recall %", "TP", "FP", "FN"]
        assert len(table["data"]) == 25
        listed = json.loads(shown(tracker, mlflow_run_id).data.tags["mlflow.loggedArtifacts"])
        assert {"path": "events.json", "type": "table"} in listed

    def test_the_data_set_is_an_input_and_can_be_searched_by_its_digest(
        self, store: Store, tracker: Tracker
    ) -> None:
        folder = finished(store)
        mlflow_run_id = tracker.ship(folder)
        client = MlflowClient(tracker.uri)
        experiment = client.get_experiment_by_name("study").experiment_id
        found = client.search_runs([experiment], f"dataset.digest = '{folder.run().dataset.digest}'")
        assert [run.info.run_id for run in found] == [mlflow_run_id]

    def test_none_is_left_out_and_not_a_number_is_kept(self, store: Store, tracker: Tracker) -> None:
        folder = begin(store, grl_run())
        folder.append_history({**row(1), "loss": math.nan, "grl_ratio": math.inf})
        finish(folder, metrics={"event_micro_f": None, "scene_micro_f": 0.5})
        mlflow_run_id = tracker.ship(folder)
        metrics = shown(tracker, mlflow_run_id).data.metrics
        assert "event_micro_f" not in metrics
        assert "curves/loss_event" not in metrics
        assert metrics["scene_micro_f"] == 0.5
        assert math.isnan(curve(tracker, mlflow_run_id, "curves/loss")[0][1])
        assert math.isnan(metrics["curves/grl_ratio"])
        assert tracker.ship_all([folder]).current == 1  # and the NaN contradicts nothing

    def test_a_metric_of_a_plugin_with_parentheses_in_its_name(self, store: Store, tracker: Tracker) -> None:
        folder = finish(begin(store, grl_run()), metrics={"gain (dB)": 3.0})
        assert shown(tracker, tracker.ship(folder)).data.metrics["gain _dB_"] == 3.0

    def test_a_run_of_events_alone_has_no_scene_artifacts(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store, make_run("single_sed", settings={"tasks": "event"}))
        assert files(tracker, tracker.ship(folder)) == {"config.json", "events.json", "weights.safetensors"}

    def test_the_experiment_has_views_and_a_description(self, store: Store, tracker: Tracker) -> None:
        add_runs(store, "study", [grl_run()])
        tracker.prepare()
        tags = MlflowClient(tracker.uri).get_experiment_by_name("study").tags
        assert "compare" in tags["mlflow.note.content"]
        view = json.loads(tags["mlflow.sharedViewState.ablate-conditions"])
        assert json.loads(view["state"])["groupBy"]["groupByKeys"] == [
            {"mode": "param", "groupByData": "condition"}
        ]

    def test_more_points_than_one_call_takes(self, store: Store, tracker: Tracker) -> None:
        mlflow_run_id = tracker.ship(finish(begin(store, grl_run()), epochs=300))
        assert len(curve(tracker, mlflow_run_id, "curves/loss")) == 300
        assert len(curve(tracker, mlflow_run_id, "curves/loss_scene")) == 300


class TestStates:
    def test_a_run_not_yet_begun_is_not_shipped(self, store: Store, tracker: Tracker) -> None:
        folder = store.folder(grl_run().run_id)
        folder.create(grl_run())
        assert tracker.ship(folder) is None

    def test_a_run_under_way_grows(self, store: Store, tracker: Tracker) -> None:
        folder = begin(store, grl_run(), epochs=1)
        with folder.claim():
            first = tracker.ship(folder)
            assert shown(tracker, first).info.status == "RUNNING"
            folder.append_history(row(2))
            assert tracker.ship(folder) == first
            assert [step for step, _ in curve(tracker, first, "curves/loss")] == [1, 2]
            finish(folder)
        assert tracker.ship(folder) == first
        assert shown(tracker, first).info.status == "FINISHED"
        assert [step for step, _ in curve(tracker, first, "curves/loss")] == [1, 2, 3]

    def test_interrupted_then_finished_in_the_same_mlflow_run(self, store: Store, tracker: Tracker) -> None:
        folder = begin(store, grl_run(), epochs=2)
        folder.end(State.INTERRUPTED, "Ctrl-C")
        first = tracker.ship(folder)
        assert shown(tracker, first).info.status == "KILLED"
        assert shown(tracker, first).data.tags["ablate.cause"] == "Ctrl-C"
        folder.begin()
        folder.write_history([row(1)])  # its checkpoint was older; epoch 2 is trained again
        folder.append_history(row(2, seconds=9.0))
        assert tracker.ship(finish(folder)) == first
        assert shown(tracker, first).info.status == "FINISHED"
        assert "ablate.cause" not in shown(tracker, first).data.tags
        assert curve(tracker, first, "curves/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]

    def test_a_run_begins_and_ends_when_its_training_did(self, store: Store, tracker: Tracker) -> None:
        folder = begin(store, grl_run(), epochs=1)
        with folder.claim():
            assert shown(tracker, tracker.ship(folder)).info.end_time is None
            finish(folder)
        info, status = shown(tracker, tracker.ship(folder)).info, folder.status()
        assert status.started_at is not None
        assert status.ended_at is not None
        assert info.start_time == round(1000 * status.started_at)
        assert info.end_time == round(1000 * status.ended_at)

    def test_a_killed_run_ends_when_that_was_noticed(self, store: Store, tracker: Tracker) -> None:
        before = round(1000 * time.time())
        info = shown(tracker, tracker.ship(begin(store, grl_run()))).info
        assert before <= info.end_time <= round(1000 * time.time())

    def test_a_killed_worker_reads_as_killed(self, store: Store, tracker: Tracker) -> None:
        folder = begin(store, grl_run(), epochs=1)  # says running, and nobody holds its lock
        assert shown(tracker, tracker.ship(folder)).info.status == "KILLED"

    def test_failed_with_its_cause_and_log(self, store: Store, tracker: Tracker) -> None:
        folder = begin(store, grl_run(), epochs=1)
        folder.log_file.write_text("Traceback ...\n")
        folder.end(State.FAILED, "NotConverged: the loss is nan")
        mlflow_run_id = tracker.ship(folder)
        assert shown(tracker, mlflow_run_id).info.status == "FAILED"
        assert shown(tracker, mlflow_run_id).data.tags["ablate.cause"] == "NotConverged: the loss is nan"
        assert files(tracker, mlflow_run_id) == {"config.json", "log.txt"}

    def test_failed_a_second_time_ships_the_second_log(
        self, store: Store, tracker: Tracker, tmp_path: Path
    ) -> None:
        folder = begin(store, grl_run())
        for log in ("first", "second"):
            folder.begin()
            folder.log_file.write_text(log)
            folder.end(State.FAILED, log)
            mlflow_run_id = tracker.ship(folder)
        path = download_artifacts(
            run_id=mlflow_run_id, artifact_path="log.txt", dst_path=str(tmp_path), tracking_uri=tracker.uri
        )
        assert Path(path).read_text() == "second"

    def test_trained_again_with_other_numbers_replaces_the_mlflow_run(
        self, store: Store, tracker: Tracker
    ) -> None:
        folder = begin(store, grl_run(), epochs=2)
        folder.end(State.FAILED, "out of memory")
        first = tracker.ship(folder)
        folder.begin()
        folder.write_history([{**row(1), "loss": 0.9}, {**row(2), "loss": 0.4}])
        second = tracker.ship(finish(folder))
        assert second != first
        assert run_ids(tracker) == [second]
        assert curve(tracker, second, "curves/loss") == [(1, 0.9), (2, 0.4), (3, 1 / 3)]

    def test_another_energy_of_the_same_training_is_no_contradiction(
        self, store: Store, tracker: Tracker
    ) -> None:
        folder = finish(begin(store, grl_run()), facts={"energy_kwh": 0.5, "energy_by": "a meter"})
        first = tracker.ship(folder)
        run = shown(tracker, first)
        assert (run.data.metrics["energy_kwh"], run.data.params["energy_by"]) == (0.5, "a meter")
        assert "energy_kwh" not in run.data.params
        folder.begin()
        finish(folder, facts={"energy_kwh": 0.75, "energy_by": "a meter"})
        assert tracker.ship(folder) == first
        assert run_ids(tracker) == [first]


class TestOnce:
    def test_shipping_twice_changes_nothing(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        first = tracker.ship(folder)
        before = all_points(tracker, first)
        assert tracker.ship_all([folder]) == Shipped(sent=0, current=1, pending=0)
        assert all_points(tracker, first) == before
        assert all(len(steps) == len({step for step, _ in steps}) for steps in before.values())

    def test_a_draft_of_its_note_that_a_crash_has_left_goes_with_the_next_look(
        self, store: Store, tracker: Tracker
    ) -> None:
        folder = finished(store)
        tracker.ship(folder)
        draft = folder.mlflow_file.with_name(f".{folder.mlflow_file.name}.{'0' * 32}")
        draft.touch()
        tracker.ship(folder)
        assert not draft.exists()

    @pytest.mark.parametrize("damage", ["lost", "half-written", "of another kind"])
    def test_without_its_note_the_run_is_found_by_its_tag(
        self, store: Store, tracker: Tracker, damage: str
    ) -> None:
        folder = finished(store)
        first = tracker.ship(folder)
        before = all_points(tracker, first)
        folder.mlflow_file.unlink()
        if damage != "lost":
            folder.mlflow_file.write_text("{" if damage == "half-written" else "[]")
        assert Tracker(store, "study").ship(folder) == first
        assert run_ids(tracker) == [first]
        assert all_points(tracker, first) == before
        assert json.loads(folder.mlflow_file.read_text())["study"]["mlflow_run_id"] == first

    @pytest.mark.parametrize("call", ["log_dataset", "log", "upload", "set_status", "create"])
    def test_killed_at_any_call_and_shipped_again(
        self, store: Store, tracker: Tracker, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = finished(store)

        def die(*_arguments: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Client, call, die)
            with pytest.raises(KeyboardInterrupt):
                tracker.ship(folder)
        mlflow_run_id = Tracker(store, "study").ship(folder)
        assert run_ids(tracker) == [mlflow_run_id]
        run = shown(tracker, mlflow_run_id)
        assert run.info.status == "FINISHED"
        assert "scene_confusion.png" in files(tracker, mlflow_run_id)
        assert len(run.inputs.dataset_inputs) == 1
        assert curve(tracker, mlflow_run_id, "curves/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
        assert len(curve(tracker, mlflow_run_id, "event_micro_f")) == 1

    def test_a_run_deleted_in_mlflow_is_replayed(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        first = tracker.ship(folder)
        assert first is not None
        MlflowClient(tracker.uri).delete_run(first)
        second = tracker.ship(folder)
        assert second != first
        assert all_points(tracker, second) == all_points(tracker, first)

    def test_an_experiment_deleted_in_mlflow_is_restored(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        tracker.ship(folder)
        client = MlflowClient(tracker.uri)
        client.delete_experiment(client.get_experiment_by_name("study").experiment_id)
        again = Tracker(store, "study")
        again.prepare()
        assert run_ids(again) == [again.ship(folder)]

    def test_another_database_gets_everything_anew(
        self, store: Store, tracker: Tracker, empty_database: Path, tmp_path: Path
    ) -> None:
        folder = finished(store)
        first = tracker.ship(folder)
        other = tmp_path / "other.db"
        other.write_bytes(empty_database.read_bytes())
        replayed = Tracker(store, "study", f"sqlite:///{other}")
        assert all_points(replayed, replayed.ship(folder)) == all_points(tracker, first)

    def test_a_run_of_two_studies_is_in_both_experiments(self, store: Store, tracker: Tracker) -> None:
        folder = finished(store)
        add_runs(store, "other", [grl_run()])
        other = Tracker(store, "other")
        first, second = tracker.ship(folder), other.ship(folder)
        assert run_ids(tracker, "study") == [first]
        assert run_ids(tracker, "other") == [second]
        assert tracker.ship(folder) == first
        assert {
            study: note["mlflow_run_id"] for study, note in json.loads(folder.mlflow_file.read_text()).items()
        } == {
            "study": first,
            "other": second,
        }


class TestReport:
    def test_a_report_is_a_run_of_its_own_and_a_later_one_takes_its_place(
        self, store: Store, tracker: Tracker, tmp_path: Path
    ) -> None:
        finished(store)
        for text in (b"first", b"second"):
            mlflow_run_id = tracker.ship_summary(Summary({"report.html": text}, (), "what it is"))
            assert run_ids(tracker) == [mlflow_run_id]
        run = shown(tracker, mlflow_run_id)
        assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
        assert run.data.tags["ablate.kind"] == "report"
        assert (run.data.metrics, run.data.params) == ({}, {})
        path = download_artifacts(
            run_id=mlflow_run_id,
            artifact_path="report.html",
            dst_path=str(tmp_path),
            tracking_uri=tracker.uri,
        )
        assert Path(path).read_text() == "second"


class TestBadStores:
    def test_a_damaged_folder_does_not_keep_the_others_from_shipping(
        self, store: Store, tracker: Tracker
    ) -> None:
        damaged, sound = finished(store, grl_run(0)), finished(store, grl_run(1))
        (damaged.path / "config.json").write_text("{}")
        with pytest.raises(StoreError, match="no readable run folder"):
            tracker.ship_all([damaged, sound])
        assert len(run_ids(tracker)) == 1

    def test_a_tracking_uri_of_plain_files_is_refused(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:./mlruns")
        with pytest.raises(StoreError, match="no longer writes to plain folders"):
            Tracker(store, "study")
