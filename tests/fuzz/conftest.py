"""The count of cases that each parser has seen, at the end of ``make fuzz``."""

import pytest

from tests.fuzz.cases import CASES, refused, seen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not CASES:
        return
    terminalreporter.section("fuzz cases")
    for parser, count in sorted(seen.items()):
        terminalreporter.write_line(
            f"{parser:<28} {count:>8,} cases, {count - refused[parser]:>8,} accepted, the others refused"
        )
