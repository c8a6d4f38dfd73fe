"""Writes the tables of three pages from ``benchmarks/results``, between two markers in each.

python -m benchmarks.table
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import scaletables
from benchmarks.common import RESULTS, ROOT, table
from benchmarks.gpu import summary

SPEED = ROOT / "docs" / "speed.md"
SCALE = ROOT / "docs" / "scale.md"
METRICS = ROOT / "docs" / "metrics.md"
BEGIN = "<!-- written by benchmarks/table.py from benchmarks/results -->"
END = "<!-- end of what benchmarks/table.py writes -->"

Result = dict[str, Any]
Parts = Mapping[str, Callable[[Result], str]]

CHANNELS = {1: "mono", 2: "stereo"}


def main() -> None:
    for page, parts in PAGES.items():
        text = page.read_text(encoding="utf-8")
        page.write_text(with_tables(text, RESULTS, parts), encoding="utf-8")


def with_tables(text: str, results: Path, parts: Parts) -> str:
    """``text`` with what stands between the markers replaced. Raises ValueError when it lacks them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the tables: {BEGIN} and {END} must be there, in this order")
    return f"{before}{BEGIN}\n{tables(results, parts)}{END}{after}"


def tables(results: Path, parts: Parts) -> str:
    """Each benchmark's part, those that have results."""
    found = {name: results / f"{name}.json" for name in parts}
    texts = (
        parts[name](json.loads(file.read_text(encoding="utf-8")))
        for name, file in found.items()
        if file.exists()
    )
    return "".join(f"\n{text}\n" for text in texts) + "\n"


def place(result: Result) -> str:
    """Where it was measured, for a caption."""
    return f"{result['cores']} cores of {result['machine']}"


# ---------------------------------------------------------------------------------------- the benchmarks


def training_step(result: Result) -> str:
    caption = (
        f"Clips trained per second, {result['batch_size']} a batch ({place(result)}), beside plain PyTorch "
        "in one process:"
    )
    widths = {16: "16/32 channels (quick)", 128: "128/256 channels (paper)"}
    layers = {"plain": "plain PyTorch", "fast": "ours", "bound": "the bound of its matrix products"}
    cells: dict[tuple[str, int, int], dict[int, str]] = {}
    for row in result["rows"]:
        key = (row["layers"], row["processes"], row["threads"])
        cells.setdefault(key, {})[row["channels"]] = (
            f"{_digits(row['clips_per_second'])} ({row['ratio']:.1f} x)"
        )
    rows = [
        [layers[name], f"{processes} x {threads}", *(by_width[width] for width in widths)]
        for (name, processes, threads), by_width in cells.items()
    ]
    return f"{caption}\n\n{table(['layers', 'processes x threads', *widths.values()], rows)}"


def grid_throughput(result: Result) -> str:
    caption = (
        f"Clips trained per second by whole grids ({place(result)}), beside a loop of plain PyTorch in one "
        "process; busy: the workers' CPU time as a share of their cores, from the first training step to the "
        "last:"
    )
    rows = [
        [
            row["setting"],
            row["what"],
            row["runs"],
            row.get("workers", "-"),
            f"{_digits(row['clips_per_second'])} ({row['ratio']:.1f} x)",
            f"{100 * row['busy']:.0f} %" if "busy" in row else "-",
        ]
        for row in result["rows"]
    ]
    return f"{caption}\n\n{table(['setting', '', 'runs', 'workers', 'clips per second', 'busy'], rows)}"


def harness_overhead(result: Result) -> str:
    caption = (
        "What a harness adds to each run when all log 40 epochs, scores, a picture, tables and weights to "
        f"MLflow ({result['slots']} runs at the same time on {place(result)}; "
        "`benchmarks/harness_overhead.py` says how). Repeated measurements differ by 0.05 s a run. With the "
        '"fewest calls" MLflow shows nothing of a run before its end:'
    )
    rows = [[row["harness"], *_overheads(row)] for row in result["rows"] if row["harness"] != "bare loop"]
    return f"{caption}\n\n{table(['harness', 's a run', 'CPU s a run', 's once'], rows)}"


def _overheads(row: Result) -> Iterator[str]:
    if "skipped" in row:
        yield from (f"not measured: {row['skipped']}", "-", "-")
        return
    for name, digits in (("overhead_s", 2), ("overhead_cpu_s", 2), ("once_s", 0)):
        yield "-" if row[name] is None else f"{row[name]:.{digits}f}"


def estimate(result: Result) -> str:
    caption = f"Seconds that `--calibrate` predicts for a grid, and that it takes ({place(result)}):"
    rows = [
        [row["grid"], row["runs"], row["predicted_s"], row["actual_s"], f"{100 * row['error']:+.0f} %"]
        for row in result["rows"]
    ]
    return f"{caption}\n\n{table(['grid', 'runs', 'predicted', 'actual', 'error'], rows)}"


def features(result: Result) -> str:
    caption = f"Log-mel features, times faster than real time on one core of {result['machine']}:"
    header = ["recordings", "with decoding", "without", "librosa without", "deviation from librosa"]
    rows = [
        [
            f"{row['rate_hz'] / 1000:g} kHz, {CHANNELS[row['channels']]}, {row['samples']}",
            row["x_real_time"],
            row["x_real_time_without_decoding"],
            row["x_real_time_librosa_without_decoding"],
            row["deviation"],
        ]
        for row in result["rows"]
    ]
    return f"{caption}\n\n{table(header, rows)}"


def full_scale(result: Result) -> str:
    data = next(row for row in result["rows"] if row["what"] == "data")
    clips = sum(data["clips"].values())
    caption = (
        f"The study's corpus at its real size: {data['recordings']} stand-in recordings at its paths, "
        f"{data['audio_gb']} GB in the form of its own, {clips} clips ({place(result)} that "
        f"{result['load_before']:.0f} other processes wanted as well; memory is the most that all processes "
        "of a command had together):"
    )
    rows = [
        [f"ablate {row['what']}", row["wall_s"], row["cpu_s"], row["memory_mib"]]
        for row in result["rows"]
        if "wall_s" in row
    ]
    return f"{caption}\n\n{table(['command', 's', 'CPU s', 'MiB'], rows)}"


def scaling(result: Result) -> str:
    sizes = sorted({row["runs"] for row in result["rows"]})
    load = result["load_before"]
    others = f" that {load:.0f} other processes wanted as well" if load >= 1 else ""
    caption = (
        f"CPU seconds of the commands that read a study, by its number of runs ({place(result)}{others}):"
    )
    times: dict[str, dict[int, float]] = {}
    for row in result["rows"]:
        times.setdefault(row["command"], {})[row["runs"]] = row["cpu_s"]
    rows = [
        [f"`{title}`", *(f"{of[size]:.1f}" if size in of else "-" for size in sizes)]
        for title, of in times.items()
    ]
    return f"{caption}\n\n{table(['command', *(f'{size:,}' for size in sizes)], rows)}"


def gpu_packing(result: Result) -> str:
    """What ``python -m benchmarks.gpu`` has measured in its stage of that name."""
    return f"On a GPU ({summary.place(result)}):\n\n{summary.packing(result)}"


def _digits(speed: float) -> str:
    return f"{speed:.0f}" if speed >= 50 else f"{speed:.1f}"


def scale(result: Result) -> str:
    costs = f"What studies of so many runs cost ({place(result)}, {result['workers']} workers):"
    operations = "Operations on the files of the ledger, as `strace` counts them:"
    workers = (
        f"Operations a second, computed from these for runs of {scaletables.RUN_S // 60} minutes with an "
        f"epoch every {scaletables.EPOCH_S} s:"
    )
    return "\n\n".join(
        [
            f"{costs}\n\n{scaletables.costs(result)}",
            f"{operations}\n\n{scaletables.operations(result)}",
            f"{workers}\n\n{scaletables.workers(result)}",
        ]
    )


def metrics(result: Result) -> str:
    compared = [
        (
            row["compared"],
            f"{row['with']} {result['versions'].get(row['with'], '')}",
            row["cases"],
            f"{row['numbers']:,}",
            f"{row['largest_difference']:.0e}" if row["largest_difference"] else "0",
        )
        for row in result["rows"]
        if "compared" in row
    ]
    timed = [
        (row["timed"], row["cpu_s"], row["library_cpu_s"], row["long_cpu_s"])
        for row in result["rows"]
        if "timed" in row
    ]
    differences = table(("compared", "with", "cases", "numbers", "largest difference"), compared)
    times = table(("metric", "10 s clips", "the library", "up to 4 minutes each"), timed)
    lengths = (
        f"CPU seconds for 74 minutes of 25 classes, in half precision ({place(result)}), as recordings of\n"
        "10 s, and of 10 s to 4 minutes, for which sed_scores_eval would need gigabytes:"
    )
    return f"{differences}\n\n{lengths}\n\n{times}"


SPEED_PARTS: Parts = {
    "training_step": training_step,
    "grid_throughput": grid_throughput,
    "harness_overhead": harness_overhead,
    "estimate": estimate,
    "features": features,
    "full_scale": full_scale,
    "scaling": scaling,
    "gpu/packing": gpu_packing,
}
PAGES: dict[Path, Parts] = {SPEED: SPEED_PARTS, SCALE: {"scale": scale}, METRICS: {"metrics": metrics}}

if __name__ == "__main__":
    main()
