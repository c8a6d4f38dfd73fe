"""A run under way whose files are damaged, as ``ablate watch`` sees it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from ablate.cli.watched import Picture
from ablate.record.store import Store
from ablate.record.watching import Watching
from tests.fabricate import add_runs, fabricate_run, make_history, make_run
from tests.fuzz.cases import case, fuzzed
from tests.fuzz.inputs import changed, mutated
from tests.fuzz.test_run_folders import as_json

FILES = ("config.json", "state.json", "history.jsonl")
RUN, FINISHED = make_run(seed=0), make_run(seed=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"))
    fabricate_run(store, FINISHED, epochs=4)
    folder = store.folder(RUN.run_id)
    folder.create(RUN)
    add_runs(store, "s", [RUN, FINISHED])
    with folder.claim():
        folder.begin()
        folder.write_history(make_history(RUN, 3))
        yield store


def watch(store: Store) -> None:
    watching = Watching(store, "s")
    look = watching.look()
    assert 0 <= look.share <= 1
    assert look.seconds_left is None or look.seconds_left >= 0
    for seen in look.runs:
        assert all(watching.curves(seen.folder).values())
    assert all(len(line.plain) <= 80 for line in Picture("s", watching, {}, 80, 24).lines(look))


@pytest.mark.parametrize("name", FILES)
def test_watched_runs(name: str, store: Store) -> None:
    file: Path = store.folder(RUN.run_id).path / name
    original = file.read_bytes()
    lines = original.splitlines() if name == "history.jsonl" else [original]

    def as_lines(value: Any) -> bytes:
        parts = value if isinstance(value, list) else [value]
        return b"".join(as_json(part) + b"\n" for part in parts)

    @fuzzed(quick=30, share=1 / 3)
    @given(content=mutated([original]) | changed([json.loads(line) for line in lines]).map(as_lines))
    def run(content: bytes) -> None:
        file.write_bytes(content)
        try:
            with case("watched runs"):
                watch(store)
        finally:
            file.write_bytes(original)

    run()
