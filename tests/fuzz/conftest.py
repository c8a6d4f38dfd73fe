"""What each reader has seen, at the end of ``make fuzz``, and in a file that is written after each test.

``ABLATE_FUZZ_RECORD`` names the file. A test that it has with as many cases, of the same code, is left out:
what was interrupted goes on where it was.
"""

import json
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.files import write_json
from tests.fuzz.cases import CASES, refused, seen
from tests.fuzz.table import by_reader, code

RECORD = os.environ.get("ABLATE_FUZZ_RECORD")


def _recorded() -> dict[str, Any]:
    return json.loads(Path(RECORD).read_text()) if RECORD and Path(RECORD).exists() else {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    done, now = _recorded(), code()
    left = [item for item in items if not _is_done(done.get(_name(item)), now)]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


def _is_done(test: dict[str, Any] | None, now: str) -> bool:
    return test is not None and test["code"] == now and test["asked"] >= CASES


def _name(item: pytest.Item) -> str:
    return item.nodeid.removeprefix("tests/fuzz/")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Adds what a test has seen to the record, once it has passed."""
    before = Counter(seen), Counter(refused)
    outcome = yield
    if RECORD and CASES:
        readers = {
            name: {"cases": count - before[0][name], "refused": refused[name] - before[1][name]}
            for name, count in seen.items()
            if count > before[0][name]
        }
        if readers:
            test = {"code": code(), "asked": CASES, "readers": readers}
            write_json(Path(RECORD), {**_recorded(), _name(item): test})
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not CASES:
        return
    terminalreporter.section("fuzz cases")
    readers = {name: {"cases": count, "refused": refused[name]} for name, count in seen.items()}
    terminalreporter.write_line(by_reader({"": {"readers": readers}}))
