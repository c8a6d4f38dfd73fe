"""The page on Python is run as one session in an empty folder, and its output is what the page shows."""

import doctest
import os
from pathlib import Path

import pytest

from tests.docs.test_pages import DOCS, blocks


def test_the_session_gives_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ABLATE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    found = blocks("python.md")
    for block in found:
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
    session = "\n".join(block.text for block in found if block.language == "pycon")
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    test = doctest.DocTestParser().get_doctest(session, {}, "python.md", str(DOCS / "python.md"), 0)
    result = doctest.DocTestRunner(verbose=False, optionflags=flags).run(test)
    assert result.attempted > 15
    assert result.failed == 0
