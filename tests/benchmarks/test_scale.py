"""What is computed for studies and clusters larger than any that was measured."""

from collections import Counter
from pathlib import Path

from benchmarks import scale, scaletables

TRACE = """\
12 openat(AT_FDCWD</>, "/s/runs/a1/state.json", O_RDONLY) = 3</s/runs/a1/state.json>
12 read(3</s/runs/a1/state.json>, ""..., 168) = 168
13 rename("/s/studies/.t.json.0", "/s/studies/t.json") = 0
13 getdents64(4</s/runs/a1>, 0x55 /* 9 entries */, 32768) = 280
13 openat(AT_FDCWD</>, "/usr/lib/python3.11/os.py", O_RDONLY) = 3</usr/lib/python3.11/os.py>
13 pwrite64(5</s/mlflow.db>, ""..., 4096, 0) = 4096
"""
RESULT = {
    "rows": [
        {"what": "operations", "of": of, **dict.fromkeys(scale.OPERATIONS, 0), "open": opens}
        for of, opens in (("run", 600), ("epoch", 20), ("own look", 3), ("look", 5))
    ]
}


def test_only_operations_on_the_ledger_are_counted() -> None:
    assert scale.counted(TRACE, Path("/s")) == Counter({"open": 1, "read": 1, "name": 1, "list": 1})


def test_what_one_more_of_something_costs_is_a_difference() -> None:
    found = scale.difference(Counter(open=70, read=9), Counter(open=10), 30)
    assert (found["open"], found["read"], found["lock"]) == (2.0, 0.3, 0.0)


def test_beyond_the_largest_size_costs_grow_as_between_the_last_two() -> None:
    assert scaletables.beyond({100: 5.0, 1000: 10.0, 10_000: 100.0}, 100_000) == 1000.0


def test_operations_of_many_workers_follow_from_those_of_one() -> None:
    """In 600 s a run of 600 operations, in 10 s an epoch of 20, in 15 s a beat, in 1 s a look of 3."""
    lines = scaletables.workers(RESULT).splitlines()
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines)
    }
    assert rows["runs begun and ended"] == ["1", "10", "100", "1,000"]
    assert rows["epochs"] == ["2", "20", "200", "2,000"]
    assert rows["beats of leases"] == ["0.067", "0.67", "6.7", "67"]
    assert rows["looks at the own lease"] == ["3", "30", "300", "3,000"]
    # 7 controllers for 100 workers and 63 for 1,000 look 10 times a second, for 5 operations each time.
    assert rows["looks of controllers, one for 16 workers"] == ["0", "0", "350", "3,150"]
    assert rows["all"] == ["6.1", "61", "957", "9,217"]
