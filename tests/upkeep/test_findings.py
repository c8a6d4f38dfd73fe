"""How findings say sizes and lists."""

import pytest

from ablate.ground.wording import readable_bytes
from ablate.upkeep.findings import MAX_SHOWN, listed, some


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1234, "1.23 kB"),
        (999_600, "1 MB"),
        (2**30, "1.07 GB"),
        (4e15, "4000.0 TB"),
    ],
)
def test_sizes(n_bytes: float, text: str) -> None:
    assert readable_bytes(n_bytes) == text


def test_lists_name_every_one_or_say_how_many_more() -> None:
    assert listed("run", ["a"]) == "1 run: a"
    assert listed("study", ["a", "b"], "studies") == "2 studies: a, b"
    assert some(["a", "b"]) == "a; b"
    assert some([*"abcdefghij"]).endswith(f"h; and {10 - MAX_SHOWN} more")
