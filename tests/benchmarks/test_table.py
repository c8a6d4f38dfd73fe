"""The pages on speed and on scale state what the benchmarks have measured."""

import json
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.common import RESULTS


@pytest.mark.parametrize("page", table.PAGES, ids=lambda page: page.name)
def test_the_pages_say_what_the_results_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert table.with_tables(text, RESULTS, table.PAGES[page]) == text, "run python -m benchmarks.table"


def test_every_result_says_where_it_is_from() -> None:
    files = list(RESULTS.rglob("*.json"))
    assert files
    for file in files:
        result = json.loads(file.read_text(encoding="utf-8"))
        assert {"machine", "cores", "versions", "rows"} <= result.keys(), file


def test_what_was_between_the_markers_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    features = {
        "machine": "a processor",
        "rows": [
            {
                "rate_hz": 44100,
                "channels": 2,
                "samples": "PCM_24",
                "x_real_time": 400,
                "x_real_time_without_decoding": 800,
                "x_real_time_librosa_without_decoding": 700,
                "deviation": 1e-06,
            }
        ],
    }
    (tmp_path / "features.json").write_text(json.dumps(features))
    before = f"# A tool\n{table.BEGIN}\nold\n{table.END}\nMore.\n"
    after = table.with_tables(before, tmp_path, table.SPEED_PARTS)
    assert "| 44.1 kHz, stereo, PCM_24 | 400 | 800 | 700 | 1e-06 |\n" in after
    assert after.startswith(f"# A tool\n{table.BEGIN}\n")
    assert after.endswith(f"{table.END}\nMore.\n")
    assert "old" not in after
    assert table.with_tables(after, tmp_path, table.SPEED_PARTS) == after


def test_a_skipped_peer_is_no_result() -> None:
    rows = [{"harness": "Ray Tune", "skipped": "ray is not installed"}]
    part = table.harness_overhead({"machine": "m", "cores": 2, "slots": 2, "rows": rows})
    assert "| Ray Tune | not measured: ray is not installed | - | - |" in part


def test_a_text_without_markers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be there, in this order"):
        table.with_tables(f"{table.END} {table.BEGIN}", tmp_path, table.SPEED_PARTS)


def test_commands_on_the_whole_corpus_are_in_a_table() -> None:
    rows = [
        {"what": "data prepare", "wall_s": 61.5, "cpu_s": 50.1, "memory_mib": 640},
        {"what": "data", "recordings": 248, "audio_gb": 4.2, "clips": {"development": 3, "evaluation": 2}},
    ]
    part = table.full_scale({"machine": "m", "cores": 2, "load_before": 3.2, "rows": rows})
    assert (
        "248 stand-in recordings at its paths, 4.2 GB in the form of its own, 5 clips (2 cores of m" in part
    )
    assert part.endswith("| ablate data prepare | 61.5 | 50.1 | 640 |")
