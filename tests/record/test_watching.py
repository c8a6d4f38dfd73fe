"""Looks at a study while it trains: what is read on, what is done, and how long the rest takes."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ablate.record.decision import decision_file
from ablate.record.rundir import RunFolder, State, Status
from ablate.record.searches import SearchFolder
from ablate.record.store import Store
from ablate.record.watching import Look, Seen, Watching, Work
from tests.fabricate import add_runs, fabricate_run, make_run
from tests.schedule.test_search import plan

RUN, OTHER = make_run(seed=0), make_run(seed=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.require_writable()
    add_runs(store, "s", [RUN, OTHER])
    return store


def rows(*epochs: int, **more: Any) -> str:
    return "".join(
        json.dumps({"epoch": epoch, "loss": 1 / epoch, "seconds": 2.0, **more}) + "\n" for epoch in epochs
    )


def begun(store: Store, history: str) -> RunFolder:
    """A run that somebody trains while its lease is held."""
    folder = store.folder(RUN.run_id)
    folder.create(RUN)
    folder.begin()
    folder.history_file.write_text(history)
    return folder


class TestCurves:
    def test_each_look_reads_on_from_the_last_whole_line(self, store: Store) -> None:
        folder, watching = begun(store, rows(1, 2) + '{"epoch": 3, "lo'), Watching(store, "s")
        assert watching.curves(folder) == {"loss": [1.0, 0.5]}
        with folder.history_file.open("a") as file:
            file.write('ss": 0.25}\n' + rows(4))
        assert watching.curves(folder) == {"loss": [1.0, 0.5, 0.25, 0.25]}
        with folder.history_file.open("a") as file:
            file.write(rows(5))
        assert watching.curves(folder) == {"loss": [1.0, 0.5, 0.25, 0.25, 0.2]}

    def test_a_resumed_run_has_its_curves_anew(self, store: Store) -> None:
        folder, watching = begun(store, rows(1, 2, 3, 4)), Watching(store, "s")
        watching.curves(folder)
        folder.history_file.write_text(rows(1))  # shorter
        assert watching.curves(folder) == {"loss": [1.0]}
        longer = folder.path / "longer"
        longer.write_text(rows(5, 6, 7))
        longer.replace(folder.history_file)  # another file
        assert watching.curves(folder) == {"loss": [1 / 5, 1 / 6, 1 / 7]}

    def test_the_main_curves_are_shown_alone_if_there_are_any(self, store: Store) -> None:
        folder = begun(store, rows(1, accuracy=0.5, nothing=None))
        assert Watching(store, "s", ["accuracy", "f"]).curves(folder) == {"accuracy": [0.5]}
        assert Watching(store, "s", ["f"]).curves(folder) == {"loss": [1.0], "accuracy": [0.5]}

    @pytest.mark.parametrize(
        "line",
        [
            "nonsense",
            "[1]",
            "{}",
            '{"epoch": "2"}',
            '{"epoch": -2}',
            '{"epoch": 2, "loss": "low"}',
            '{"epoch": 2, "loss": ' + "9" * 400 + "}",
            '{"epoch": ' + "9" * 400 + "}",
            "[" * 5000,
        ],
        ids=lambda line: line[:30],
    )
    def test_lines_that_are_no_epochs_are_left_out(self, store: Store, line: str) -> None:
        folder = begun(store, rows(1) + line + "\n" + rows(4))
        assert Watching(store, "s").curves(folder) == {"loss": [1.0, 0.25]}


class TestLooks:
    def test_a_look_is_of_the_moment(self, store: Store) -> None:
        before = time.time()
        assert before <= Watching(store, "s").look().at <= time.time()

    def test_a_run_under_way_is_at_an_epoch_of_as_many_as_were_asked_for(self, store: Store) -> None:
        folder = begun(store, rows(1, 2, 3))
        n_epochs = RUN.config.get("optim.epochs")
        with folder.claim():
            look = Watching(store, "s").look()
        (work,) = look.works
        assert (work.run.condition, work.epoch, work.n_epochs) == ("baseline", 3, n_epochs)
        assert work.share == pytest.approx(3 / n_epochs)
        assert look.counts == {State.RUNNING: 1, State.PENDING: 1}
        assert (look.n_ended, look.share) == (0, pytest.approx(3 / n_epochs / 2))
        assert not look.is_over

    def test_without_such_a_setting_the_longest_finished_run_tells(self, store: Store) -> None:
        fabricate_run(store, OTHER, epochs=4)
        folder = begun(store, rows(1, 2, 3))
        config = json.loads((folder.path / "config.json").read_text())
        config["config"]["other.epochs"] = 7  # two of that name say nothing
        (folder.path / "config.json").write_text(json.dumps(config))
        with folder.claim():
            (work,) = Watching(store, "s").look().works
        assert work.n_epochs == 4

    def test_states_are_read_again_when_they_change(self, store: Store) -> None:
        folder, watching = begun(store, rows(1)), Watching(store, "s")
        with folder.claim():
            assert watching.look().runs[0].state is State.RUNNING
        assert watching.look().runs[0].state is State.INTERRUPTED  # its lease is gone, its file the same
        with folder.claim():
            assert watching.look().runs[0].state is State.RUNNING
        folder.fail("no luck")
        look = watching.look()
        assert (look.runs[0].state, look.n_ended, len(look.failures)) == (State.FAILED, 1, 1)
        assert [seen.state for seen in look.conditions["baseline"]] == [State.FAILED, State.PENDING]

    def test_a_damaged_run_is_over(self, store: Store) -> None:
        for run in (RUN, OTHER):
            fabricate_run(store, run)
        (store.folder(RUN.run_id).path / "result.json").write_text("{}")
        look = Watching(store, "s").look()
        assert look.counts == {State.DAMAGED: 1, State.FINISHED: 1}
        assert (look.is_over, look.share, look.seconds_left) == (True, 1.0, 0.0)

    def test_a_search_is_over_once_nobody_asks_for_more(self, store: Store) -> None:
        for run in (RUN, OTHER):
            fabricate_run(store, run)
        search = SearchFolder.of(store, "s")
        with search.claim():
            search.write_plan(plan())
            assert not Watching(store, "s").look().is_over
        assert Watching(store, "s").look().is_over

    def test_a_study_that_is_decided_is_over_when_no_runs_have_come_for_ten_seconds(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for run in (RUN, OTHER):
            fabricate_run(store, run)
        decision_file(store, "s").parent.mkdir(parents=True)
        decision_file(store, "s").write_text("{}")
        ended = max(store.folder(run.run_id).status().ended_at or 0.0 for run in (RUN, OTHER))
        over = []
        for seconds in (9.0, 10.0):
            monkeypatch.setattr(time, "time", lambda now=ended + seconds: now)
            over.append(Watching(store, "s").look().is_over)
        assert over == [False, True]


class TestTimes:
    def look(self, *works: Work, done: Sequence[Seen] = (), waiting: int = 0) -> Look:
        pending = [seen("slow", State.PENDING)] * waiting
        return Look(1150.0, [*done, *(work.run for work in works), *pending], works, False)

    def test_a_condition_takes_what_its_own_runs_took_and_another_the_median(self) -> None:
        done = [seen("fast", State.FINISHED, 1000.0, 1000.0 + took) for took in (40.0, 60.0, 50.0)]
        done.append(seen("slow", State.FINISHED, 1000.0, 1200.0))
        half = Work(seen("new", State.RUNNING, 1100.0), 5, 10, {})
        # Of 40, 50, 60 and 200 the median is 55, of which half is left; the waiting one takes 200.
        assert self.look(half, done=done, waiting=1).seconds_left == 27.5 + 200

    def test_runs_of_several_attempts_say_nothing_of_how_long_one_takes(self) -> None:
        again = seen("slow", State.FINISHED, 1000.0, 1200.0, attempt=2)
        half = Work(seen("slow", State.RUNNING, 1100.0), 5, 10, {})
        assert self.look(half, done=[again]).seconds_left == 50.0  # half took 50 s

    def test_where_epochs_are_not_known_the_time_since_the_start_counts(self) -> None:
        done = [seen("slow", State.FINISHED, 1000.0, 1080.0)]
        begun, overdue = (Work(seen("slow", State.RUNNING, at), 5, None, {}) for at in (1100.0, 1000.0))
        assert (begun.share, begun.seconds(1150.0)) == (None, 50.0)
        assert self.look(begun, done=done).seconds_left == 30.0
        assert self.look(overdue, done=done).seconds_left == 0.0

    def test_where_nothing_tells_how_long_a_run_takes_nothing_is_said(self) -> None:
        assert self.look(Work(seen("slow", State.RUNNING, 1100.0), 5, None, {})).seconds_left is None

    def test_the_rest_takes_no_less_than_the_longest_run_under_way(self) -> None:
        done = [seen("slow", State.FINISHED, 1000.0, 1100.0)]
        first, last = (Work(seen("slow", State.RUNNING, 1100.0), epoch, 10, {}) for epoch in (1, 9))
        assert self.look(first, last, done=done).seconds_left == 90.0

    def test_more_epochs_than_were_asked_for_are_all_of_them(self) -> None:
        assert Work(seen("slow", State.RUNNING), 12, 10, {}).share == 1.0

    def test_a_study_without_runs_is_done(self) -> None:
        assert self.look().share == 1.0


def seen(
    name: str, state: State, started: float | None = None, ended: float | None = None, attempt: int = 1
) -> Seen:
    status = Status(state, attempt=attempt, started_at=started, ended_at=ended)
    return Seen(RunFolder(Path(name), name, {}, 0), status)
