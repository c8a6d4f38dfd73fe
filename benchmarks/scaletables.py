"""The tables of docs/scale.md: what ``benchmarks/scale.py`` has measured, and what follows from it."""

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any

from ablate.campaign.campaign import LOOKS_PER_S
from ablate.ground.leases import BEATS_PER_LEASE, LEASE_S
from ablate.worker.bench import LOOK_AT_LEASE_S
from benchmarks.common import Row, table
from benchmarks.scale import OPERATIONS

Result = dict[str, Any]
Value = Callable[[Row], float | None]

BEYOND = (100_000, 1_000_000)  # runs
WORKERS = (1, 10, 100, 1000)
RUN_S, EPOCH_S = 600, 10  # of the runs whose operations are computed
HOST_WORKERS = 16  # of a host with a controller of its own
MB = 1e6


def costs(result: Result) -> str:
    """One row a cost, one column a size; computed ones in italics."""
    sizes = sorted({row["runs"] for row in result["rows"] if "runs" in row})
    header = ["", *(f"{size:,}" for size in sizes), *(f"*{size:,}*" for size in BEYOND)]
    return table(header, (_line(title, values, sizes) for title, values in _costs(result)))


def beyond(values: Mapping[int, float], size: int) -> float:
    """The straight line through the two largest measured sizes.

    >>> beyond({10: 5.0, 100: 50.0, 1000: 410.0}, 2000)
    810.0
    """
    (first, low), (second, high) = sorted(values.items())[-2:]
    return high + (high - low) / (second - first) * (size - second)


def _line(title: str, values: Mapping[int, float], sizes: list[int]) -> list[str]:
    measured = [_number(values[size]) if size in values else "-" for size in sizes]
    return [title, *measured, *(f"*{_number(beyond(values, size))}*" for size in BEYOND)]


def _number(value: float) -> str:
    """Two digits that count, or all before the point: ``0.05``, ``1.5``, ``12,345``."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _costs(result: Result) -> Iterator[tuple[str, dict[int, float]]]:
    """What each cost is called, and its value by size."""
    named: list[tuple[str, str, Value]] = [
        ("`ablate grid`, CPU s", "train", lambda row: row["cpu_s"]),
        ("of these its controller", "train", lambda row: row["controller_cpu_s"]),
        ("its controller's memory, MiB", "train", lambda row: row["controller_memory_mib"]),
        ("run folders: inodes", "ledger", lambda row: row["folders"]["inodes"]),
        ("run folders: MB on disk", "ledger", lambda row: row["folders"]["bytes_on_disk"] / MB),
        ("the study's record, MB", "ledger", lambda row: row["study_bytes"] / MB),
        ("MLflow's artifacts: inodes", "ledger", lambda row: row["artifacts"]["inodes"]),
        ("MLflow's database, MB", "ledger", lambda row: row["database_bytes"] / MB),
        ("its rows", "ledger", lambda row: sum(row["database_rows"].values())),
        (
            "`ablate sync` to an empty MLflow, CPU s",
            "anew",
            lambda row: row["cpu_s"],
        ),
        ("MLflow's UI: the newest 100 runs, CPU s", "search", lambda row: row["newest_cpu_s"]),
        ("MLflow's UI: 100 by a param and a score, CPU s", "search", lambda row: row["filtered_cpu_s"]),
    ]
    for title, what, value in named:
        yield title, _by_size(result, what, value)
    for command in dict.fromkeys(row["command"] for row in result["rows"] if row["what"] == "command"):
        for unit, key in (("CPU s", "cpu_s"), ("MiB", "memory_mib")):
            yield f"`{command}`, {unit}", _by_size(result, "command", _of(command, key))


def _of(command: str, key: str) -> Value:
    return lambda row: float(row[key]) if row["command"] == command else None


def _by_size(result: Result, what: str, value: Value) -> dict[int, float]:
    found = [(row["runs"], value(row)) for row in result["rows"] if row["what"] == what]
    return {size: number for size, number in found if number is not None}


def operations(result: Result) -> str:
    """How often each kind of operation is asked for."""
    columns = {
        "a run": "run",
        "an epoch": "epoch",
        "a look at the own lease": "own look",
        "a look at another's run": "look",
    }
    found = {row["of"]: row for row in result["rows"] if row["what"] == "operations"}
    rows = [[kind, *(f"{found[of][kind]:g}" for of in columns.values())] for kind in OPERATIONS]
    total = ["all", *(f"{_operations(result, of):.0f}" for of in columns.values())]
    return table(["", *columns], [*rows, total])


def _operations(result: Result, of: str) -> float:
    (row,) = (row for row in result["rows"] if row["what"] == "operations" and row["of"] == of)
    return float(sum(row[kind] for kind in OPERATIONS))


def workers(result: Result) -> str:
    """Operations a second on the ledger, computed from those measured."""
    run, epoch, own, look = (_operations(result, of) for of in ("run", "epoch", "own look", "look"))
    lines: dict[str, Callable[[int], float]] = {
        "beats of leases": lambda n: n * BEATS_PER_LEASE / LEASE_S,
        "runs begun and ended": lambda n: n * run / RUN_S,
        "epochs": lambda n: n * epoch / EPOCH_S,
        "looks at the own lease": lambda n: n * own / LOOK_AT_LEASE_S,
        f"looks of controllers, one for {HOST_WORKERS} workers": lambda n: look * _looks_per_s(n),
    }
    rows = [[title, *(_number(count(n)) for n in WORKERS)] for title, count in lines.items()]
    total = ["all", *(_number(sum(count(n) for count in lines.values())) for n in WORKERS)]
    return table(["workers", *(f"{n:,}" for n in WORKERS)], [*rows, total])


def _looks_per_s(n: int) -> float:
    """Of all controllers at the runs of the others."""
    controllers = ceil(n / HOST_WORKERS)
    return controllers * min(LOOKS_PER_S, max(0, n - HOST_WORKERS))
