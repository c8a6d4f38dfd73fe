"""What the stages have found, in Markdown: for the terminal, docs/speed.md and docs/gpu.md."""

from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.common import table
from benchmarks.gpu.recording import read
from benchmarks.gpu.stages import STAGES

Result = dict[str, Any]


def of_folder(folder: Path) -> str:
    """Of what is there; a stage that never began has no part."""
    parts = []
    for name, stage in STAGES.items():
        result = read(folder / f"{name}.json")
        if result is None:
            continue
        if not parts and "versions" in result:
            parts.append(place(result) + "\n")
        state = result.get("state", "cut off")
        parts.append(f"## {name}: {stage.shows}\n\n{state}, {result.get('took_s', 0):.0f} s\n")
        if result["rows"]:
            parts.append(PARTS[name](result) + "\n")
        if result.get("left_out"):
            parts.append("Left out: " + "; ".join(result["left_out"]) + "\n")
    return "\n".join(parts)


def place(result: Result) -> str:
    """Where, with what and how the stages were measured."""
    memory = f" ({result['memory_gib']:g} GiB)" if "memory_gib" in result else ""
    cuda = f" with CUDA {result['cuda']} and cuDNN {result['cudnn']}" if "cuda" in result else ""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"{result['device']}{memory}, {result['cores']} cores of {result['machine']}; {versions}{cuda}; "
        f"commit {result['commit']}: `{result['command']}`"
    )


def tests(result: Result) -> str:
    rows = result["rows"]
    counts = Counter(row["outcome"] for row in rows)
    told = ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "skipped"))
    failed = [f"- failed: {row['test']}: {row['reason']}" for row in rows if row["outcome"] == "failed"]
    reasons = Counter(row["reason"] for row in rows if row["outcome"] == "skipped")
    skipped = [f"- {n} skipped: {reason.removeprefix('Skipped: ')}" for reason, n in reasons.items()]
    return "\n".join([told, "", *failed, *skipped]).rstrip()


def equality(result: Result) -> str:
    header = ["precision", "kernels in one order", "runs together", "two runs alone", "together and alone"]
    rows = [
        [
            row["precision"],
            "yes" if row["in_order"] else "no",
            row["runs"],
            _difference(row["two_runs_alone"]),
            _difference(row["packed_and_alone"]),
        ]
        for row in result["rows"]
    ]
    return table(header, rows)


def _difference(value: float) -> str:
    return "same bits" if value == 0 else f"{value:.1e}"


def packing(result: Result) -> str:
    rows = [row for row in result["rows"] if row["how"] != "profile"]
    parts = []
    for size, precision in dict.fromkeys((row["size"], row["precision"]) for row in rows):
        chosen = [row for row in rows if (row["size"], row["precision"]) == (size, precision)]
        parts.append(_speeds(chosen, size, precision, result["floors"][f"{size} {precision}"]))
    return "\n\n".join(parts)


def _speeds(rows: list[Result], size: str, precision: str, floor: Result) -> str:
    eager = rows[0]["steps_per_second"]
    by_runs: dict[int, dict[str, str]] = {}
    for row in rows:
        speed = row["steps_per_second"]
        by_runs.setdefault(row["runs"], {})[row["how"]] = f"{speed:.0f} ({speed / eager:.1f} x)"
    work = f"{floor['gflops_per_step']:g} GFLOP and {floor['gbytes_per_step']:g} GB a step"
    caption = (
        f"Steps a second, {size} size, {precision}; the device's {floor['limit']} would allow "
        f"{floor['steps_per_second']:.0f} ({work}):"
    )
    header = ["runs at once", "packed", "plain loops in as many processes", "these through CUDA MPS"]
    lines: list[list[object]] = [
        [
            runs,
            cells.get("packed", "-"),
            cells.get("processes", cells.get("eager", "-")),
            cells.get("mps", "-"),
        ]
        for runs, cells in sorted(by_runs.items())
    ]
    return f"{caption}\n\n{table(header, lines)}"


def study(result: Result) -> str:
    forecast = result.get("forecast")
    epochs = f"{result['epochs']} epoch{'s' if result['epochs'] > 1 else ''}"
    lines = [
        f"{len(result['rows'])} runs of {epochs} in {result['precision']}, "
        f"{result['runs_at_once']} at once, {result['clips']['development']} clips: "
        f"{result['wall_s']:.0f} s in all, {result['gpu_s']:.0f} s of training."
    ]
    if forecast:
        lines.append(
            f"{forecast['runs']} runs of 100 epochs would take {forecast['seconds'] / 60:.0f} minutes."
        )
    return "\n".join(lines)


PARTS = {"tests": tests, "equality": equality, "packing": packing, "study": study}
