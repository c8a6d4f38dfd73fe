"""The report and MLflow's page as a reader sees them, in Debian's chromium, in light and dark.

A page that writes an error to the browser's console fails the test. Screenshots are in the test's folder.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from ablate.record.store import Store
from ablate.tracking import Tracker
from tests.analysis.studies import paper_study
from tests.command import ablate_here
from tests.services import free_port

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 375, "height": 800}
DESK = {"width": 1200, "height": 900}
SYSTEMS = ("mtl", "single_asc", "grl_s1")
LIMIT_BYTES = 2_000_000
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="needs Debian's chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, address: str, *, noise: tuple[str, ...] = (), script: bool = True, **look: object
) -> Iterator[Page]:
    """A page; an error in its console that is no known ``noise`` fails the test."""
    context = browser.new_context(java_script_enabled=script, **look)  # type: ignore[arg-type]
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location['url']})"
        if message.type == "error" and not any(known in text for known in noise):
            errors.append(text)

    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert errors == []


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("pages") / "store")
    paper_study(store)
    return store


@pytest.fixture(scope="module")
def report(store: Store) -> Path:
    file = store.root / "report.html"
    ablate_here("report", "paper", "--no-mlflow", "-o", str(file), store=store)
    return file


def names(page: Page) -> list[str]:
    return page.locator("#comparison tbody tr:visible td[data-name] a").all_inner_texts()


def test_the_paper_s_study_is_a_small_file(report: Path) -> None:
    assert report.stat().st_size < LIMIT_BYTES


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_conditions_are_sorted_pinned_and_filtered(
    browser: Browser, report: Path, scheme: str, tmp_path: Path
) -> None:
    with opened(browser, report.as_uri(), color_scheme=scheme, viewport=DESK) as page:
        planned = names(page)
        sort = page.get_by_role("button", name="scene micro F, mean ± SD")
        sort.click()
        assert names(page)[0] == "mtl"  # 88.6 %, the best
        assert names(page)[-1] == "single_sed"  # which has no such score
        sort.press("Enter")
        assert page.locator("th[aria-sort=ascending]").count() == 1
        assert names(page)[0] == "fake_scene"
        page.get_by_role("button", name="Pin grl_e1").click()
        assert names(page)[0] == "grl_e1"
        page.get_by_label("Filter").fill("fake_event")
        assert names(page) == ["grl_e1", "fake_event"]  # what is pinned stays
        page.get_by_label("Filter").fill("")
        page.get_by_role("button", name="Pin grl_e1").click()
        sort.click()
        assert names(page) == planned
        page.screenshot(path=tmp_path / f"report-{scheme}.png", full_page=True)


def test_the_best_comes_first_also_where_less_is_better(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [f"{lr},{seed},{lr + 0.01 * seed}" for lr in (0.2, 0.1, 0.3) for seed in (0, 1)]
    (tmp_path / "results.csv").write_text("\n".join(["lr,seed,loss", *results]))
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "store")
    ablate_here(
        "import", "results.csv", "--factors", "lr", "--metric", "loss:min", "--no-mlflow", store=store
    )
    ablate_here("report", "--no-mlflow", "-o", "report.html", store=store)
    with opened(browser, (tmp_path / "report.html").as_uri(), viewport=DESK) as page:
        planned = names(page)
        sort = page.get_by_role("button", name="loss, mean ± SD")
        sort.click()
        assert names(page) == ["lr=0.1", "lr=0.2", "lr=0.3"]
        assert page.locator("th[aria-sort=ascending]").count() == 1
        sort.click()
        assert names(page) == ["lr=0.3", "lr=0.2", "lr=0.1"]
        sort.click()
        assert names(page) == planned
        page.get_by_role("button", name="condition").click()
        assert names(page) == ["lr=0.1", "lr=0.2", "lr=0.3"]  # from A


def test_metrics_are_chosen(browser: Browser, report: Path) -> None:
    with opened(browser, report.as_uri(), viewport=DESK) as page:
        column = page.locator("#comparison td[data-of='1']").first
        assert column.is_visible()
        page.locator("#comparison .tools summary").click()
        page.get_by_role("checkbox", name="scene macro F").uncheck()
        assert not column.is_visible()


def test_dark_is_the_reader_s_choice(browser: Browser, report: Path) -> None:
    with opened(browser, report.as_uri(), color_scheme="light") as page:
        paper = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        page.get_by_role("button", name="Dark mode").click()
        assert page.evaluate(paper) == "rgb(20, 24, 28)"
        page.get_by_role("button", name="Light mode").click()
        assert page.evaluate(paper) == "rgb(255, 255, 255)"


def test_a_condition_leads_to_its_seeds(browser: Browser, report: Path) -> None:
    with opened(browser, report.as_uri()) as page:
        assert page.locator("details.group[open]").count() == 0
        page.locator("#comparison").get_by_role("link", name="grl_e2").click()
        assert page.locator("details.group[open] h3").all_inner_texts() == ["grl_e2"]
        assert page.locator("details.group[open] tbody tr").count() == 5


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_a_phone_scrolls_no_more_than_tables_sideways(
    browser: Browser, report: Path, script: bool, tmp_path: Path
) -> None:
    with opened(browser, report.as_uri(), viewport=PHONE, script=script) as page:
        page.screenshot(path=tmp_path / "phone.png", full_page=True)
        body = page.locator("body").bounding_box()
        assert body is not None
        assert body["width"] == PHONE["width"]
        assert names(page)[0] == "mtl"
        if script:
            assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_every_picture_has_a_text(browser: Browser, report: Path) -> None:
    with opened(browser, report.as_uri()) as page:
        pictures = page.get_by_role("img")
        assert pictures.count() == page.locator("figure svg").count() > 0
        assert all(len(each.get_attribute("aria-label") or "") > 30 for each in pictures.all())


@pytest.mark.parametrize("sandbox", ["", "allow-scripts"], ids=["without script", "with script"])
def test_a_frame_without_an_origin_shows_it(
    browser: Browser, report: Path, sandbox: str, tmp_path: Path
) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe sandbox="{sandbox}" width="1100" height="700" src="{report.as_uri()}"></iframe>'
    )
    # Chromium says so of a frame that its page forbids scripts: what the test is about.
    with opened(browser, frame.as_uri(), noise=("Blocked script execution",)) as page:
        inside = page.frame_locator("iframe")
        assert inside.locator("#comparison h2").inner_text() == "Comparison"
        assert inside.locator("button.sort").count() == (0 if not sandbox else 10)


# MLflow's own, of pages that we only fill.
MLFLOW_NOISE = (
    "mlflow/users/current",  # which only servers with a log-in answer
    "ResizeObserver loop completed",  # its tables take another size while they are drawn
)


@contextmanager
def served(store: Store) -> Iterator[str]:
    """``ablate ui``: its address, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "ablate.cli.app", "ui", "--store", str(store.root), "--port", str(port)]
    log = store.root / "ui.log"
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ})
        try:
            until = time.monotonic() + PATIENCE_S
            while "ready" not in log.read_text():
                assert child.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()
            child.wait(30)


@pytest.mark.long
def test_mlflow_s_pages(browser: Browser, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    paper_study(store, seeds=2, systems=SYSTEMS)
    tracker = Tracker(store, "paper")
    tracker.prepare()
    tracker.ship_all(store.study_runs("paper"))
    ablate_here("report", "paper", "-o", str(tmp_path / "r.html"), store=store)
    from mlflow import MlflowClient

    client = MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name("paper").experiment_id
    runs = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
    shots = Path(os.environ.get("ABLATE_SHOTS", tmp_path))
    with served(store) as address:
        base = f"{address}/#/experiments/{experiment}/runs"
        pages = {
            "study": (base, "Do scene labels help"),
            "runs": (base, "grl_s1"),
            "run": (f"{base}/{runs['grl_s1 seed=1']}", "Beside mtl with seed 1"),
            "matrix": (
                f"{base}/{runs['grl_s1 seed=1']}/artifacts/scene_confusion.png",
                "scene_confusion.png",
            ),
            "summary": (f"{base}/{runs['report']}", "when 6 of 6 runs had finished"),
            "report": (f"{base}/{runs['report']}/artifacts/report.html", "report.html"),
            "table": (f"{base}/{runs['report']}/artifacts/comparison.json", "scene micro F (%): Δ"),
            "figure": (f"{base}/{runs['report']}/artifacts/differences.png", "differences.png"),
        }
        for scheme in ("light", "dark"):
            for name, (page_address, words) in pages.items():
                look = {"color_scheme": scheme, "viewport": DESK}
                with opened(browser, page_address, noise=MLFLOW_NOISE, **look) as page:
                    page.get_by_text(re.compile(re.escape(words))).first.wait_for(timeout=PATIENCE_S * 1000)
                    if name in ("matrix", "figure"):
                        drawn = "[...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth)"
                        page.wait_for_function(drawn, timeout=20_000)
                    if name == "report":
                        page.frame_locator("iframe").locator("#comparison h2").wait_for(timeout=20_000)
                    page.wait_for_timeout(500)
                    page.screenshot(path=shots / f"mlflow-{name}-{scheme}.png")
