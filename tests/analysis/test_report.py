"""The report: what is on the page, that it stands alone, and that its numbers are those of the runs."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

from ablate.analysis import report, reportparts
from ablate.analysis.material import gather
from ablate.analysis.pictures import Album
from ablate.ground.errors import StudyError
from ablate.ground.files import write_json
from ablate.mtl.data.prepared import open_prepared
from ablate.mtl.figures import dataset_stats
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from tests.analysis.programs import add_condition, losses
from tests.analysis.studies import DETAILS, SYSTEMS, lambda_study, paper_study, system_run
from tests.fabricate import BASE, CARD, add_runs, fabricate_study, make_run

VOID = {"meta", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """The cells of every table, the text of the page, and its links; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.links += [str(given[key]) for key in ("href", "src", "xlink:href") if given.get(key)]
        self.ids += [str(given["id"])] if "id" in given else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def rows_of(self, first: str) -> list[list[str]]:
        return [row for row in self.rows if row and row[0] == first]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(store: Store, study: str) -> str:
    material = gather(store, study)
    return report.html(material, report.album(material))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("report") / "store")
    paper_study(store, seeds=3, unfinished={("grl_e1", 2): State.FAILED, ("grl_e2", 2): State.PENDING})
    return store


@pytest.fixture(scope="module")
def text(store: Store) -> str:
    return page(store, "paper")


def test_it_says_what_was_asked_and_what_became_of_each_claim(text: str) -> None:
    words = Page(text).text
    assert DETAILS.question in words
    for claim in DETAILS.claims:
        assert claim.text in words
    assert "supported" in words


def test_it_stands_alone(text: str) -> None:
    parsed = Page(text)
    outside = [link for link in parsed.links if not link.startswith(("#", "data:"))]
    assert outside == []
    assert "@import" not in text
    assert text.count("<script") == 1  # its own, within the file
    for outward in (
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "localStorage",
        "sessionStorage",
        "document.cookie",
    ):
        assert outward not in text
    assert not re.search(r"url\((?!#)", text)


def test_its_own_links_lead_somewhere(text: str) -> None:
    parsed = Page(text)
    anchors = {link[1:] for link in parsed.links if link.startswith("#")}
    assert anchors <= set(parsed.ids)


def test_every_run_is_listed_with_its_id_state_and_scores(store: Store, text: str) -> None:
    parsed = Page(text)
    by_id = {row[1]: row for row in parsed.rows if len(row) > 1}
    material = gather(store, "paper")
    for record in material.records:
        assert by_id[record.run_id][2] == str(record.state)
        score = record.metrics.get("scene_micro_f")
        assert by_id[record.run_id][3] == ("-" if score is None else f"{100 * score:.2f}")


def test_the_numbers_of_a_condition_follow_from_the_runs_that_are_listed(text: str) -> None:
    parsed = Page(text)
    ids = [system_run("grl_s1", seed).run_id for seed in range(3)]
    listed = [float(row[3]) for row in parsed.rows if len(row) > 1 and row[1] in ids]
    published, compared, *_ = parsed.rows_of("grl_s1")
    for row, place in ((published, 3), (compared, 2)):
        assert float(row[place].split(" ± ")[0]) == pytest.approx(sum(listed) / 3, abs=0.01)


def test_published_scores_stand_beside_ours(text: str) -> None:
    row = Page(text).rows_of("grl_s2")[0]
    assert row[:3] == ["grl_s2", "3", "33.34"]
    assert float(row[3].split(" ± ")[0]) - 33.34 == pytest.approx(
        float(re.split(r"(?=[+−])", row[3])[-1].replace("−", "-")), abs=0.011
    )


def test_missing_seeds_are_named_with_their_state_and_cause(text: str) -> None:
    failed = system_run("grl_e1", 2).run_id
    rows = [row for row in Page(text).rows if row and row[-1] == failed]
    assert rows == [["grl_e1", "2", "failed", "CUDA out of memory", failed]]
    assert ["grl_e1", "2/3"] in [row[:2] for row in Page(text).rows]


def test_it_says_where_everything_comes_from(text: str) -> None:
    words = Page(text).text
    for part in (
        "toy, digest d1d1d1d1d1d1d1d1",
        "ablate 0.1.0",
        "ablate study paper.toml",
        "optim.lr",
        "cpu",
    ):
        assert part in words


def test_the_pictures_are_inline_and_captioned(text: str) -> None:
    assert re.findall(r'<figure id="(\w+)"', text) == [
        "differences",
        "scene_confusion",
        "scene_confusion_differences",
        "event_f",
        "learning",
    ]
    assert (
        text.count('<svg role="img" aria-label="') == text.count("<svg") == text.count("</figcaption>") == 5
    )


def test_a_condition_is_a_row_and_its_seeds_are_folded(text: str) -> None:
    assert text.count('<details class="group keep"') == text.count("data-words=") == len(SYSTEMS)
    assert "3 runs, 2 finished" in text  # of grl_e1, whose third seed failed


def test_columns_are_sorted_by_the_numbers_behind_what_is_printed(text: str) -> None:
    (row,) = re.findall(r'<tr[^>]*><td data-name="grl_e1">.*', text)
    values = [float(value) for value in re.findall(r'data-value="([^"]+)"', row)]
    printed = [float(value) for value in re.findall(r">(\d+\.\d+) ±", row)]
    assert values[0] == 2  # seeds
    assert [round(100 * value, 2) for value in values[1::2]] == printed


def test_the_same_results_give_the_same_bytes(store: Store, text: str) -> None:
    assert page(store, "paper") == text


def test_it_follows_light_dark_and_paper(text: str) -> None:
    for rule in ("prefers-color-scheme: dark", "@media print", "@page"):
        assert rule in text


def test_a_plain_grid_has_no_claims_and_nothing_published(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lambda_study(store, seeds=2)
    parsed = Page(page(store, "lambda"))
    assert "claims" not in parsed.ids
    assert "published" not in parsed.ids
    assert "over_lambda" in parsed.ids
    assert "every planned seed has finished" in parsed.text


def test_a_grid_of_two_factors_has_its_effects(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for rate, dropout in product((0.1, 0.2), (0.0, 0.5)):
        values = [rate * (1 + dropout) * (10 + seed / 50) + seed for seed in range(4)]
        add_condition(
            store, f"lr={rate} dropout={dropout}", {"lr": rate, "dropout": dropout}, losses(*values)
        )
    text = page(store, "s")
    assert Page(text).rows_of("lr=0.2 x dropout=0.5")
    assert '<section id="effects">' in text
    assert "Factors that depend on each other" in text
    store.study_folder("s").mkdir()
    write_json(store.study_folder("s") / "search.json", {})
    assert '<section id="effects">' not in page(store, "s")


def test_a_study_of_one_run_is_a_report(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fabricate_study(store, "one", [make_run("only", 0, {"tasks": "scene"})])
    parsed = Page(page(store, "one"))
    assert "1 condition, 1 seed, 1 run (1 finished) on toy." in parsed.text
    assert "scene_confusion" in parsed.ids


def test_a_study_without_a_result_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_runs(store, "new", [make_run()])
    with pytest.raises(StudyError, match="no run has finished yet"):
        gather(store, "new")


def test_whatever_a_user_names_is_escaped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    evil = "<script>alert('&$x$')</script>"
    details = replace(
        DETAILS, question=f"Is {evil} safe?", baseline=None, claims=(), published={}, source=evil
    )
    run = make_run(evil, 0)
    fabricate_study(store, "s", [run])
    failed = make_run(evil, 1)
    fabricate_study(store, "s", [failed], state=State.FAILED, cause=evil)
    words = f"ablate grid --set '{evil}'"
    store.add_to_study("s", [run, failed], words, card=CARD, base=BASE, details=details)
    text = page(store, "s")
    assert text.count("<script") == 1
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;") >= 5
    Page(text)


def test_runs_shown_by_a_server_have_a_link_without_its_password(store: Store) -> None:
    folder = store.folder(system_run("mtl", 0).run_id)
    note = {"uri": "https://me:secret@host:5000/mlflow/", "mlflow_run_id": "abc123"}
    write_json(folder.mlflow_file, {"paper": note})
    try:
        text = report.html(gather(store, "paper"), Album((), ()))
    finally:
        folder.mlflow_file.unlink()
    assert 'href="https://host:5000/mlflow/#/runs/abc123"' in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "uri", ["sqlite:////data/mlflow.db", "postgresql://u:p@host/db", "javascript:alert(1)"]
)
def test_a_database_has_no_page_to_link_to(uri: str) -> None:
    assert reportparts.mlflow_page(uri, "abc") is None


def test_figure_1_is_drawn_while_the_data_are_the_same(tiny_data: Path) -> None:
    prepared = open_prepared(tiny_data)
    same = Dataset("tiny", prepared.digest, prepared.path)
    found = dataset_stats(same)
    assert found is not None
    assert found.splits["development"].n_events == 4
    assert dataset_stats(replace(same, digest="0" * 16)) is None
    assert dataset_stats(replace(same, path=tiny_data / "gone")) is None


def test_a_study_of_many_conditions_says_what_is_not_drawn(tmp_path: Path) -> None:
    store = Store(tmp_path)
    levels = [0.001 * (place + 1) for place in range(14)]
    runs = [make_run("baseline")]
    runs += [make_run(f"alpha={alpha:g}", 0, {"loss.alpha": alpha}, {"alpha": alpha}) for alpha in levels]
    fabricate_study(store, "many", runs)
    material = gather(store, "many")
    album = report.album(material)
    assert any("Of 15 conditions" in line for line in album.left_out)
    assert album.left_out[0] in Page(report.html(material, album)).text


@pytest.mark.parametrize(
    ("numbers", "shown"), [([], ""), ([3], "3"), ([0, 1, 2], "0–2"), ([5, 0, 1, 7, 8], "0–1, 5, 7–8")]
)
def test_seeds_are_ranges(numbers: list[int], shown: str) -> None:
    assert reportparts.ranges(numbers) == shown
