"""What a notebook shows of answers: IPython's own formatter is asked, as a kernel asks it."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from rich.console import Console

import ablate
from ablate.api.progress import NotebookDisplay, ProgressDisplay, display_of, in_notebook
from ablate.api.training import Scope
from ablate.launch.base import Event, Kind
from ablate.mtl.definition import subject
from ablate.record.store import Store
from tests.analysis.studies import paper_study, system_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    paper_study(store, seeds=3, systems=("mtl", "grl_s1"))
    return store


def shown(answer: Any) -> dict[str, Any]:
    """What a kernel sends of a cell's value, by MIME type."""
    data, _ = InteractiveShell.instance().display_formatter.format(answer)  # type: ignore[union-attr]
    return dict(data)


def test_a_comparison_is_a_table_of_a_row_a_condition(store: Store) -> None:
    html = shown(ablate.compare("paper", store=store.root))["text/html"]
    assert html.count("<table>") == 1
    names = re.findall(r"<tr>\n<td>(?:<.*?>)?(\w+)", html)
    assert names == ["mtl", "grl_s1"]


def test_each_answer_is_html_and_the_commands_text(store: Store) -> None:
    study = ablate.Study.open("paper", store=store.root)
    for answer in (study.status(), study.compare(), study.claims(), ablate.noise("paper", store=store.root)):
        data = shown(answer)
        assert "<" in data["text/html"]
        assert data["text/plain"] == str(answer)


def test_a_reports_pictures_are_shown_as_pictures(store: Store) -> None:
    report = ablate.report("paper", store=store.root)
    assert "<iframe" in shown(report)["text/html"]
    assert shown(report.pictures[0])["image/png"]
    assert report.pictures[0].title in repr(report.pictures[0])


def test_what_comes_from_users_is_no_html(tmp_path: Path) -> None:
    store = Store(tmp_path)
    paper_study(store, seeds=2, study="a", systems=("mtl",))
    page = ablate.status("a", store=store.root).html()
    assert "<script" not in page.replace(str(tmp_path), "")
    assert f"Study a in {tmp_path}" in page


def test_progress_is_one_element_that_is_drawn_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            drawn.append(html.data)

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    run = system_run("mtl", 0)
    epochs = subject.epochs(run.config)
    with NotebookDisplay(Scope(store, subject, n_runs=1, n_epochs=epochs)) as display:
        display.on_event(run, Event(Kind.FINISHED, run.run_id))
    assert f'<progress value="0" max="{epochs}">' in drawn[0]
    assert "0/1 runs" in drawn[0]
    assert f'<progress value="{epochs}" max="{epochs}">' in drawn[-1]
    assert "1/1 runs" in drawn[-1]
    assert "[1/1] mtl seed=0" in drawn[-1]


def test_the_time_left_is_that_of_runs_and_not_of_workers_that_start(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run begins after 40 s and ends 2 s later; at that pace, three more take 6 s."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    run, screen = system_run("mtl", 0), io.StringIO()
    scope = Scope(store, subject, n_runs=4, n_epochs=4 * subject.epochs(run.config))
    with ProgressDisplay(scope, Console(file=screen, width=200)) as display:
        for now[0], kind in ((40.0, Kind.STARTED), (42.0, Kind.FINISHED)):
            display.on_event(run, Event(kind, run.run_id))
    assert screen.getvalue().rstrip().endswith("about 6 s left")


def test_nothing_is_shown_unless_it_is_asked_for(store: Store) -> None:
    assert not in_notebook()
    scope = Scope(store, subject, n_runs=1, n_epochs=1)
    quiet, _ = display_of(False)
    assert not isinstance(quiet(scope), ProgressDisplay)
    asked, _ = display_of(True)
    assert isinstance(asked(scope), ProgressDisplay)
