"""What the pages show is what happens: every block that does not say why not is run, in order."""

import shutil
from pathlib import Path

import pytest

from tests.docs.beginnings import BEGINNINGS
from tests.docs.blocks import PAGES, blocks
from tests.docs.reader import Reader

RUN = [page for page in PAGES if any(block.is_done for block in blocks(page))]


@pytest.mark.timeout(900)  # the tutorial trains for a minute, and on a busy machine for several
@pytest.mark.parametrize("page", RUN)
def test_every_block_of_a_page_does_what_it_shows(
    page: str, tmp_path: Path, request: pytest.FixtureRequest, empty_database: Path
) -> None:
    if page == "docs/json.md" and shutil.which("jq") is None:
        pytest.skip("the page pipes into jq, which is not here")
    reader = Reader(tmp_path / "work", empty_database)
    for begin in BEGINNINGS.get(page, ()):
        begin(reader.folder, request)
    wrong = []
    for block in blocks(page):
        if block.is_done:
            try:
                reader.does(block)
            except AssertionError as error:
                wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
